/**
 * The error catalogue. Every refusal that leaves Castor is one of these: code, what is wrong, what to do.
 * api/http/problem.ts maps it to HTTP (RFC 9457), activities map it to Temporal failures.
 */
export const ERRORS = {
  invalid: { status: 400, title: 'The request is not valid', retryable: false },
  unauthenticated: { status: 401, title: 'No valid credential', retryable: false },
  forbidden: { status: 403, title: 'Not allowed', retryable: false },
  'not-found': { status: 404, title: 'Not found', retryable: false },
  'method-not-allowed': { status: 405, title: 'Method not allowed', retryable: false },
  conflict: { status: 409, title: 'It does not go with how things stand', retryable: false },
  'precondition-failed': { status: 412, title: 'It has changed meanwhile', retryable: false },
  'too-large': { status: 413, title: 'Too large', retryable: false },
  'unsupported-media-type': { status: 415, title: 'Content type not supported', retryable: false },
  'range-not-satisfiable': { status: 416, title: 'There is no such range', retryable: false },
  'too-many-requests': { status: 429, title: 'Too many requests', retryable: true },
  internal: { status: 500, title: 'Castor failed', retryable: true },
  unavailable: { status: 503, title: 'Not available right now', retryable: true },
} as const

export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  /** Where in the input: a JSON pointer, or `query:name`, `header:name`. */
  errors?: Array<{ path: string; detail: string }>
  retryAfterSeconds?: number
  cause?: unknown
}

export class CastorError extends Error {
  readonly code: ErrorCode
  readonly errors: ErrorDetails['errors']
  readonly retryAfterSeconds: number | undefined

  /** `message` says what is wrong and what to do, for a reader who does not know the code. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'CastorError'
    this.code = code
    this.errors = details.errors
    this.retryAfterSeconds = details.retryAfterSeconds
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}
