/** What REST needs of the outside for predictions: infra/postgres/prediction-models.ts, infra/postgres/predictions.ts, infra/inference. */
import type { Features, Outcome, Predicted, Prediction, RequestedBy } from '../twin-models/prediction/types.ts'
import type { PredictionModelRequest, PredictionSettings } from '../twin-models/schemas/prediction-model.ts'
import type { IdempotencyClaim, Page } from './ports.ts'

export const MOST_PREDICTION_MODELS = 100

/** A prediction model as stored. Times are epoch milliseconds. */
export interface PredictionModel {
  name: string
  settings: PredictionSettings
  /** Its server is shown a credential. */
  hasAuth: boolean
  /** When the next round of its schedule begins, or began where it is under way. Null: it has none. */
  nextAt: number | null
  createdAt: number
  createdBy: string
  changedAt: number
  /** Predictions that wait for their answer. */
  waiting: number
}

export interface PredictionModels {
  /**
   * 'too-many': the tenant has MOST_PREDICTION_MODELS. 'auth-needed': the URL is another server, and nothing is said of the credential that stands.
   * Nothing was changed then.
   */
  put(
    tenant: string,
    name: string,
    request: PredictionModelRequest,
    by: string,
  ): Promise<{ model: PredictionModel; isNew: boolean } | 'too-many' | 'auth-needed'>
  find(tenant: string, name: string): Promise<PredictionModel | undefined>
  /** By name. */
  list(tenant: string, page: Page<string>): Promise<PredictionModel[]>
  /** What waits for it has failed then. False: there is none. */
  remove(tenant: string, name: string): Promise<boolean>
}

export interface PredictionQuery {
  device: string | undefined
  model: string | undefined
  status: Prediction['status'] | undefined
  /** 'none': it was answered, and nobody has said yet what became of it. */
  outcome: Outcome | 'none' | undefined
  since: number | undefined
  page: Page<{ askedAt: number; number: number }>
}

export interface AskedPrediction {
  tenant: string
  incarnation: number
  device: string
  model: string
  requestedBy: RequestedBy
}

export interface Predictions {
  /**
   * With `claim`, and its id, under an Idempotency-Key; 'claimed': the key is taken. Throws `invalid` where device or model is not there,
   * `too-many-requests` where too many wait.
   */
  request(asked: AskedPrediction, claim?: IdempotencyClaim): Promise<{ id: string } | 'claimed'>
  find(tenant: string, id: string): Promise<Prediction | undefined>
  /** Those of `ids` that have ended. */
  ended(ids: string[]): Promise<string[]>
  /** Newest first. */
  list(tenant: string, query: PredictionQuery): Promise<Array<Prediction & { number: number }>>
  /** Null takes it back. 'unanswered': there is no answer that it could be the outcome of. */
  setOutcome(
    tenant: string,
    id: string,
    outcome: { outcome: Outcome | null; note: string | null; by: string },
  ): Promise<Prediction | 'unanswered' | undefined>
}

export interface PredictionTest {
  ready: { ok: true } | { ok: false; problem: string }
  metadata: object | { problem: string }
  /** Or why there are none. */
  features: { features: Features } | { problem: string }
  /** Absent: there was nothing to ask with. */
  answer?: { ms: number } & (({ kind: 'answered' } & Predicted) | { kind: 'failed'; error: string })
}

export interface PredictionTester {
  /** Why nothing is ever sent to this URL, as far as it tells by itself. */
  refusal(url: string): string | undefined
  /** Asks once, now; nothing is stored. Undefined: the model or the device is not there any more. */
  test(asked: { tenant: string; name: string; incarnation: number }): Promise<PredictionTest | undefined>
}
