/** The one place that maps errors to Temporal's: what the catalogue calls not retryable is hopeless, everything else is tried again. */
import { ApplicationFailure } from '@temporalio/common'
import { CastorError, ERRORS } from '../twin-models/errors.ts'

export function toFailure(error: unknown): unknown {
  if (!(error instanceof CastorError) || ERRORS[error.code].retryable) return error
  return ApplicationFailure.create({ type: error.code, message: error.message, nonRetryable: true, cause: error })
}
