/** Predictions as those who ask the models work on them (activities/prediction-activities.ts). Times of the outbox are its own. */
import type { AskedPrediction, PredictionStore } from '../../activities/prediction-ports.ts'
import { formatDuration } from '../../twin-models/durations.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { isHigh, type Prediction } from '../../twin-models/prediction/types.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { gatherFeatures } from './prediction-features.ts'
import { servedModel } from './prediction-models.ts'
import { findPrediction, PREDICTION_COLUMNS, predictionOf, requestPrediction, type StoredPrediction } from './predictions.ts'

export function createPredictionStore(sql: Sql, models: (name: string) => DeviceModel | undefined): PredictionStore {
  return {
    register: (asked) => register(sql, asked),
    find: (tenant, id) => findPrediction(sql, tenant, id),
    claim: (prediction, workflow) => claim(sql, prediction, workflow),
    model: ({ tenant, model }) => servedModel(sql, tenant, model),
    features: ({ tenant, incarnation, readingsSince }, settings) =>
      gatherFeatures(sql, { tenant, incarnation, settings, models, since: readingsSince, now: Date.now() }),
    settle: (prediction, settled) => sql.begin((tx) => settle(tx, prediction, settled)),
  }
}

async function register(sql: Queries, { id, tenant, device, model, requestedBy }: AskedPrediction): Promise<void> {
  const [found] = await sql<Array<{ incarnation: number }>>`
    select incarnation from devices where tenant = ${tenant} and device = ${device}`
  if (!found) throw new CastorError('invalid', `There is no device ${device} of tenant ${JSON.stringify(tenant)}.`)
  await requestPrediction(sql, { id, tenant, incarnation: found.incarnation, device, model, requestedBy })
}

async function claim(sql: Queries, { tenant, id }: Prediction, workflow: string): Promise<void> {
  const [row] = await sql<Array<{ workflow: string }>>`
    update predictions set workflow = coalesce(workflow, ${workflow}) where tenant = ${tenant} and id = ${id} returning workflow`
  if (row && row.workflow !== workflow) throw new CastorError('conflict', `The workflow ${row.workflow} works on this prediction already.`)
}

/** What has ended meanwhile (it waited for too long, or this was done before) stays as it is. */
async function settle(tx: Transaction, { tenant, id }: Prediction, settled: Parameters<PredictionStore['settle']>[1]): Promise<Prediction> {
  const { features, answer, threshold } = settled
  const { probability, horizonMs, explanation, modelVersion } =
    answer.kind === 'answered' ? answer : { probability: null, horizonMs: null, explanation: null, modelVersion: null }
  const [row] = await tx<StoredPrediction[]>`
    update predictions set status = ${answer.kind}, answered_at = now(), features = ${features && JSON.stringify(features)}, probability = ${probability},
      threshold = ${threshold}, horizon_ms = ${horizonMs}, explanation = ${explanation}, model_version = ${modelVersion},
      latency_ms = ${features === null ? null : answer.ms}, error = ${answer.kind === 'failed' ? answer.error : null}
    where tenant = ${tenant} and id = ${id} and status = 'waiting' returning ${tx.unsafe(PREDICTION_COLUMNS)}`
  if (!row) return (await findPrediction(tx, tenant, id))!
  const prediction = predictionOf(row)
  if (prediction.status === 'answered') await tell(tx, prediction)
  return prediction
}

async function tell(tx: Transaction, prediction: Prediction): Promise<void> {
  const { id, tenant, incarnation, device, model, probability, threshold, horizonMs, explanation, modelVersion, requestedBy } = prediction
  const event = {
    ...{
      at: prediction.answeredAt,
      prediction: id,
      model,
      probability,
      threshold,
      high: isHigh(prediction),
      horizon: formatDuration(horizonMs!),
    },
    ...(explanation !== null && { explanation }),
    ...(modelVersion !== null && { modelVersion }),
    requestedBy,
  }
  await tx`
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    values (now(), ${tenant}, ${incarnation}, ${device}, 'prediction-made', ${JSON.stringify(event)}, ${JSON.stringify({ by: 'prediction', who: requestedBy.name })})`
}
