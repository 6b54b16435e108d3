/** The actions of rules as REST shows them, and has them done again. */
import type { RuleActionQuery, RuleActionRow, RuleActions } from '../../api/rule-action-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'

const DAYS_KEPT = 30
const ROWS_A_STEP = 20_000
const COLUMNS = `a.id, a.number, a.incarnation, a.device, a.n, a.rule, a.rule_version as version, a.turn, a.place, a.kind, a.name,
  ${epochMs('a.at')} as at, a.depth, a.state, ${epochMs('a.due')} as due, a.attempts, t.device as target, a.result, a.cut_by as "cutBy", a.error,
  ${epochMs('a.ended_at')} as "endedAt", c.status as "commandStatus", c.code as "commandCode", c.message as "commandMessage",
  ${epochMs('c.ended_at')} as "commandEndedAt"`
/** A command has the id of its action. */
const JOINED = `rule_actions a left join devices t on t.incarnation = a.target
  left join commands c on a.kind = 'command' and a.state = 'done' and c.id = a.id and c.tenant = a.tenant`

export function createRuleActions(sql: Sql): RuleActions {
  return {
    list: (tenant, query) => listActions(sql, tenant, query),
    find: (tenant, id) => findAction(sql, tenant, id),
    retry: (tenant, id) => retryAction(sql, tenant, id),
    isRule: async (tenant, name) => {
      const [row] = await sql<[{ found: boolean }]>`
        select exists (select from rule_versions where tenant = ${tenant} and name = ${name}) as found`
      return row.found
    },
  }
}

async function listActions(sql: Queries, tenant: string, { rule, device, alarm, states, page }: RuleActionQuery): Promise<RuleActionRow[]> {
  return sql<RuleActionRow[]>`
    select ${sql.unsafe(COLUMNS)} from ${sql.unsafe(JOINED)}
    where a.tenant = ${tenant} and a.number < ${page.after ?? Number.MAX_SAFE_INTEGER}
      ${rule === undefined ? sql`` : sql`and a.rule = ${rule}`}
      ${device === undefined ? sql`` : sql`and a.device = ${device}`}
      ${alarm === undefined ? sql`` : sql`and a.incarnation = ${alarm.incarnation} and a.n = ${alarm.n}`}
      ${states === undefined ? sql`` : sql`and a.state = any(${states as string[]}::text[])`}
    order by a.number desc limit ${page.limit}`
}

async function findAction(sql: Queries, tenant: string, id: string): Promise<RuleActionRow | undefined> {
  const [row] = await sql<RuleActionRow[]>`
    select ${sql.unsafe(COLUMNS)} from ${sql.unsafe(JOINED)} where a.tenant = ${tenant} and a.id = ${id}::uuid`
  return row
}

async function retryAction(sql: Queries, tenant: string, id: string): Promise<RuleActionRow | undefined> {
  const { count } = await sql`
    update rule_actions set state = 'waiting', due = now(), attempts = 0, cut_by = null, error = null, ended_at = null
    where tenant = ${tenant} and id = ${id}::uuid and state in ('failed', 'cut')`
  return count === 0 ? undefined : findAction(sql, tenant, id)
}

/** Retention: those that ended long ago, in bounded steps, but for what may be done at the end of a maintenance. Returns how many went. */
export async function deleteEndedActions(sql: Queries): Promise<number> {
  const { count } = await sql`
    delete from rule_actions where id in (
      select id from rule_actions r where ended_at < now() - make_interval(days => ${DAYS_KEPT}) and not (coalesce(cut_by, '') = 'maintenance'
        and exists (select from alarms a where a.incarnation = r.incarnation and a.n = r.n and a.cleared_at is null))
      order by ended_at limit ${ROWS_A_STEP})`
  return count
}
