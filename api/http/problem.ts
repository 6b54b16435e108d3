/**
 * Every refusal over HTTP is an RFC 9457 problem: one place that maps the error catalogue to status, headers and body. Of an error that
 * is none of ours nothing is told but that Castor failed; the log has the rest.
 */
import { CastorError, ERRORS, type ErrorCode } from '../../twin-models/errors.ts'

export const PROBLEM_TYPE = 'application/problem+json'

export interface Problem {
  /** `urn:castor:problem:` and the code; stable, for programs. */
  type: string
  title: string
  status: number
  detail: string
  code: ErrorCode
  requestId?: string
  errors?: Array<{ path: string; detail: string }>
}

export interface ProblemReply {
  status: number
  headers: Record<string, string>
  /** JSON of a Problem. */
  body: string
}

/** `extraHeaders` for what belongs to the answer whatever it is: request id, rate limits, Allow. */
export function problemReply(error: unknown, requestId?: string, extraHeaders: Record<string, string> = {}): ProblemReply {
  const known = asCastorError(error)
  const problem: Problem = {
    type: `urn:castor:problem:${known.code}`,
    title: ERRORS[known.code].title,
    status: known.status,
    detail: known.message,
    code: known.code,
    ...(requestId !== undefined && { requestId }),
    ...(known.errors && { errors: known.errors }),
  }
  const headers: Record<string, string> = { ...extraHeaders, 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' }
  if (known.retryAfterSeconds !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(known.retryAfterSeconds)))
  if (known.code === 'unauthenticated') headers['www-authenticate'] = 'Bearer realm="castor"'
  return { status: known.status, headers, body: JSON.stringify(problem) }
}

export function asCastorError(error: unknown): CastorError {
  if (error instanceof CastorError) return error
  if (isDatabaseTrouble(error)) {
    return new CastorError('unavailable', 'The database does not answer right now. Try again shortly.', {
      retryAfterSeconds: 2,
      cause: error,
    })
  }
  return new CastorError('internal', 'Castor failed on this request. The log has more under the request id.', { cause: error })
}

/**
 * Codes of the driver (connection lost, refused, timed out) and of Postgres: 08 connection, 53 resources, 57 shut down or cancelled, and
 * what a moment later may succeed: a lock or a transaction that took too long, a conflict of transactions.
 */
function isDatabaseTrouble(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code !== 'string') return false
  return (
    /^(CONNECTION_|CONNECT_TIMEOUT|ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|ETIMEDOUT)/.test(code) ||
    /^((08|53|57)[0-9A-Z]{3}|55P03|25P0[34]|40001|40P01)$/.test(code)
  )
}
