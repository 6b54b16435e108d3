/** Rules in Postgres: the newest version of each, and all that there ever were. */
import type { Page } from '../../api/ports.ts'
import type { NewRuleVersion, RuleRow, Rules, RuleVersion } from '../../api/rule-ports.ts'
import { same } from '../../twin-models/core/plain.ts'
import { RULE_LIMITS } from '../../twin-models/rules/language.ts'
import type { StoredRule } from '../../twin-models/rules/ready.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'

export function createRules(sql: Sql): Rules {
  return {
    put: (tenant, rule) => putRule(sql, tenant, rule),
    find: (tenant, name) => findRule(sql, tenant, name),
    list: (tenant, query) => listRules(sql, tenant, query),
    versions: (tenant, name, page) => listVersions(sql, tenant, name, page),
    version: (tenant, name, version) => findVersion(sql, tenant, name, version),
    remove: (tenant, name) => removeRule(sql, tenant, name),
    live: (tenant) => liveRulesOf(sql, tenant),
  }
}

/** Whoever changes live rules waits for it, so that their changes are committed in the order of their numbers. */
const CHANGE_LOCK = 0x72756c6573
const COLUMNS = `name, version, status, model, filter, body, ${epochMs('created_at')} as "createdAt", created_by as "createdBy",
  ${epochMs('changed_at')} as "changedAt"`
const VERSION_COLUMNS = `version, body, ${epochMs('created_at')} as "createdAt", created_by as "createdBy"`

async function putRule(sql: Sql, tenant: string, rule: NewRuleVersion): ReturnType<Rules['put']> {
  return sql.begin(async (tx) => {
    // Two at once would both find the last place free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    const before = await findRule(tx, tenant, rule.name)
    if (rule.ifVersion !== undefined && rule.ifVersion !== before?.version) return 'other-version'
    if (before && same(JSON.parse(before.body), JSON.parse(rule.body))) return { rule: before, outcome: 'same' as const }
    if (!before && (await countRules(tx, tenant)) >= RULE_LIMITS.rules) return 'too-many-rules'
    if (rule.status === 'live' && (await countOthers(tx, tenant, rule)) >= RULE_LIMITS.live) return 'too-many-live'
    const version = await nextVersion(tx, tenant, rule.name)
    if (version > RULE_LIMITS.versions) return 'too-many-versions'
    await writeVersion(tx, tenant, rule, version)
    await noteChange(tx, tenant, [before, rule])
    return { rule: (await findRule(tx, tenant, rule.name))!, outcome: before ? ('changed' as const) : ('made' as const) }
  })
}

async function findRule(sql: Queries, tenant: string, name: string): Promise<RuleRow | undefined> {
  const [rule] = await sql<RuleRow[]>`select ${sql.unsafe(COLUMNS)} from rules where tenant = ${tenant} and name = ${name}`
  return rule
}

async function countRules(tx: Transaction, tenant: string): Promise<number> {
  const [row] = await tx<[{ count: number }]>`select count(*)::int as count from rules where tenant = ${tenant}`
  return row.count
}

/** Live rules besides it that a device of its model may have; for a rule of any model, of the model that has the most. */
async function countOthers(tx: Transaction, tenant: string, { name, model }: NewRuleVersion): Promise<number> {
  const [row] = await tx<[{ count: number }]>`
    with live as (
      select model, count(*)::int as count from rules where tenant = ${tenant} and status = 'live' and name <> ${name} group by model
    )
    select coalesce((select count from live where model is null), 0)
      + coalesce((select max(count) from live where model is not null and ${model === null ? tx`true` : tx`model = ${model}`}), 0) as count`
  return row.count
}

/** A name that was used before goes on: no version is ever another one. */
async function nextVersion(tx: Transaction, tenant: string, name: string): Promise<number> {
  const [row] = await tx<[{ version: number }]>`
    select coalesce(max(version), 0) + 1 as version from rule_versions where tenant = ${tenant} and name = ${name}`
  return row.version
}

async function writeVersion(tx: Transaction, tenant: string, rule: NewRuleVersion, version: number): Promise<void> {
  const { name, status, model, filter, body, by } = rule
  await tx`
    insert into rule_versions (tenant, name, version, body, created_by) values (${tenant}, ${name}, ${version}, ${body}, ${by})`
  await tx`
    insert into rules (tenant, name, version, status, model, filter, body, created_by)
    values (${tenant}, ${name}, ${version}, ${status}, ${model}, ${filter}, ${body}, ${by})
    on conflict (tenant, name) do update set version = excluded.version, status = excluded.status, model = excluded.model,
      filter = excluded.filter, body = excluded.body, changed_at = now()`
}

/** Of what is live, or was: for the devices of each model that it is for, or was. */
async function noteChange(tx: Transaction, tenant: string, rules: Array<Pick<RuleRow, 'status' | 'model'> | undefined>): Promise<void> {
  const scopes = new Set(rules.flatMap((rule) => (rule?.status === 'live' ? [rule.model ?? ''] : [])))
  if (scopes.size === 0) return
  await tx`select pg_advisory_xact_lock(${CHANGE_LOCK}::bigint)`
  await tx`
    insert into rule_scopes (tenant, model, change)
    select ${tenant}, model, change from (select nextval('rule_changes') as change) as next, unnest(${[...scopes]}::text[]) as model
    on conflict (tenant, model) do update set change = excluded.change`
}

async function removeRule(sql: Sql, tenant: string, name: string): Promise<boolean> {
  return sql.begin(async (tx) => {
    const [rule] = await tx<Array<Pick<RuleRow, 'status' | 'model'>>>`
      delete from rules where tenant = ${tenant} and name = ${name} returning status, model`
    await noteChange(tx, tenant, [rule])
    return rule !== undefined
  })
}

async function listRules(sql: Queries, tenant: string, { status, model, page }: Parameters<Rules['list']>[1]): Promise<RuleRow[]> {
  return sql<RuleRow[]>`
    select ${sql.unsafe(COLUMNS)} from rules
    where tenant = ${tenant} and name > ${page.after ?? ''}
      ${status === undefined ? sql`` : sql`and status = ${status}`} ${model === undefined ? sql`` : sql`and model = ${model}`}
    order by name limit ${page.limit}`
}

async function liveRulesOf(sql: Queries, tenant: string): Promise<StoredRule[]> {
  return sql<StoredRule[]>`
    select name, version, model, filter, body, ${sql.unsafe(epochMs('changed_at'))} as "createdAt" from rules
    where tenant = ${tenant} and status = 'live' order by name`
}

async function listVersions(sql: Queries, tenant: string, name: string, { after, limit }: Page<number>): Promise<RuleVersion[]> {
  return sql<RuleVersion[]>`
    select ${sql.unsafe(VERSION_COLUMNS)} from rule_versions
    where tenant = ${tenant} and name = ${name} ${after === undefined ? sql`` : sql`and version < ${after}`}
    order by version desc limit ${limit}`
}

export async function findVersion(sql: Queries, tenant: string, name: string, version: number): Promise<RuleVersion | undefined> {
  const [row] = await sql<RuleVersion[]>`
    select ${sql.unsafe(VERSION_COLUMNS)} from rule_versions where tenant = ${tenant} and name = ${name} and version = ${version}`
  return row
}
