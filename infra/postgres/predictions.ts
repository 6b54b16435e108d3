/** Predictions in Postgres: asked for by whoever wants to know, read, and given their outcome. */
import { randomUUID } from 'node:crypto'
import type { IdempotencyClaim } from '../../api/ports.ts'
import type { AskedPrediction, PredictionQuery, Predictions } from '../../api/prediction-ports.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { MOST_WAITING, type Outcome, type Prediction, type RequestedBy } from '../../twin-models/prediction/types.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { claimKey } from './idempotency.ts'

export interface PredictionRequest extends AskedPrediction {
  /** A UUID. With the same it is the same prediction, however often it is asked for. Absent: a new one. */
  id?: string
  /** Epoch ms: readings before it are left aside. Absent: none are. */
  since?: number
}

/**
 * Asks for a prediction, perhaps within a transaction; a worker starts its workflow within a second. Gives its id. Throws `invalid` where the device or
 * the model is not there, and `too-many-requests` where MOST_WAITING of the tenant wait: none of these breaks the transaction. Several that ask in
 * the same moment may go beyond that bound by as many as they are.
 */
export async function requestPrediction(sql: Queries, request: PredictionRequest): Promise<string> {
  const { tenant, incarnation, device, model, requestedBy, id = randomUUID(), since } = request
  const from = since === undefined ? null : new Date(since)
  const [row] = await sql<[{ known: boolean; served: boolean; waiting: number; written: boolean }]>`
    with checked as (
      select exists (select from devices where tenant = ${tenant} and incarnation = ${incarnation} and device = ${device}) as known,
        exists (select from prediction_models where tenant = ${tenant} and name = ${model}) as served,
        (select count(*)::int from (select from predictions where tenant = ${tenant} and status = 'waiting' limit ${MOST_WAITING}) counted) as waiting
    ), written as (
      insert into predictions (id, tenant, incarnation, device, model, requested_kind, requested_by, readings_since)
      select ${id}::uuid, ${tenant}::text, ${incarnation}::int, ${device}::text, ${model}::text, ${requestedBy.kind}::text, ${requestedBy.name}::text, ${from}::timestamptz
      from checked where known and served and waiting < ${MOST_WAITING}
      on conflict (id) do nothing returning id
    )
    select known, served, waiting, exists (select from written) or exists (select from predictions where id = ${id} and tenant = ${tenant}) as written
    from checked`
  if (row.written) return id
  if (!row.known) throw refused(`There is no device ${device} any more, or not in this registration.`, '/device', 'is not there')
  if (!row.served) throw refused(`There is no prediction model ${model}.`, '/model', 'is no prediction model')
  if (row.waiting < MOST_WAITING) throw refused(`The id ${id} is taken.`, '/id', 'is taken')
  const detail = `${MOST_WAITING} predictions wait already, which is the most. Ask again when some are answered.`
  throw new CastorError('too-many-requests', detail, { retryAfterSeconds: 10 })
}

/** What is refused leaves the key free. */
async function requestOnce(sql: Sql, asked: AskedPrediction, claim: IdempotencyClaim): Promise<{ id: string } | 'claimed'> {
  const id = randomUUID()
  return sql.begin(async (tx) => {
    if (!(await claimKey(tx, asked.tenant, claim, JSON.stringify({ id })))) return 'claimed'
    await requestPrediction(tx, { ...asked, id })
    return { id }
  })
}

function refused(message: string, path: string, detail: string): CastorError {
  return new CastorError('invalid', message, { errors: [{ path, detail }] })
}

export function createPredictions(sql: Sql): Predictions {
  return {
    request: (asked, claim) => (claim ? requestOnce(sql, asked, claim) : requestPrediction(sql, asked).then((id) => ({ id }))),
    find: (tenant, id) => findPrediction(sql, tenant, id),
    ended: (ids) => endedPredictions(sql, ids),
    list: (tenant, query) => listPredictions(sql, tenant, query),
    setOutcome: (tenant, id, outcome) => setPredictionOutcome(sql, tenant, id, outcome),
  }
}

export async function findPrediction(sql: Queries, tenant: string, id: string): Promise<Prediction | undefined> {
  const [row] = await sql<StoredPrediction[]>`
    select ${sql.unsafe(PREDICTION_COLUMNS)} from predictions where tenant = ${tenant} and id = ${id}`
  return row && predictionOf(row)
}

async function endedPredictions(sql: Queries, ids: string[]): Promise<string[]> {
  const rows = await sql<Array<{ id: string }>>`select id from predictions where id = any(${ids}::uuid[]) and status <> 'waiting'`
  return rows.map(({ id }) => id)
}

async function listPredictions(sql: Queries, tenant: string, query: PredictionQuery): Promise<Array<Prediction & { number: number }>> {
  const { device, model, status, outcome, since, page } = query
  const { after, limit } = page
  const rows = await sql<Array<StoredPrediction & { number: number }>>`
    select number, ${sql.unsafe(PREDICTION_COLUMNS)} from predictions
    where tenant = ${tenant} ${device === undefined ? sql`` : sql`and device = ${device}`} ${model === undefined ? sql`` : sql`and model = ${model}`}
      ${status === undefined ? sql`` : sql`and status = ${status}`}
      ${outcome === undefined ? sql`` : outcome === 'none' ? sql`and outcome is null and status = 'answered'` : sql`and outcome = ${outcome}`}
      ${since === undefined ? sql`` : sql`and asked_at >= ${new Date(since)}`}
      ${after === undefined ? sql`` : sql`and (asked_at, number) < (${new Date(after.askedAt)}, ${after.number})`}
    order by asked_at desc, number desc limit ${limit}`
  return rows.map(({ number, ...row }) => ({ ...predictionOf(row), number }))
}

/** The newest word counts. Null takes it back. */
export async function setPredictionOutcome(
  sql: Queries,
  tenant: string,
  id: string,
  { outcome, note, by }: { outcome: Outcome | null; note: string | null; by: string },
): Promise<Prediction | 'unanswered' | undefined> {
  const isGiven = outcome !== null
  const { count } = await sql`
    update predictions set outcome = ${outcome}, outcome_at = case when ${isGiven} then now() end, outcome_by = ${isGiven ? by : null},
      outcome_note = ${isGiven ? note : null}
    where tenant = ${tenant} and id = ${id} and status = 'answered'`
  const prediction = await findPrediction(sql, tenant, id)
  return prediction && count === 0 ? 'unanswered' : prediction
}

export type StoredPrediction = Omit<Prediction, 'requestedBy' | 'features'> & {
  requestedKind: RequestedBy['kind']
  requestedName: string
  features: string | null
}

export const PREDICTION_COLUMNS = `id, tenant, incarnation, device, model, requested_kind as "requestedKind", requested_by as "requestedName", status,
  ${epochMs('readings_since')} as "readingsSince", ${epochMs('asked_at')} as "askedAt", ${epochMs('answered_at')} as "answeredAt", features, probability, threshold, horizon_ms as "horizonMs", explanation,
  model_version as "modelVersion", latency_ms as "latencyMs", error, outcome, ${epochMs('outcome_at')} as "outcomeAt", outcome_by as "outcomeBy",
  outcome_note as "outcomeNote"`

export function predictionOf({ requestedKind, requestedName, features, ...row }: StoredPrediction): Prediction {
  return { ...row, requestedBy: { kind: requestedKind, name: requestedName }, features: features === null ? null : JSON.parse(features) }
}
