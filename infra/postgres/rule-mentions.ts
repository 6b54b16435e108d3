/** Which live rules name something that is to be removed: as a target, or as a prediction model. */
import type { Queries } from './connect.ts'

/** Of the rules that are told. */
const NAMED = 5

export function rulesThatTell(sql: Queries, tenant: string, target: string): Promise<string[]> {
  return rulesWhere(
    sql,
    tenant,
    sql`(action ->> 'kind' = 'notify' and action ->> 'target' = ${target})
      or (action ->> 'kind' = 'ticket' and exists (
        select from json_array_elements_text(coalesce(action -> 'onCall', '[]')) as called where called = ${target}))`,
  )
}

export function rulesThatAsk(sql: Queries, tenant: string, model: string): Promise<string[]> {
  return rulesWhere(
    sql,
    tenant,
    sql`(action ->> 'kind' = 'predict' and action ->> 'model' = ${model}) or (action ->> 'kind' = 'ticket' and action ->> 'predict' = ${model})`,
  )
}

async function rulesWhere(sql: Queries, tenant: string, named: ReturnType<Queries>): Promise<string[]> {
  const rows = await sql<Array<{ name: string }>>`
    select name from rules r where tenant = ${tenant} and status = 'live' and exists (
      select from json_array_elements(coalesce(r.body::json -> 'actions', '[]')) as action where ${named})
    order by name limit ${NAMED}`
  return rows.map(({ name }) => name)
}
