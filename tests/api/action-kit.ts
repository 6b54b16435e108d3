/** Actions of rules on real Postgres: rules and alarms as rows, runners that may be dropped, and what they wrote. */
import { ActionRunner } from '../../api/alarms/action-runner.ts'
import { createCarryOut } from '../../api/alarms/carry-out.ts'
import type { ActionPorts, ActionStore } from '../../api/alarms/ports.ts'
import type { Turn } from '../../api/alarms/rule-action.ts'
import type { Transaction } from '../../infra/postgres/connect.ts'
import { numberRows } from '../../infra/postgres/outbox.ts'
import { createActionStore } from '../../infra/postgres/rule-action-work.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { Leaders } from '../support/leaders.ts'
import { until } from '../support/wait.ts'
import { type TestApi, testApi } from './test-api.ts'

export interface Happening {
  incarnation: number
  rule: string
  n: number
  /** `heard`: its maintenance is over, and it is still there. */
  turn?: Turn | 'heard'
  /** Epoch ms; now. */
  at?: number
  /** How long its condition had held. */
  heldMs?: number
  muted?: boolean
}

export interface ActionRow {
  id: string
  incarnation: number
  n: number
  turn: Turn
  place: number
  kind: string
  state: string
  depth: number
  cutBy: string | null
  error: string | null
  result: string | null
  attempts: number
}

export class ActionKit {
  readonly api: TestApi
  readonly store: ActionStore
  readonly act = createCarryOut({ find: (name) => modelOf(name), list: listModels }, Date.now)
  readonly #leaders = new Leaders()

  private constructor(api: TestApi, ports: ActionPorts<Transaction>) {
    this.api = api
    this.store = createActionStore(api.database.sql, ports)
  }

  static async start(ports: ActionPorts<Transaction> = {}): Promise<ActionKit> {
    return new ActionKit(await testApi(), ports)
  }

  get sql() {
    return this.api.database.sql
  }

  /** The next version of it. */
  async rule(name: string, actions: object[], more: object = {}, tenant = 'demo'): Promise<void> {
    await this.sql`
      insert into rule_versions (tenant, name, version, body, created_by)
      select ${tenant}, ${name}, count(*) + 1, ${JSON.stringify({ actions, ...more })}, 'test' from rule_versions
      where tenant = ${tenant} and name = ${name}`
    await this.sql`
      insert into rules (tenant, name, version, status, body, created_by)
      select tenant, name, version, 'live', body, 'test' from rule_versions where tenant = ${tenant} and name = ${name} order by version desc limit 1
      on conflict (tenant, name) do update set version = excluded.version, body = excluded.body`
  }

  /** As decision writes make them, in this order; then they are numbered. */
  async happens(happenings: Happening[]): Promise<void> {
    const rows = happenings.map(({ incarnation, rule, n, turn = 'raised', at = Date.now(), heldMs = 0, muted = false }) => {
      const words = { severity: 'major', text: `Alarm ${n} of ${rule}`, values: { temperature: n } }
      const raised = { alarm: { n, rule, version: 1, ...words, since: at - heldMs, raisedAt: at, count: 1, ...(muted && { muted }) } }
      const heard = { n, rule, muted: false }
      const event = { at, ...{ raised, heard, cleared: { n, rule, ...words, reason: 'rule' } }[turn] }
      return { incarnation, rule, n, kind: turn === 'heard' ? 'alarm-updated' : `alarm-${turn}`, at, muted, words, event }
    })
    await this.sql.begin(async (tx) => {
      await tx`
        insert into alarms (incarnation, n, tenant, device, rule, rule_version, severity, status, text, since, raised_at, updated_at, count, flapping,
          muted, "values", revision)
        select e.incarnation, e.n, d.tenant, d.device, e.rule, 1, 'major', 'raised', e.words ->> 'text', now(), now(), now(), 1, false, e.muted,
          e.words ->> 'values', 1
        from json_to_recordset(${JSON.stringify(rows)}::text::json) as e (incarnation int, n int, rule text, muted boolean, words json, kind text)
        join devices d using (incarnation) where e.kind <> 'alarm-updated' on conflict do nothing`
      for (const { incarnation, n, kind } of rows)
        if (kind === 'alarm-updated') await tx`update alarms set muted = false where incarnation = ${incarnation} and n = ${n}`
      await tx`
        insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
        select to_timestamp(e.at / 1000), d.tenant, d.incarnation, d.device, 1, e.kind, e.event::text, '{"by":"timer"}'
        from rows from (json_to_recordset(${JSON.stringify(rows)}::text::json) as
          (incarnation int, rule text, n int, kind text, at float8, event json)) with ordinality
          as e (incarnation, rule, n, kind, at, event, nth) join devices d using (incarnation) order by e.nth`
    })
    await numberRows(this.sql, 1_000_000)
  }

  /** One that leads, until it is stopped. */
  run(store: ActionStore = this.store): () => Promise<void> {
    const running = this.#leaders.begin(this.#runner(store))
    return async () => {
      await running.stop()
      if (running.error !== undefined) throw running.error
    }
  }

  drop(store: ActionStore): void {
    this.#leaders.drop(this.#runner(store))
  }

  #runner(store: ActionStore): ActionRunner {
    return new ActionRunner({ store, act: this.act })
  }

  /** Until nothing waits whose time has come. */
  async worksOff(): Promise<void> {
    const stop = this.run()
    await until(async () => {
      const [row] = await this.sql`
        select (select position from outbox_end) = (select position from rule_action_cursor)
          and not exists (select from rule_actions where state = 'waiting' and attempts = 0) as over`
      return row!.over
    }, 'all actions are carried out')
    await stop()
  }

  async actions(incarnation?: number): Promise<ActionRow[]> {
    const rows = await this.sql<ActionRow[]>`
      select id, incarnation, n, turn, place, kind, state, depth, cut_by as "cutBy", error, result, attempts from rule_actions
      where ${incarnation === undefined ? this.sql`true` : this.sql`incarnation = ${incarnation}`} order by number`
    return [...rows]
  }

  async told(kind: string): Promise<Array<{ device: string; event: Record<string, unknown>; cause: object }>> {
    const rows = await this.sql`select device, event, cause from outbox where kind = ${kind} order by id`
    return rows.map(({ device, event, cause }) => ({ device, event: JSON.parse(event), cause: JSON.parse(cause) }))
  }

  async stop(): Promise<void> {
    await this.#leaders.stop()
    await this.api.database.drop()
  }
}
