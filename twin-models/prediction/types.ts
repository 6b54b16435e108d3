/** What a prediction is made of. Times are epoch milliseconds. */

/** What a model is asked with: its inputs by name, in their order. */
export type Features = { [name: string]: number }

export interface Predicted {
  /** From 0 to 1. */
  probability: number
  /** What is predicted may happen within so long. */
  horizonMs: number
  explanation: string | null
  /** Null: the server does not say. */
  modelVersion: string | null
}

export const PREDICTION_STATUSES = ['waiting', 'answered', 'failed'] as const
export type PredictionStatus = (typeof PREDICTION_STATUSES)[number]

export const OUTCOMES = ['failure', 'no-failure'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** Who asked: a rule by its name, a ticket by its id, the schedule of the model, a person by the name of the API key or as `operator`. */
export interface RequestedBy {
  kind: 'rule' | 'ticket' | 'schedule' | 'person'
  name: string
}

export interface Prediction {
  id: string
  tenant: string
  incarnation: number
  device: string
  /** Name of the prediction model. */
  model: string
  requestedBy: RequestedBy
  status: PredictionStatus
  /** Older readings are left aside. Null: none are. */
  readingsSince: number | null
  askedAt: number
  /** Or when it failed. */
  answeredAt: number | null
  /** Null: it was not asked, or is yet to be. */
  features: Features | null
  probability: number | null
  /** As they stood when it was answered. */
  threshold: number | null
  horizonMs: number | null
  explanation: string | null
  modelVersion: string | null
  /** From the first request to the answer, or to giving up. */
  latencyMs: number | null
  /** Why it failed. */
  error: string | null
  /** What became of the device within the horizon, as somebody said later. */
  outcome: Outcome | null
  outcomeAt: number | null
  outcomeBy: string | null
  outcomeNote: string | null
}

/** One that waits is given up after this: it would tell of another time. */
export const EXPIRES_AFTER_MS = 15 * 60_000
/** Of a tenant. */
export const MOST_WAITING = 1_000

export function isHigh({ probability, threshold }: Pick<Prediction, 'probability' | 'threshold'>): boolean {
  return probability !== null && probability >= (threshold ?? 1)
}
