/** Retries and timeouts of all activities, spelled out in one place. */
import type { ActivityOptions } from '@temporalio/workflow'

/**
 * The decision write, and what else a twin asks of Postgres: local activities of one statement each.
 *
 * Postgres may be away for hours, and the twin then only waits. Short waits stay inside the workflow task; from the threshold on each
 * wait is a timer in the history (6 events a try), so the interval grows to two minutes: 180 events an hour, a week below Temporal's limit.
 * What no retry mends comes as a non-retryable failure (activities/failures.ts) and fails the run, visibly; the next seal sent starts another.
 */
export const DECISION_WRITE = {
  startToCloseTimeout: '10 seconds',
  scheduleToCloseTimeout: '365 days',
  localRetryThreshold: '5 seconds',
  retry: { initialInterval: '200 milliseconds', backoffCoefficient: 2, maximumInterval: '2 minutes' },
} satisfies ActivityOptions & { localRetryThreshold: string }

/** Choosing the devices of a bulk change may take a while; a filter or tenant that is wrong fails it at once, visibly. */
export const BULK_BEGIN = {
  startToCloseTimeout: '2 minutes',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '2 minutes' },
} satisfies ActivityOptions

/** One step of a bulk change: one transaction. As patient as the decision write. */
export const BULK_STEP = {
  startToCloseTimeout: '30 seconds',
  scheduleToCloseTimeout: '365 days',
  localRetryThreshold: '5 seconds',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '2 minutes' },
} satisfies ActivityOptions & { localRetryThreshold: string }

/** Looking for up to a million devices may take minutes. What a person can mend comes as a word, what else is wrong fails it at once. */
export const ROLLOUT_BEGIN = {
  startToCloseTimeout: '10 minutes',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '2 minutes' },
} satisfies ActivityOptions

/** One step of a rollout: one transaction, but where all that wait or are under way are dropped or cancelled, in chunks: a minute for a million. */
export const ROLLOUT_STEP = { ...BULK_STEP, startToCloseTimeout: '5 minutes' } satisfies ActivityOptions & { localRetryThreshold: string }

/** Finding, or opening, one ticket. What is wrong with its input fails it at once. */
export const TICKET_BEGIN = { ...BULK_BEGIN, startToCloseTimeout: '30 seconds' } satisfies ActivityOptions

/** One step of a ticket: one transaction. As patient as the decision write. */
export const TICKET_STEP = BULK_STEP

/**
 * A piece of the work on a webhook in trouble: some 20 s of attempts, each of which may take 15 s. Postgres may be away for long. A worker that
 * died is noticed by its heartbeat.
 */
export const WEBHOOK_WORK = {
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: '15 seconds',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '2 minutes' },
} satisfies ActivityOptions

/**
 * One prediction: features from Postgres, then up to three requests of 30 s each. Postgres may be away for long; what waits for too long ends as
 * failed by itself. A worker that died is noticed by its heartbeat.
 */
export const PREDICTION_ASK = {
  startToCloseTimeout: '3 minutes',
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '30 seconds' },
} satisfies ActivityOptions
