/**
 * What becomes of a webhook delivery, and of its endpoint, by how an attempt ended: delivered, throttled, gone or failed; when to try
 * again; when to leave the endpoint alone. Pure; times are epoch milliseconds, `random` is a number from 0 to below 1.
 *
 * A delivery has its own schedule. The breaker is the endpoint's: after failures in a row it opens, and then only a probe goes out now and
 * then. A probe is no try of the delivery that it carries, or an endpoint that is down for an hour would use up all of them. Each second
 * time it half-opens instead, and what comes next is sent, one at a time: what failed may be what the receiver will never take.
 */

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Waits after the first try, the second and so on, as the Standard Webhooks specification has them: three days in all. */
export const RETRY_WAITS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR] as const
/** Waits between probes of an endpoint; the last one is that of all further ones. */
const PROBE_WAITS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE] as const
/** Each wait is longer or shorter by up to this share, so that what failed together does not come back together. */
const JITTER = 0.2
/** Of what a receiver asks for with Retry-After. */
const MOST_RETRY_AFTER = DAY
/** Failures in a row. */
export const OPENS_AFTER = 10
/** Nothing but failures for so long, and at least as many as open the breaker: disabled. */
const DISABLED_AFTER = 5 * DAY

/** How one request ended: with an answer, or with words for why there is none. */
export type Attempt =
  /** `answer`: how its body begins, `retryAfter`: the header as it came. */
  { ms: number; status: number; answer: string; retryAfter?: string } | { ms: number; error: string }

/** As it is kept with its delivery. `at`: when it began. */
export interface StoredAttempt {
  at: number
  ms: number
  status?: number
  /** The first kilobyte. */
  answer?: string
  /** Why there was no answer. */
  error?: string
}

/** `disabled`: given up, until somebody resumes it. */
export type EndpointStatus = 'active' | 'paused' | 'disabled'

export type Outcome =
  | { kind: 'delivered' }
  /** `throttled`: the receiver says not now; `gone`: never again. `until`: not before, where it said so. */
  | { kind: 'throttled' | 'failed' | 'gone'; reason: string; until?: number }

export interface Breaker {
  /** Failures in a row. */
  failures: number
  /** The first of them. Null: the last attempt was a success, or there was none. */
  failingSince: number | null
  /** Null: closed. */
  openedAt: number | null
  /** The next probe is due then. Null: closed. */
  probeAt: number | null
  /** Probes that failed since it opened. */
  probes: number
}

/** Of a new endpoint, and of one that is enabled again. */
export const CLOSED: Breaker = { failures: 0, failingSince: null, openedAt: null, probeAt: null, probes: 0 }

const THROTTLING = [429, 502, 503, 504]

export function outcomeOf(attempt: Attempt, now: number): Outcome {
  if ('error' in attempt) return { kind: 'failed', reason: attempt.error }
  const { status } = attempt
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  if (status === 410) return { kind: 'gone', reason: 'It answered 410: the receiver is gone for good' }
  const until = retryAfterOf(attempt.retryAfter, now)
  const waits = until !== undefined && { until }
  if (THROTTLING.includes(status)) return { kind: 'throttled', reason: `It answered ${status}: not now`, ...waits }
  if (status >= 300 && status < 400) return { kind: 'failed', reason: `It answered ${status}: redirects are not followed`, ...waits }
  return { kind: 'failed', reason: `It answered ${status}`, ...waits }
}

/** Seconds or a date, as RFC 9110 has it. Undefined: it says nothing that can be understood. Never over a day from now. */
export function retryAfterOf(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? ''
  const at = /^\d{1,15}$/.test(text) ? now + Number(text) * SECOND : /^[A-Z][a-z]{2,8}, /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.min(Math.max(at, now), now + MOST_RETRY_AFTER)
}

/**
 * When the delivery is tried again after its try number `tries` (from 1) ended in `outcome`. Undefined: it has failed for good. Retry-After
 * only makes the wait longer.
 */
export function nextTryAt(tries: number, outcome: Outcome, now: number, random: number): number | undefined {
  const wait = RETRY_WAITS[tries - 1]
  return wait === undefined ? undefined : later(now + jittered(wait, random), outcome)
}

/** What may be sent to the endpoint now. 'one at a time': it has half-opened. */
export function allowedBy({ failures, probeAt }: Breaker, now: number): 'everything' | 'one at a time' | 'a probe' | 'nothing' {
  if (probeAt === null) return failures < OPENS_AFTER ? 'everything' : 'one at a time'
  return now >= probeAt ? 'a probe' : 'nothing'
}

/** Closed, but the next failure opens it again. */
export function halfOpened(breaker: Breaker): Breaker {
  return { ...breaker, failures: Math.max(breaker.failures, OPENS_AFTER), openedAt: null, probeAt: null }
}

/** Whose turn it is when a probe is due. */
export function halfOpensNext({ probes }: Breaker): boolean {
  return probes % 2 === 1
}

/**
 * `disabled`: why the endpoint is to be disabled. `now` is that of the attempt's end. `isProbe`: it was made as one; another that ends while the
 * breaker is open began before, and says nothing of the time since.
 */
export function breakerAfter(
  breaker: Breaker,
  outcome: Outcome,
  { isProbe = false, now, random }: { isProbe?: boolean; now: number; random: number },
): { breaker: Breaker; disabled?: { reason: 'gone' | 'failing'; detail: string } } {
  const isLate = breaker.openedAt !== null && !isProbe
  if (outcome.kind === 'delivered') {
    // A late success shows that not all is failing, but the receiver may have asked for a rest since.
    return { breaker: isLate ? { ...breaker, failures: 0, failingSince: null } : CLOSED }
  }
  const failures = breaker.failures + 1
  const failingSince = breaker.failingSince ?? now
  const failed = { ...breaker, failures, failingSince }
  if (outcome.kind === 'gone') return { breaker: failed, disabled: { reason: 'gone', detail: outcome.reason } }
  // A late failure is no probe, but its Retry-After counts.
  const after = isLate ? { ...failed, probeAt: later(breaker.probeAt ?? now, outcome) } : afterFailure(failed, outcome, now, random)
  if (failures < OPENS_AFTER || now - failingSince < DISABLED_AFTER) return { breaker: after }
  const detail = `${failures} attempts failed and none succeeded for five days; the last one: ${outcome.reason}`
  return { breaker: after, disabled: { reason: 'failing', detail } }
}

function afterFailure(breaker: Breaker, outcome: Outcome, now: number, random: number): Breaker {
  const isOpen = breaker.openedAt !== null
  if (!isOpen && outcome.kind !== 'throttled' && breaker.failures < OPENS_AFTER) return breaker
  const wasHalfOpen = !isOpen && breaker.failures > OPENS_AFTER
  const probes = isOpen || wasHalfOpen ? breaker.probes + 1 : 0
  const wait = PROBE_WAITS[Math.min(probes, PROBE_WAITS.length - 1)]!
  return { ...breaker, openedAt: breaker.openedAt ?? now, probeAt: later(now + jittered(wait, random), outcome), probes }
}

function jittered(ms: number, random: number): number {
  return Math.round(ms * (1 - JITTER + 2 * JITTER * random))
}

function later(at: number, outcome: Outcome): number {
  return 'until' in outcome && outcome.until !== undefined ? Math.max(at, outcome.until) : at
}
