/** What is stored of one device, as a rule is tried on it. */
import type { RuleHistory } from '../../api/rule-ports.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { Reading, TwinEvent, TwinState } from '../../twin-models/core/types.ts'
import { upgrade } from '../../twin-models/core/upgrade.ts'
import type { Standing } from '../../twin-models/rules/simulate.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

export function createRuleHistory(sql: Sql): RuleHistory {
  return {
    readings: (query) => readReadings(sql, query),
    // What was decided and how it stands go together.
    decisions: (query) => sql.begin('isolation level repeatable read read only', (tx) => readDecisions(tx, query)),
  }
}

interface ReadingRow {
  name: string
  ts: number
  receivedAt: number
  number: number | null
  other: string | null
}

async function readReadings(sql: Queries, query: Parameters<RuleHistory['readings']>[0]): ReturnType<RuleHistory['readings']> {
  const { tenant, incarnation, names, from, to, most } = query
  if (names.length === 0) return { known: [], readings: [] }
  const columns = sql.unsafe(`p.name, ${epochMs('t.ts')} as ts, ${epochMs('t.received_at')} as "receivedAt", t.number, t.other`)
  const at = (ms: number) => sql`${new Date(ms).toISOString()}::text::timestamptz`
  const known = await sql<ReadingRow[]>`
    select ${columns} from properties p cross join lateral (
      select ts, received_at, number, other from telemetry
      where incarnation = ${incarnation} and property = p.property and ts < ${at(from)} and received_at < ${at(from)}
      order by ts desc limit 1
    ) t
    where p.tenant = ${tenant} and p.name = any(${names}::text[])`
  const readings = await sql<ReadingRow[]>`
    select ${columns} from properties p join telemetry t on t.incarnation = ${incarnation} and t.property = p.property
    where p.tenant = ${tenant} and p.name = any(${names}::text[]) and t.ts >= ${at(from)} and t.ts < ${at(to)} and t.received_at < ${at(to)}
    order by t.received_at, t.ts limit ${most + 1}`
  return readings.length > most ? undefined : { known: known.map(readingOf), readings: readings.map(readingOf) }
}

function readingOf({ name, ts, receivedAt, number, other }: ReadingRow): Reading {
  return { name, ts, receivedAt, value: other === null ? number : JSON.parse(other) }
}

async function readDecisions(sql: Queries, query: Parameters<RuleHistory['decisions']>[0]): ReturnType<RuleHistory['decisions']> {
  const { incarnation, kinds, deviceEvents, from, most } = query
  const since = sql`${new Date(from).toISOString()}::text::timestamptz`
  const rows = await sql<Array<{ kind: string; event: string }>>`
    select kind, event from twin_history
    where incarnation = ${incarnation} and at >= ${since}
      and (kind = any(${kinds}::text[]) or (kind = 'device-event' and event::json->>'name' = any(${deviceEvents}::text[])))
    order by revision, n limit ${most + 1}`
  if (rows.length > most) return undefined
  const [before] = await sql<Array<{ event: string }>>`
    select event from twin_history where incarnation = ${incarnation} and at < ${since} and kind = 'presence-changed'
    order by revision desc, n desc limit 1`
  const [device] = await sql<Array<{ state: string | null }>>`select state from devices where incarnation = ${incarnation}`
  const all = rows.map(({ kind, event }): TwinEvent => ({ kind, cause: { by: 'lane' }, ...JSON.parse(event) }))
  // What was decided later than that may be of an earlier time, and is how it was then.
  const earlier = all.findLast((event): event is PresenceChange => event.kind === 'presence-changed' && event.at < from)
  return {
    // They are in the order of the decisions; of one decision an earlier time may come later.
    events: all.filter(({ at }) => at >= from).sort((a, b) => a.at - b.at),
    now: standingOf(device?.state ? upgrade(JSON.parse(device.state)) : initialState()),
    reason: (earlier ?? (before && (JSON.parse(before.event) as PresenceChange)))?.reason,
  }
}

type PresenceChange = Extract<TwinEvent, { kind: 'presence-changed' }>

function standingOf({ presence, reported, desired, firmware, health }: TwinState): Standing {
  return { presence, reported, desired, firmware, health }
}
