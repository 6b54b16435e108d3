/** What activities of predictions need of the outside (infra/postgres/prediction-work.ts, infra/inference). Times are epoch milliseconds. */
import type { Features, Predicted, Prediction, RequestedBy } from '../twin-models/prediction/types.ts'
import type { PredictionSettings } from '../twin-models/schemas/prediction-model.ts'

/** A prediction model as stored. */
export interface ServedModel {
  tenant: string
  name: string
  settings: PredictionSettings
  /** What its server is shown. */
  bearer: string | null
}

export type Answer = { ms: number } & (({ kind: 'answered' } & Predicted) | { kind: 'failed'; error: string })

export interface Predictor {
  /** Never rejects. What may pass is tried again; a server that fails too much is left alone for a while. `id`: of the question. */
  predict(model: ServedModel, features: Features, id: string): Promise<Answer>
}

export interface AskedPrediction {
  id: string
  tenant: string
  device: string
  model: string
  requestedBy: RequestedBy
}

export interface PredictionStore {
  /** Makes it known, once. Throws `invalid` where tenant, device or model is not there, `too-many-requests` where too many wait. */
  register(asked: AskedPrediction): Promise<void>
  find(tenant: string, id: string): Promise<Prediction | undefined>
  /** This workflow works on it from now on. Throws `conflict` when another does. */
  claim(prediction: Prediction, workflow: string): Promise<void>
  /** Undefined: it was removed. */
  model(prediction: Prediction): Promise<ServedModel | undefined>
  /** Of its device, now; or why there are none. */
  features(prediction: Prediction, settings: PredictionSettings): Promise<{ features: Features } | { problem: string }>
  /** Writes the answer, and tells of it by an event, once; then as it stands. */
  settle(prediction: Prediction, settled: { features: Features | null; answer: Answer; threshold: number | null }): Promise<Prediction>
}
