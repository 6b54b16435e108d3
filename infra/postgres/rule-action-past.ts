/** What was before some turns of alarms, as far as it says whether they are loops or chains (twin-models/core/action-guard.ts). */

import { MOST_WAITING } from '../../api/alarms/plan-actions.ts'
import type { AlarmTurn, Past } from '../../api/alarms/ports.ts'
import { type ActingAlarm, CHAIN, type CutBy, type Deed, LOOP } from '../../twin-models/core/action-guard.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

export async function readPast(sql: Queries, turns: AlarmTurn[]): Promise<Past> {
  const heard = turns.filter(({ isHeard }) => isHeard)
  const [acting, depths, deeds, held, waiting] = [
    await readActing(sql, turns),
    await readDepths(sql, turns),
    await readDeeds(sql, turns),
    await readHeld(sql, heard),
    await readWaiting(sql, turns),
  ]
  return {
    acting: (incarnation, rule) => acting.get(lineOf(incarnation, rule)) ?? [],
    depth: (incarnation, n) => depths.get(`${incarnation}-${n}`),
    deeds: (incarnation) => deeds.get(incarnation) ?? [],
    heldPlaces: (incarnation, n) => held.filter((row) => row.incarnation === incarnation && row.n === n).map(({ place }) => place),
    waiting: (tenant) => waiting.get(tenant) ?? 0,
  }
}

/** An alarm is cut where one of its actions was: the first reason is that of all. */
async function readActing(sql: Queries, turns: AlarmTurn[]): Promise<Map<string, ActingAlarm[]>> {
  const lines = [...new Map(turns.map((turn) => [lineOf(turn.incarnation, turn.rule), turn])).values()]
  const since = Math.min(...turns.map(({ at }) => at)) - LOOP.windowMs
  const asked = JSON.stringify(lines.map(({ incarnation, rule }) => ({ incarnation, rule })))
  const own = JSON.stringify(turns.map(({ incarnation, n }) => ({ incarnation, n })))
  const rows = await sql<Array<{ incarnation: number; rule: string; n: number; at: number; cut: CutBy | null }>>`
    select incarnation, rule, n, min(at) as at, min(cut) as cut from (
      select a.incarnation, a.rule, a.n, ${sql.unsafe(epochMs('a.at'))} as at, nullif(a.cut_by, 'crowd') as cut
      from json_to_recordset(${asked}::text::json) as asked (incarnation int, rule text)
      join rule_actions a on a.incarnation = asked.incarnation and a.rule = asked.rule
      where a.kind in ('command', 'wish') and a.at > to_timestamp(${since}::float8 / 1000)
      union all
      select a.incarnation, a.rule, a.n, ${sql.unsafe(epochMs('a.at'))}, nullif(a.cut_by, 'crowd')
      from json_to_recordset(${own}::text::json) as asked (incarnation int, n int)
      join rule_actions a on a.incarnation = asked.incarnation and a.n = asked.n
      where a.kind in ('command', 'wish')
    ) as a group by incarnation, rule, n order by at`
  const known = Map.groupBy(rows, ({ incarnation, rule }) => lineOf(incarnation, rule))
  return new Map([...known].map(([line, alarms]) => [line, alarms.map(({ n, at, cut }) => ({ n, at, ...(cut && { cut }) }))]))
}

async function readDepths(sql: Queries, turns: AlarmTurn[]): Promise<Map<string, number>> {
  const asked = JSON.stringify(turns.map(({ incarnation, n }) => ({ incarnation, n })))
  const rows = await sql<Array<{ incarnation: number; n: number; depth: number }>>`
    select a.incarnation, a.n, max(a.depth) as depth
    from json_to_recordset(${asked}::text::json) as asked (incarnation int, n int)
    join rule_actions a on a.incarnation = asked.incarnation and a.n = asked.n group by a.incarnation, a.n`
  return new Map(rows.map(({ incarnation, n, depth }) => [`${incarnation}-${n}`, depth]))
}

/** Those that an alarm may follow. The times of both are Postgres’. */
async function readDeeds(sql: Queries, turns: AlarmTurn[]): Promise<Map<number, Deed[]>> {
  const asked = [...Map.groupBy(turns, ({ incarnation }) => incarnation)].map(([target, own]) => {
    const began = own.map(({ at, heldMs }) => at - heldMs)
    return { target, from: Math.min(...began) - CHAIN.withinMs, to: Math.max(...began) + 1 }
  })
  const rows = await sql<Deed[]>`
    select ${sql.unsafe(epochMs('a.ended_at'))} as at, a.target, a.incarnation, max(a.depth) as depth
    from json_to_recordset(${JSON.stringify(asked)}::text::json) as asked (target int, "from" float8, "to" float8)
    join rule_actions a on a.target = asked.target
      and a.ended_at >= to_timestamp(asked."from" / 1000) and a.ended_at <= to_timestamp(asked."to" / 1000)
    where a.state = 'done' group by 1, 2, 3`
  return Map.groupBy(rows, ({ target }) => target)
}

/** What was left out when these alarms were raised, since their devices were in maintenance, and has not been asked for since. */
export async function readHeld(sql: Queries, alarms: Array<{ incarnation: number; n: number }>) {
  if (alarms.length === 0) return []
  const asked = JSON.stringify(alarms.map(({ incarnation, n }) => ({ incarnation, n })))
  return sql<Array<{ incarnation: number; n: number; place: number; version: number }>>`
    select incarnation, n, place, rule_version as version
    from json_to_recordset(${asked}::text::json) as asked (incarnation int, n int) join rule_actions using (incarnation, n)
    where turn = 'raised' and state = 'cut' and cut_by = 'maintenance'`
}

async function readWaiting(sql: Queries, turns: AlarmTurn[]): Promise<Map<string, number>> {
  const tenants = JSON.stringify([...new Set(turns.map(({ tenant }) => tenant))])
  const rows = await sql<Array<{ tenant: string; count: number }>>`
    select asked.tenant, waiting.count from json_array_elements_text(${tenants}::text::json) as asked (tenant)
    cross join lateral (
      select count(*)::int as count from (
        select from rule_actions a where a.tenant = asked.tenant and a.state = 'waiting' limit ${MOST_WAITING}
      ) as w
    ) as waiting`
  return new Map(rows.map(({ tenant, count }) => [tenant, count]))
}

function lineOf(incarnation: number, rule: string): string {
  return JSON.stringify([incarnation, rule])
}
