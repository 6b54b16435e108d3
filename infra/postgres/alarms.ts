/** Alarms as REST reads them. What becomes of them, the decision write says (decision-alarms.ts). */
import type { AlarmCounts, AlarmKey, AlarmQuery, AlarmRow, Alarms } from '../../api/alarm-ports.ts'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { readAlarmHistory } from './alarm-history.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

export function createAlarms(sql: Queries): Alarms {
  return {
    find: (tenant, keys) => findAlarms(sql, tenant, keys),
    list: (query) => listAlarms(sql, query),
    counts: (tenant, mostRules) => countAlarms(sql, tenant, mostRules),
    history: (tenant, key, page) => readAlarmHistory(sql, tenant, key, page),
    ask: (tenant, requests) => askTwins(sql, tenant, requests),
  }
}

const COLUMNS = `a.incarnation, a.n, a.number, a.device, a.rule, a.rule_version as version, a.severity, a.status, a.text,
  ${epochMs('a.since')} as since, ${epochMs('a.raised_at')} as "raisedAt", ${epochMs('a.updated_at')} as "updatedAt", a.count, a.flapping,
  a.muted, ${epochMs('a.acknowledged_at')} as "acknowledgedAt", a.acknowledged_by as "acknowledgedBy",
  a.acknowledged_note as "acknowledgedNote", ${epochMs('a.shelved_until')} as "shelvedUntil", a.assignee,
  ${epochMs('a.cleared_at')} as "clearedAt", a.clear_reason as "clearReason", a.cleared_by as "clearedBy", a.clear_note as "clearNote",
  a."values"`

async function findAlarms(sql: Queries, tenant: string, keys: AlarmKey[]): Promise<AlarmRow[]> {
  return sql<AlarmRow[]>`
    select ${sql.unsafe(COLUMNS)} from alarms a
    join (select distinct incarnation, n from json_to_recordset(${JSON.stringify(keys)}::text::json) as asked (incarnation int, n int)) asked
      on a.incarnation = asked.incarnation and a.n = asked.n
    where a.tenant = ${tenant}`
}

/** Each of these conditions has an index that gives the alarms in this order; so has their being open. */
async function listAlarms(sql: Queries, query: AlarmQuery): Promise<AlarmRow[] | undefined> {
  const { tenant, device, statuses, severities, rule, assignee, from, to, page } = query
  const at = (ms: number) => sql`${new Date(ms).toISOString()}::text::timestamptz`
  let incarnation: number | undefined
  if (device !== undefined) {
    const [found] = await sql<Array<{ incarnation: number }>>`
      select incarnation from devices where tenant = ${tenant} and device = ${device}`
    if (!found) return undefined
    incarnation = found.incarnation
  }
  return sql<AlarmRow[]>`
    select ${sql.unsafe(COLUMNS)} from alarms a
    where a.tenant = ${tenant}
      ${incarnation === undefined ? sql`` : sql`and a.incarnation = ${incarnation}`}
      ${statuses.includes('cleared') ? sql`` : sql`and a.cleared_at is null`}
      and a.status = any(${statuses as string[]}::text[])
      ${severities.length === SEVERITIES.length ? sql`` : sql`and a.severity = any(${severities as string[]}::text[])`}
      ${rule === undefined ? sql`` : sql`and a.rule = ${rule}`}
      ${assignee === undefined ? sql`` : sql`and a.assignee = ${assignee}`}
      ${from === undefined ? sql`` : sql`and a.raised_at >= ${at(from)}`}
      ${to === undefined ? sql`` : sql`and a.raised_at < ${at(to)}`}
      ${page.after === undefined ? sql`` : sql`and (a.raised_at, a.number) < (${at(page.after.raisedAt)}, ${page.after.number}::bigint)`}
    order by a.raised_at desc, a.number desc limit ${page.limit}`
}

async function countAlarms(sql: Queries, tenant: string, mostRules: number): Promise<AlarmCounts> {
  const [severities, rules] = await Promise.all([
    sql<AlarmCounts['severities']>`
      select severity, status, count(*)::int as count from alarms where tenant = ${tenant} and cleared_at is null group by severity, status`,
    sql<AlarmCounts['rules']>`
      select rule, (${SEVERITIES as unknown as string[]}::text[])[max(array_position(${SEVERITIES as unknown as string[]}::text[], severity))] as severity,
        count(*) filter (where status = 'raised')::int as raised, count(*) filter (where status = 'acknowledged')::int as acknowledged
      from alarms where tenant = ${tenant} and cleared_at is null group by rule order by count(*) desc, rule limit ${mostRules}`,
  ])
  return { severities: [...severities], rules: [...rules] }
}

/** In one statement. It holds on to the devices: their removal comes after, and answers what was asked before. */
async function askTwins(sql: Queries, tenant: string, requests: Parameters<Alarms['ask']>[1]): Promise<string[]> {
  const rows = await sql<Array<{ id: string }>>`
    with asked as (
      select a.id, a.body, d.incarnation
      from json_to_recordset(${JSON.stringify(requests)}::text::json) as a (id uuid, incarnation int, body text)
      join devices d on d.incarnation = a.incarnation and d.tenant = ${tenant}
      order by d.incarnation
      for key share of d
    )
    insert into twin_requests (id, tenant, incarnation, lane, kind, body)
    select id, ${tenant}, incarnation, incarnation % 16, 'alarm', body from asked
    returning id`
  return rows.map(({ id }) => id)
}
