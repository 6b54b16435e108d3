/** Prediction models in Postgres. The credential that their server is shown stands apart, and goes to nobody else. */
import type { ServedModel } from '../../activities/prediction-ports.ts'
import type { Page } from '../../api/ports.ts'
import { MOST_PREDICTION_MODELS, type PredictionModel, type PredictionModels } from '../../api/prediction-ports.ts'
import { msOf, type PredictionModelRequest } from '../../twin-models/schemas/prediction-model.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { rulesThatAsk } from './rule-mentions.ts'

export function createPredictionModels(sql: Sql): PredictionModels {
  return {
    put: (tenant, name, request, by) => putModel(sql, tenant, name, request, by),
    find: (tenant, name) => findModel(sql, tenant, name),
    list: (tenant, page) => listModels(sql, tenant, page),
    remove: (tenant, name) => removeModel(sql, tenant, name),
  }
}

/** With its credential: for who asks its server. */
export async function servedModel(sql: Queries, tenant: string, name: string): Promise<ServedModel | undefined> {
  const [row] = await sql<Array<{ body: string; auth: string | null }>>`
    select body, auth from prediction_models where tenant = ${tenant} and name = ${name}`
  return row && { tenant, name, settings: JSON.parse(row.body), bearer: row.auth === null ? null : JSON.parse(row.auth).bearer }
}

interface StoredModel extends Omit<PredictionModel, 'settings'> {
  body: string
}

const COLUMNS = `m.name, m.body, m.auth is not null as "hasAuth", ${epochMs('m.next_at')} as "nextAt", ${epochMs('m.created_at')} as "createdAt",
  m.created_by as "createdBy", ${epochMs('m.changed_at')} as "changedAt",
  (select count(*)::int from predictions p where p.tenant = m.tenant and p.model = m.name and p.status = 'waiting') as waiting`

async function findModel(sql: Queries, tenant: string, name: string): Promise<PredictionModel | undefined> {
  const [row] = await sql<StoredModel[]>`
    select ${sql.unsafe(COLUMNS)} from prediction_models m where tenant = ${tenant} and name = ${name}`
  return row && parsed(row)
}

async function listModels(sql: Queries, tenant: string, { after, limit }: Page<string>): Promise<PredictionModel[]> {
  const rows = await sql<StoredModel[]>`
    select ${sql.unsafe(COLUMNS)} from prediction_models m where tenant = ${tenant} and name > ${after ?? ''} order by name limit ${limit}`
  return rows.map(parsed)
}

function parsed({ body, ...row }: StoredModel): PredictionModel {
  return { ...row, settings: JSON.parse(body) }
}

/** A schedule that is new, or was changed, begins with a round at once; another one goes on as it stood. */
async function putModel(sql: Sql, tenant: string, name: string, { auth, ...settings }: PredictionModelRequest, by: string) {
  return sql.begin(async (tx) => {
    // Two at once would both find the last place free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    const before = await servedModel(tx, tenant, name)
    if (!before) {
      const [others] = await tx<[{ count: number }]>`select count(*)::int as count from prediction_models where tenant = ${tenant}`
      if (others.count >= MOST_PREDICTION_MODELS) return 'too-many'
    }
    // A credential that nobody is shown must not be had by sending it to another place.
    const isElsewhere = before !== undefined && new URL(before.settings.url).origin !== new URL(settings.url).origin
    if (auth === undefined && isElsewhere && before.bearer !== null) return 'auth-needed'
    const bearer = auth === undefined ? (before?.bearer ?? null) : (auth?.bearer ?? null)
    const isSameSchedule = JSON.stringify(before?.settings.schedule) === JSON.stringify(settings.schedule)
    const everyMs = settings.schedule ? msOf(settings.schedule.every) : null
    await tx`
      insert into prediction_models as m (tenant, name, body, auth, at_once, every_ms, next_at, created_by)
      values (${tenant}, ${name}, ${JSON.stringify(settings)}, ${bearer === null ? null : JSON.stringify({ bearer })}, ${settings.atOnce}, ${everyMs},
        case when ${everyMs}::bigint is not null then now() end, ${by})
      on conflict (tenant, name) do update set body = excluded.body, auth = excluded.auth, at_once = excluded.at_once, every_ms = excluded.every_ms,
        next_at = case when ${isSameSchedule} then m.next_at else excluded.next_at end,
        after = case when ${isSameSchedule} then m.after end, changed_at = now()`
    return { model: (await findModel(tx, tenant, name))!, isNew: before === undefined }
  })
}

async function removeModel(sql: Sql, tenant: string, name: string): Promise<boolean | string[]> {
  return sql.begin(async (tx) => {
    if (!(await findModel(tx, tenant, name))) return false
    const asking = await rulesThatAsk(tx, tenant, name)
    if (asking.length > 0) return asking
    const { count } = await tx`delete from prediction_models where tenant = ${tenant} and name = ${name}`
    await tx`
      update predictions set status = 'failed', answered_at = now(), error = 'The prediction model was removed before it was asked.'
      where tenant = ${tenant} and model = ${name} and status = 'waiting' and ${count > 0}`
    return count > 0
  })
}
