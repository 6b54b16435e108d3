/** Rules as the owners of the lanes read them: which are live, and for which devices they may be others than those that their twins know. */
import type { LiveRule, Outdated, Registered } from '../../api/ingest/lane-store.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

/** It is asked with every tick: the scopes are as many as there are models with rules. */
export async function ruleChange(sql: Queries): Promise<{ change: number; devices: boolean }> {
  const [row] = await sql<[{ change: number; devices: boolean }]>`
    select coalesce(max(change), 0)::float8 as change, exists (select from rule_devices) as devices from rule_scopes`
  return row
}

export async function liveRules(sql: Queries): Promise<LiveRule[]> {
  return await sql<LiveRule[]>`
    select r.tenant, r.name, r.version, r.model, r.filter, v.body, ${sql.unsafe(epochMs('v.created_at'))} as "createdAt"
    from rules r join rule_versions v on v.tenant = r.tenant and v.name = r.name and v.version = r.version
    where r.status = 'live' order by r.tenant, r.name`
}

export async function outdatedDevices(sql: Queries, lanes: number[], limit: number): Promise<Outdated[]> {
  return await sql<Outdated[]>`
    select i.incarnation, r.number::float8 as asked
    from twin_inbox i join devices d using (incarnation) left join rule_devices r using (incarnation)
    where i.lane in (select unnest(${`{${lanes.join(',')}}`}::text::int[]))
      and (exists (select from rule_scopes s where s.tenant = d.tenant and s.model in ('', d.model) and s.change > i.rules)
        or r.number is not null)
    limit ${limit}`
}

export async function registeredDevices(sql: Queries, incarnations: number[]): Promise<Map<number, Registered>> {
  const rows = await sql<Array<Registered & { incarnation: number }>>`
    select incarnation, model, attributes::text as attributes from devices
    where incarnation in (select unnest(${`{${incarnations.join(',')}}`}::text::int[]))`
  return new Map(rows.map(({ incarnation, ...row }) => [incarnation, row]))
}
