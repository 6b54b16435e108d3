/** Live rules for whoever tells the twins of them: the owner of a lane. It asks what changed since, and reads the rules of those tenants anew. */
import type { StoredRule } from '../../twin-models/rules/ready.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

export interface LiveRule extends StoredRule {
  tenant: string
}

/** A change of live rules that concerns the devices of a tenant that have this model; '': of any model. */
export interface RuleScope {
  tenant: string
  model: string
  change: number
}

/** Changes are committed in the order of their numbers: whoever has seen this one has seen all before it. 0: there never was a live rule. */
export async function newestRuleChange(sql: Queries): Promise<number> {
  const [row] = await sql<[{ change: number }]>`select coalesce(max(change), 0)::float8 as change from rule_scopes`
  return row.change
}

/** The newest change of each scope that has one after this. */
export async function ruleScopesSince(sql: Queries, change: number): Promise<RuleScope[]> {
  return sql<RuleScope[]>`select tenant, model, change::float8 as change from rule_scopes where change > ${change} order by change`
}

/** Of these tenants; by name. */
export async function liveRules(sql: Queries, tenants: string[]): Promise<LiveRule[]> {
  return sql<LiveRule[]>`
    select r.tenant, r.name, r.version, r.model, r.filter, r.body, ${sql.unsafe(epochMs('v.created_at'))} as "createdAt"
    from rules r join rule_versions v on v.tenant = r.tenant and v.name = r.name and v.version = r.version
    where r.status = 'live' and r.tenant = any(${tenants}::text[])
    order by r.tenant, r.name`
}
