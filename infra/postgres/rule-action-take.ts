/**
 * From the outbox to the actions of rules: turns of alarms in the order of the outbox, each with the actions of the rule's version that raised it,
 * become rows in the transaction that moves the cursor.
 */
import type { ActionStore, AlarmTurn, AlarmWords, NewAction, Told } from '../../api/alarms/ports.ts'
import type { AlarmEvent } from '../../twin-models/core/types.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { readHeld, readPast } from './rule-action-past.ts'

/** Read at once; the bytes are those of the alarms, and at least one is read. */
const READ = { rows: 1_000, bytes: 8_000_000 }

export async function takeTurns(sql: Sql, plan: Parameters<ActionStore['take']>[0]): ReturnType<ActionStore['take']> {
  // Without a lock, and in one statement: most looks find nothing.
  const [{ found }] = await sql<[{ found: boolean }]>`
    select exists (select from outbox o where o.position > c.position) as found from rule_action_cursor c`
  if (!found) return { actions: 0, more: false }
  return sql.begin(async (tx) => {
    const [{ position: after }] = await tx<[{ position: number }]>`select position from rule_action_cursor for update`
    const rows = await readOutbox(tx, after)
    if (rows.length === 0) return { actions: 0, more: false }
    const turns = await turnsOf(tx, rows)
    const { actions, told } = turns.length === 0 ? { actions: [], told: [] } : plan(turns, await readPast(tx, turns))
    await writeActions(tx, actions)
    for (const event of told) await writeTold(tx, event)
    await tx`update rule_action_cursor set position = ${rows.at(-1)!.position}`
    return { actions: actions.length, more: rows.length === READ.rows || rows.at(-1)!.read >= READ.bytes }
  })
}

interface OutboxRow {
  position: number
  at: number
  tenant: string
  incarnation: number
  device: string
  kind: string
  /** Null: it is no turn of an alarm. */
  event: string | null
  /** Bytes up to here. */
  read: number
}

async function readOutbox(tx: Transaction, after: number): Promise<OutboxRow[]> {
  return tx<OutboxRow[]>`
    select position, at, tenant, incarnation, device, kind, event, read::float8 as read from (
      select *, sum(length) over (order by position rows unbounded preceding) as read from (
        select *, coalesce(octet_length(event), 0) as length from (
          select position, ${tx.unsafe(epochMs('at'))} as at, tenant, incarnation, device, kind,
            case when kind in ('alarm-raised', 'alarm-cleared') or (kind = 'alarm-updated' and event like '%"muted":false%') then event end as event
          from outbox where position > ${after} order by position limit ${READ.rows}
        ) as o
      ) as o
    ) as o where read - length < ${READ.bytes} order by position`
}

type Raised = Omit<Extract<AlarmEvent, { kind: 'alarm-raised' }>, 'kind' | 'cause'>
type Cleared = Omit<Extract<AlarmEvent, { kind: 'alarm-cleared' }>, 'kind' | 'cause'>
type Heard = Omit<Extract<AlarmEvent, { kind: 'alarm-updated' }>, 'kind' | 'cause'>
/** What does not stand in the event says the alarm. */
type TurnHead = Omit<AlarmTurn, 'version' | 'muted' | 'actions' | keyof AlarmWords> & {
  version?: number
  muted?: boolean
  words?: AlarmWords
}

/**
 * Of what is cleared, the alarm itself says which version of its rule it was of. Without it nothing is left of the device. Of what is heard at the end
 * of a maintenance it says what there is to say, and what was left out says the version that raised it.
 */
async function turnsOf(tx: Transaction, rows: OutboxRow[]): Promise<AlarmTurn[]> {
  const heads = rows.flatMap((row) => (row.event === null ? [] : headOf(row, row.event)))
  if (heads.length === 0) return []
  const unsaid = heads.filter(({ version }) => version === undefined)
  const alarms = byAlarm(await alarmsOf(tx, unsaid))
  const isHere = heads.filter(({ version, muted }) => version !== undefined && muted)
  const held = byAlarm([...(await readHeld(tx, unsaid)), ...isHere])
  const known = heads.flatMap((head) => {
    const alarm = alarms.get(keyOfAlarm(head))
    const { words = alarm?.words, muted = alarm?.muted ?? false, ...turn } = head
    const version = turn.version ?? (turn.isHeard ? held.get(keyOfAlarm(head)) : alarm)?.version
    return version === undefined || !words ? [] : [{ ...turn, ...words, version, muted }]
  })
  const actions = new Map((await actionsOf(tx, known)).map((rule) => [keyOf(rule), JSON.parse(rule.actions) as unknown[]]))
  return known.flatMap((turn) => {
    const list = actions.get(keyOf(turn))
    return list && list.length > 0 ? [{ ...turn, actions: list }] : []
  })
}

function headOf({ at, tenant, incarnation, device, kind }: OutboxRow, event: string): TurnHead[] {
  const whose = { at, tenant, incarnation, device }
  if (kind === 'alarm-raised') {
    const { n, rule, version, severity, text, values, muted = false, since, raisedAt } = (JSON.parse(event) as Raised).alarm
    const heldMs = Math.max(0, raisedAt - since)
    return [{ ...whose, turn: 'raised', n, rule, version, words: { severity, text, values }, muted, heldMs }]
  }
  if (kind === 'alarm-updated') {
    const { n, rule, muted } = JSON.parse(event) as Heard
    return muted === false ? [{ ...whose, turn: 'raised', n, rule, muted, isHeard: true, heldMs: 0 }] : []
  }
  const { n, rule, severity, text, values } = JSON.parse(event) as Cleared
  return [{ ...whose, turn: 'cleared', n, rule, words: { severity, text, values }, heldMs: 0 }]
}

async function alarmsOf(tx: Queries, turns: Array<{ incarnation: number; n: number }>) {
  if (turns.length === 0) return []
  const asked = JSON.stringify(turns.map(({ incarnation, n }) => ({ incarnation, n })))
  const rows = await tx<Array<{ incarnation: number; n: number; version: number; muted: boolean; words: string }>>`
    select a.incarnation, a.n, a.rule_version as version, a.muted,
      json_build_object('severity', a.severity, 'text', a.text, 'values', a."values"::json)::text as words
    from json_to_recordset(${asked}::text::json) as asked (incarnation int, n int) join alarms a using (incarnation, n)`
  return rows.map(({ words, ...row }) => ({ ...row, words: JSON.parse(words) as AlarmWords }))
}

function byAlarm<Row extends { incarnation: number; n: number }>(rows: Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [keyOfAlarm(row), row]))
}

function keyOfAlarm({ incarnation, n }: { incarnation: number; n: number }): string {
  return `${incarnation}-${n}`
}

type RuleKey = Pick<AlarmTurn, 'tenant' | 'rule' | 'version'>

async function actionsOf(tx: Queries, turns: RuleKey[]) {
  const asked = [
    ...new Map(turns.map(({ tenant, rule, version }) => [keyOf({ tenant, rule, version }), { tenant, rule, version }])).values(),
  ]
  return tx<Array<RuleKey & { actions: string }>>`
    select v.tenant, v.name as rule, v.version, coalesce(v.body::json -> 'actions', '[]')::text as actions
    from json_to_recordset(${JSON.stringify(asked)}::text::json) as asked (tenant text, rule text, version int)
    join rule_versions v on v.tenant = asked.tenant and v.name = asked.rule and v.version = asked.version`
}

function keyOf({ tenant, rule, version }: RuleKey): string {
  return JSON.stringify([tenant, rule, version])
}

/** In their order. One that is there already stays as it is, but what a maintenance has held back. */
async function writeActions(tx: Transaction, actions: NewAction[]): Promise<void> {
  if (actions.length === 0) return
  await tx`
    insert into rule_actions (id, tenant, incarnation, device, n, rule, rule_version, turn, place, kind, name, alarm, at, depth, state, cut_by, error, ended_at)
    select a.id, a.tenant, a.incarnation, a.device, a.n, a.rule, a.version, a.turn, a.place, a.kind, a.name, a.alarm::text,
      to_timestamp(a.at / 1000), a.depth, a.state, a."cutBy", a.error, case when a.state <> 'waiting' then now() end
    from rows from (json_to_recordset(${JSON.stringify(actions)}::text::json) as (id uuid, tenant text, incarnation int, device text, n int,
      rule text, version int, turn text, place smallint, kind text, name text, alarm json, at float8, depth smallint, state text, "cutBy" text,
      error text)) with ordinality
      as a (id, tenant, incarnation, device, n, rule, version, turn, place, kind, name, alarm, at, depth, state, "cutBy", error, nth)
    order by a.nth on conflict (id) do update set state = excluded.state, at = excluded.at, alarm = excluded.alarm, cut_by = excluded.cut_by,
      error = excluded.error, ended_at = excluded.ended_at, due = now()
    where rule_actions.cut_by = 'maintenance' and coalesce(excluded.cut_by, '') <> 'maintenance'`
}

/** Of no decision of its device. */
export async function writeTold(sql: Queries, { tenant, incarnation, device, event: { kind, ...event } }: Told): Promise<void> {
  await sql`
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    values (now(), ${tenant}, ${incarnation}, ${device}, ${kind}, ${JSON.stringify(event)}, ${JSON.stringify({ by: 'rule', who: event.rule })})`
}
