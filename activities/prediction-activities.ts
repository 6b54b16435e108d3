/** The activity of predictions, on the queue `inference`. */
import { metrics } from '@opentelemetry/api'
import type { Logger } from 'pino'
import { z } from 'zod'
import { CastorError } from '../twin-models/errors.ts'
import type { Prediction } from '../twin-models/prediction/types.ts'
import { predictionRequest } from '../twin-models/schemas/prediction-model.ts'
import { withHeartbeat } from './heartbeat.ts'
import type { Answer, PredictionStore, Predictor } from './prediction-ports.ts'

export interface PredictionActivities {
  /** What was registered is found by its id; what an operator starts is validated and registered. Then its model is asked, and the answer written. */
  answerPrediction(start: { id: string; workflow: string; tenant?: unknown; [field: string]: unknown }): Promise<Prediction>
}

export interface PredictionDependencies {
  predictions: PredictionStore
  predictor: Predictor
  log: Logger
}

/** Who starts workflows in the Temporal UI is the platform's operator. */
const OPERATOR = { kind: 'person', name: 'operator' } as const

export function createPredictionActivities({ predictions, predictor, log }: PredictionDependencies): PredictionActivities {
  const measure = instruments()

  async function answer({
    id,
    workflow,
    tenant,
    ...request
  }: Parameters<PredictionActivities['answerPrediction']>[0]): Promise<Prediction> {
    const owner = String(tenant ?? '')
    if (!z.uuid().safeParse(id).success)
      throw new CastorError('invalid', `The input of prediction is not valid: ${id} is no id of a prediction.`)
    if (Object.keys(request).length > 0) await register(owner, id, request)
    const prediction = await predictions.find(owner, id)
    if (!prediction) throw new CastorError('not-found', `There is no prediction ${id} of tenant ${owner}.`)
    // A task that runs again, or one that waited for too long.
    if (prediction.status !== 'waiting') return prediction
    await predictions.claim(prediction, workflow)
    const settled = await asked(prediction)
    measure(settled.answer)
    return predictions.settle(prediction, settled)
  }

  async function register(tenant: string, id: string, request: unknown): Promise<void> {
    const parsed = predictionRequest.safeParse(request)
    if (!parsed.success) throw new CastorError('invalid', `The input of prediction is not valid: ${z.prettifyError(parsed.error)}`)
    await predictions.register({ id, tenant, ...parsed.data, requestedBy: OPERATOR })
  }

  async function asked(prediction: Prediction): Promise<Parameters<PredictionStore['settle']>[1]> {
    const model = await predictions.model(prediction)
    if (!model) return { features: null, threshold: null, answer: failed('The prediction model was removed before it was asked.') }
    const { threshold } = model.settings
    const gathered = await predictions.features(prediction, model.settings)
    if ('problem' in gathered) return { features: null, threshold, answer: failed(gathered.problem) }
    const { features } = gathered
    return { features, threshold, answer: await predictor.predict(model, features, prediction.id) }
  }

  return {
    answerPrediction: (start) =>
      withHeartbeat(
        () => answer(start),
        (err) => log.warn({ id: start.id, err }, 'A prediction could not be made; tried again if that may help'),
      ),
  }
}

function failed(error: string): Answer {
  return { kind: 'failed', ms: 0, error }
}

function instruments(): (answer: Answer) => void {
  const meter = metrics.getMeter('castor')
  const predictions = meter.createCounter('castor_predictions_total', { description: 'Predictions, by outcome' })
  const latency = meter.createHistogram('castor_prediction_seconds', {
    description: 'From the first request of a prediction to its answer, or to giving up',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60, 90] },
  })
  return ({ kind, ms }) => {
    predictions.add(1, { outcome: kind })
    latency.record(ms / 1000)
  }
}
