/** The one place that maps errors to Temporal's: what the catalogue calls not retryable is hopeless, everything else is tried again. */
import { ApplicationFailure } from '@temporalio/common'
import type { Logger } from 'pino'
import { CastorError, ERRORS } from '../twin-models/errors.ts'

export function toFailure(error: unknown): unknown {
  if (!(error instanceof CastorError) || ERRORS[error.code].retryable) return error
  return ApplicationFailure.create({ type: error.code, message: error.message, nonRetryable: true, cause: error })
}

/** Runs one: how it failed is told, and thrown as Temporal is to take it. `what`: whose activity it is. */
export function createAttempt(log: Logger, what: string) {
  return async <T>(activity: string, run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      log.warn({ activity, err: error }, `An activity of ${what} failed`)
      throw toFailure(error)
    }
  }
}
