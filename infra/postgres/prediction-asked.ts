/** Predictions whose workflow is to be started: of each model as many as it may be asked at once, so that what waits does so in Postgres. */
import type { Queries } from './connect.ts'

export interface UnaskedPrediction {
  id: string
  tenant: string
  workflow: string | null
}

const AT_ONCE = 100
/** A prediction is a matter of seconds: one that is under way for so long may be known to Postgres alone. */
const LATE = '30 seconds'

/** In turn of all models, the oldest of each first: one that is asked about a whole fleet keeps no other waiting. */
export async function unaskedPredictions(sql: Queries): Promise<UnaskedPrediction[]> {
  return sql<UnaskedPrediction[]>`
    select id, tenant, workflow from (
      select p.id, p.tenant, p.number, p.workflow, m.at_once,
        row_number() over (partition by p.tenant, p.model, p.workflow is null order by p.number) as place,
        count(*) filter (where p.workflow is not null) over (partition by p.tenant, p.model) as under_way
      from predictions p join prediction_models m on m.tenant = p.tenant and m.name = p.model where p.status = 'waiting'
    ) as waiting
    where workflow is null and under_way + place <= at_once order by place, number limit ${AT_ONCE}`
}

export async function predictionStarted(sql: Queries, id: string, workflow: string): Promise<void> {
  await sql`update predictions set workflow = ${workflow} where id = ${id} and workflow is null`
}

export async function predictionsUnderWay(sql: Queries): Promise<UnaskedPrediction[]> {
  return sql<UnaskedPrediction[]>`
    select id, tenant, workflow from predictions
    where status = 'waiting' and workflow is not null and asked_at < now() - ${LATE}::text::interval order by number limit ${AT_ONCE}`
}

/** Whoever ended its workflow did not want an answer; and its place is free for the next one. */
export async function predictionInterrupted(sql: Queries, id: string): Promise<void> {
  await sql`
    update predictions set status = 'failed', answered_at = now(), error = 'Its workflow was ended before it had an answer.'
    where id = ${id} and status = 'waiting'`
}

/** For metrics. */
export async function waitingPredictions(sql: Queries): Promise<number> {
  const [row] = await sql<[{ count: number }]>`select count(*)::int as count from predictions where status = 'waiting'`
  return row.count
}
