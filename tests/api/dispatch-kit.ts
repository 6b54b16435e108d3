/** Webhooks on real Postgres: endpoints made over REST, events as rows, a dispatcher that may be dropped, and the work of the workflow. */
import { createTry } from '../../api/webhooks/attempt.ts'
import { Dispatcher } from '../../api/webhooks/dispatcher.ts'
import { createMatching } from '../../api/webhooks/matching.ts'
import type { DispatchStore, Match, Try } from '../../api/webhooks/ports.ts'
import { type WorkStore, workOff } from '../../api/webhooks/work-off.ts'
import { createOutbound, type Outbound } from '../../infra/http/outbound.ts'
import { postgresLiveStore } from '../../infra/postgres/live-log.ts'
import { numberRows } from '../../infra/postgres/outbox.ts'
import { createDispatchStore } from '../../infra/postgres/webhook-fan-out.ts'
import { createWebhookWork } from '../../infra/postgres/webhook-work.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import type { WebhookReport } from '../../workflows/messages.ts'
import { Leaders, type RunningLeader } from '../support/leaders.ts'
import { emit, type Happening } from '../support/outbox.ts'
import { DEMO_KEY, type TestApi, testApi } from './test-api.ts'

export interface Hook {
  id: string
  number: number
  secret: string
}

export class DispatchKit {
  readonly api: TestApi
  readonly store: DispatchStore
  readonly work: WorkStore
  readonly match: Match
  readonly #outbound: Outbound
  readonly #leaders = new Leaders()

  private constructor(api: TestApi) {
    const { sql } = api.database
    this.api = api
    this.store = createDispatchStore(sql)
    this.work = createWebhookWork(sql)
    this.match = createMatching(postgresLiveStore(sql), { find: (name) => modelOf(name), list: listModels })
    this.#outbound = createOutbound({ process: 'dispatcher', allowPrivate: true, allowNetworks: [] })
  }

  static async start(): Promise<DispatchKit> {
    return new DispatchKit(await testApi())
  }

  get sql() {
    return this.api.database.sql
  }

  /** Over HTTP. */
  get attempt(): Try {
    return createTry(this.#outbound)
  }

  async webhook(url: string, settings: object = {}, key = DEMO_KEY): Promise<Hook> {
    const { status, json, text } = await this.api.ask('POST', '/v1/webhooks', { key, body: { url, types: ['*'], ...settings } })
    if (status !== 201) throw new Error(text)
    const [row] = await this.sql<[{ number: number }]>`select number from webhooks where id = ${json.id}`
    return { id: json.id, secret: json.secret, number: row.number }
  }

  emit(happenings: Happening[]): Promise<number[]> {
    return emit(this.sql, happenings)
  }

  /** Gives what was written so far, by registering devices say, its numbers, and takes it as told. */
  async settleAll(): Promise<void> {
    await numberRows(this.sql, 1_000_000)
    await this.sql`update webhook_fan_out set position = (select position from outbox_end)`
  }

  dispatch({ store = this.store, attempt = this.attempt }: { store?: DispatchStore; attempt?: Try } = {}): RunningLeader {
    return this.#leaders.begin(this.#dispatcher(store, attempt))
  }

  drop(store: DispatchStore, attempt: Try): void {
    this.#leaders.drop(this.#dispatcher(store, attempt))
  }

  #dispatcher(store: DispatchStore, attempt: Try): Dispatcher {
    return new Dispatcher({ store, match: this.match, attempt, now: Date.now, trouble: () => {} })
  }

  /** A piece of the work of its workflow, `laterMs` from now. */
  workOff({ id }: Hook, { laterMs = 0, attempt = this.attempt, ...ask }: WorkOff = {}): Promise<WebhookReport> {
    const now = () => Date.now() + laterMs
    return workOff({ tenant: 'demo', id, ...ask }, { store: this.work, attempt, now })
  }

  async row({ number }: Hook): Promise<{ position: number; missed: number; status: string; health: string; nudged: boolean }> {
    const [row] = await this.sql<[Awaited<ReturnType<DispatchKit['row']>>]>`
      select position, missed, status, health, nudged_at is not null as nudged from webhooks where number = ${number}`
    return row
  }

  /** Position → status of its deliveries. */
  async deliveries({ number }: Hook): Promise<Array<{ position: number; status: string; attempts: number }>> {
    return this.sql`select position, status, attempts from webhook_deliveries where webhook = ${number} order by position`
  }

  /** Ends dispatchers, and removes all webhooks. */
  async clear(): Promise<void> {
    await this.#leaders.stop()
    await this.sql`delete from webhooks`
  }

  async stop(): Promise<void> {
    await this.clear()
    this.#outbound.close()
    await this.api.database.drop()
  }
}

interface WorkOff {
  laterMs?: number
  attempt?: Try
  wanted?: 'retryNow' | 'skip' | 'stop'
}

export const evt = (positions: number[]): string[] => positions.map((position) => `evt_${position}`)
