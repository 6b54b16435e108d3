/**
 * What a ticket sees: its device, the alarms of its rule, its prediction, and how another system knows it. `SEEN` is the same as one short text, by
 * which it is known that there is something new without looking at it.
 */
import type { TicketPredictions } from '../../activities/ticket-ports.ts'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import type { SeenAlarm, TicketSight } from '../../twin-models/core/ticket-types.ts'
import { epochMs } from './columns.ts'
import type { Transaction } from './connect.ts'

const MOST_ALARMS = 10
const TEXT = 300
const RANKS = `array['${SEVERITIES.join("', '")}']`

/** Of `tickets t`. One that there never was is no rule that was removed. */
const RULE_GONE = `(not exists (select from rules r where r.tenant = t.tenant and r.name = t.rule)
  and exists (select from rule_versions v where v.tenant = t.tenant and v.name = t.rule))`

/** Of `tickets t`. Every alarm that comes, goes or grows worse changes it, and so does the removal of the device, or of the rule. */
export const SEEN = `(
  select concat_ws('/', (select count(*) from devices d where d.incarnation = t.incarnation) || case when ${RULE_GONE} then '-' else '' end, count(*), count(a.cleared_at),
    max(array_position(${RANKS}, a.severity)))
  from alarms a where a.incarnation = t.incarnation and a.rule = t.rule and a.n >= t.alarm)`

export async function sightOf(tx: Transaction, id: string, predictions: TicketPredictions<Transaction>): Promise<TicketSight> {
  const [row] = await tx<Array<SightRow>>`
    select exists (select from devices d where d.incarnation = t.incarnation and d.tenant = t.tenant) as "isThere", ${tx.unsafe(SEEN)} as seen,
      exists (
        select from devices d join twin_inbox i using (incarnation)
        where d.incarnation = t.incarnation and (i.urgent or i.sealed_seq > d.decided_seq)) as "isBehind",
      case when i.connection is null then coalesce(i.last_seen, 0) end::float8 as "silentSince",
      t.rule is not null and not exists (
        select from rules r where r.tenant = t.tenant and r.name = t.rule and r.status = 'live') as "isUnwatched",
      ${tx.unsafe(RULE_GONE)} as "isRuleGone",
      all_of_it.alarms, all_of_it.rank, coalesce(newest.alarms, '[]') as recent, prediction, prediction_problem as problem, t.tenant,
      external_system as system, external_key as key, external_url as url, external_status as status
    from tickets t left join twin_inbox i using (incarnation),
      lateral (
        select count(*)::int as alarms, max(array_position(${tx.unsafe(RANKS)}, severity)) as rank from alarms a
        where a.incarnation = t.incarnation and a.rule = t.rule and a.n >= t.alarm) all_of_it,
      lateral (
        select json_agg(json_build_object('n', n, 'severity', severity, 'text', left(text, ${TEXT}), 'raisedAt', ${tx.unsafe(epochMs('raised_at'))},
          'clearedAt', ${tx.unsafe(epochMs('cleared_at'))}, 'clearedBy', nullif(clear_reason, 'rule')) order by n desc)::text as alarms
        from (select * from alarms a where a.incarnation = t.incarnation and a.rule = t.rule and a.n >= t.alarm order by n desc limit ${MOST_ALARMS}) a) newest
    where t.id = ${id}`
  const { isThere, isBehind, silentSince, isUnwatched, isRuleGone, seen, alarms, rank, recent, prediction, problem } = row!
  return {
    ...{ isThere, seen, alarms, ...(rank !== null && { worst: SEVERITIES[rank - 1]! }) },
    ...(isBehind && { isBehind }),
    ...(silentSince !== null && { silentSince }),
    ...(isUnwatched && { isUnwatched }),
    ...(isRuleGone && { isRuleGone }),
    recent: (JSON.parse(recent) as StoredAlarm[]).map(({ clearedAt, clearedBy, ...alarm }) => ({
      ...alarm,
      ...(clearedAt !== null && { clearedAt }),
      ...(clearedBy !== null && { clearedBy }),
    })),
    ...(problem !== null && { prediction: { status: 'failed', detail: problem } }),
    ...(problem === null && prediction !== null && { prediction: await predictions.result(tx, row!.tenant, prediction) }),
    ...externalOf(row!),
  }
}

interface SightRow {
  tenant: string
  isThere: boolean
  isBehind: boolean
  silentSince: number | null
  isUnwatched: boolean
  isRuleGone: boolean
  seen: string
  alarms: number
  rank: number | null
  /** JSON. */
  recent: string
  prediction: string | null
  problem: string | null
  system: string | null
  key: string | null
  url: string | null
  status: string | null
}

type StoredAlarm = Omit<SeenAlarm, 'clearedAt' | 'clearedBy'> & { [member in 'clearedAt' | 'clearedBy']: SeenAlarm[member] | null }

function externalOf({ system, key, url, status }: SightRow): Pick<TicketSight, 'external'> {
  if (system === null || key === null) return {}
  return { external: { system, key, ...(url !== null && { url }), ...(status !== null && { status }) } }
}
