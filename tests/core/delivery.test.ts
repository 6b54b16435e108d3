/** Deliveries and the breakers of their endpoints, as tables and as properties over whatever a receiver may do. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Attempt,
  allowedBy,
  type Breaker,
  breakerAfter,
  CLOSED,
  halfOpened,
  halfOpensNext,
  nextTryAt,
  type Outcome,
  outcomeOf,
  RETRY_WAITS,
  retryAfterOf,
} from '../../twin-models/core/delivery.ts'

const NOW = Date.parse('2026-11-27T06:00:00Z')
const SECOND = 1_000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE
/** Of random: no jitter. */
const MIDDLE = 0.5

const answered = (status: number, retryAfter?: string): Attempt => ({
  ms: 12,
  status,
  answer: '',
  ...(retryAfter !== undefined && { retryAfter }),
})
const failed: Outcome = { kind: 'failed', reason: 'It answered 500' }
const throttled: Outcome = { kind: 'throttled', reason: 'It answered 503: not now' }
const delivered: Outcome = { kind: 'delivered' }

describe('an attempt that ended with', () => {
  test.each<[Attempt, Outcome]>([
    [answered(200), { kind: 'delivered' }],
    [answered(204), { kind: 'delivered' }],
    [answered(299), { kind: 'delivered' }],
    [answered(410), { kind: 'gone', reason: 'It answered 410: the receiver is gone for good' }],
    [answered(429), { kind: 'throttled', reason: 'It answered 429: not now' }],
    [answered(502), { kind: 'throttled', reason: 'It answered 502: not now' }],
    [answered(503, '120'), { kind: 'throttled', reason: 'It answered 503: not now', until: NOW + 120 * SECOND }],
    [answered(504), { kind: 'throttled', reason: 'It answered 504: not now' }],
    [answered(302), { kind: 'failed', reason: 'It answered 302: redirects are not followed' }],
    [answered(304), { kind: 'failed', reason: 'It answered 304: redirects are not followed' }],
    [answered(400), { kind: 'failed', reason: 'It answered 400' }],
    [answered(500, '60'), { kind: 'failed', reason: 'It answered 500', until: NOW + MINUTE }],
    [answered(101), { kind: 'failed', reason: 'It answered 101' }],
    [
      { ms: 3, error: 'Nobody listens there' },
      { kind: 'failed', reason: 'Nobody listens there' },
    ],
  ])('%j is %j', (attempt, outcome) => {
    expect(outcomeOf(attempt, NOW)).toEqual(outcome)
  })
})

describe('Retry-After', () => {
  test.each([
    ['0', NOW],
    [' 30 ', NOW + 30 * SECOND],
    ['86400', NOW + DAY],
    ['86401', NOW + DAY],
    ['999999999999999', NOW + DAY],
    ['Fri, 27 Nov 2026 06:10:00 GMT', NOW + 10 * MINUTE],
    ['Friday, 27-Nov-26 06:10:00 GMT', NOW + 10 * MINUTE],
    ['Fri, 27 Nov 2026 05:00:00 GMT', NOW],
    ['Fri, 27 Nov 2099 05:00:00 GMT', NOW + DAY],
    ['', undefined],
    ['soon', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['2026', NOW + 2026 * SECOND],
    ['Fri, 99 Foo', undefined],
    [undefined, undefined],
  ])('%j is until %j', (header, until) => {
    expect(retryAfterOf(header, NOW)).toBe(until)
  })

  test('is never more than a day away, nor in the past, whatever it says', () => {
    const header = fc.oneof(
      fc.string(),
      fc.integer().map(String),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    )
    fc.assert(
      fc.property(header, (text) => {
        const until = retryAfterOf(text, NOW)
        if (until === undefined) return
        expect(until).toBeGreaterThanOrEqual(NOW)
        expect(until).toBeLessThanOrEqual(NOW + DAY)
      }),
    )
  })
})

describe('the schedule of a delivery', () => {
  test('is that of Standard Webhooks: ten tries in three days, then it has failed for good', () => {
    const waits = RETRY_WAITS.map((_, i) => (nextTryAt(i + 1, failed, NOW, MIDDLE)! - NOW) / MINUTE)
    expect(waits).toEqual([5 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440])
    expect(nextTryAt(10, failed, NOW, MIDDLE)).toBeUndefined()
  })

  test('has a jitter of a fifth at most, and is never shorter than Retry-After', () => {
    const tries = fc.integer({ min: 1, max: RETRY_WAITS.length })
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    const wait = fc.option(fc.integer({ min: 0, max: DAY }), { nil: undefined })
    fc.assert(
      fc.property(tries, random, wait, (tries, random, asked) => {
        const until = asked === undefined ? undefined : NOW + asked
        const at = nextTryAt(tries, { ...failed, ...(until !== undefined && { until }) }, NOW, random)! - NOW
        const planned = RETRY_WAITS[tries - 1]!
        expect(at).toBeGreaterThanOrEqual(Math.max(0.8 * planned, asked ?? 0))
        expect(at).toBeLessThanOrEqual(Math.max(1.2 * planned, asked ?? 0))
      }),
    )
  })
})

/** One after the other, a second apart; each is a probe while it is open. */
function taking(outcomes: Outcome[], from: Breaker = CLOSED, start = NOW) {
  let step: ReturnType<typeof breakerAfter> = { breaker: from }
  for (const [i, outcome] of outcomes.entries()) {
    const now = start + i * SECOND
    step = breakerAfter(step.breaker, outcome, { isProbe: step.breaker.openedAt !== null, now, random: MIDDLE })
  }
  return step
}
const times = (n: number, outcome: Outcome): Outcome[] => Array.from({ length: n }, () => outcome)

describe('the breaker of an endpoint', () => {
  test('stays closed for nine failures in a row, and opens with the tenth', () => {
    expect(taking(times(9, failed)).breaker).toEqual({ ...CLOSED, failures: 9, failingSince: NOW })
    const openedAt = NOW + 9 * SECOND
    expect(taking(times(10, failed)).breaker).toEqual({
      failures: 10,
      failingSince: NOW,
      openedAt,
      probeAt: openedAt + 5 * SECOND,
      probes: 0,
    })
  })

  test('counts only failures in a row', () => {
    expect(taking([...times(9, failed), delivered, ...times(9, failed)]).breaker).toMatchObject({ failures: 9, openedAt: null })
  })

  test('opens at once when the receiver throttles, until when it said', () => {
    expect(taking([throttled]).breaker).toMatchObject({ openedAt: NOW, probeAt: NOW + 5 * SECOND })
    expect(taking([{ ...throttled, until: NOW + MINUTE }]).breaker).toMatchObject({ openedAt: NOW, probeAt: NOW + MINUTE })
  })

  test('lets everything through while closed, nothing while open, and a probe when that is due', () => {
    const { breaker } = taking([throttled])
    expect(allowedBy(CLOSED, NOW)).toBe('everything')
    expect(allowedBy(breaker, NOW + 4_999)).toBe('nothing')
    expect(allowedBy(breaker, NOW + 5_000)).toBe('a probe')
  })

  test('probes more and more seldom, every ten minutes in the end', () => {
    let { breaker } = taking(times(10, failed))
    const waits = Array.from({ length: 7 }, () => {
      const now = breaker.probeAt!
      breaker = breakerAfter(breaker, failed, { isProbe: true, now, random: MIDDLE }).breaker
      return (breaker.probeAt! - now) / SECOND
    })
    expect(waits).toEqual([30, 120, 300, 600, 600, 600, 600])
    expect(breaker.probes).toBe(7)
  })

  test('half-opens each second time: then one at a time is sent, and the first failure opens it for longer', () => {
    const { breaker } = taking(times(11, failed))
    expect([halfOpensNext(taking(times(10, failed)).breaker), halfOpensNext(breaker)]).toEqual([false, true])
    const half = halfOpened(breaker)
    expect(allowedBy(half, NOW)).toBe('one at a time')
    expect(taking([delivered], half)).toEqual({ breaker: CLOSED })
    const now = NOW + MINUTE
    expect(taking([failed], half, now).breaker).toMatchObject({ failures: 12, openedAt: now, probeAt: now + 2 * MINUTE, probes: 2 })
    const throttling = halfOpened(taking([throttled]).breaker)
    expect(taking([failed], throttling, now).breaker).toMatchObject({ openedAt: now, probeAt: now + 30 * SECOND, probes: 1 })
  })

  test('closes with the first probe that succeeds', () => {
    const { breaker } = taking(times(10, failed))
    expect(taking([delivered], breaker, NOW + DAY)).toEqual({ breaker: CLOSED })
  })

  test('is not closed by what was under way when it opened', () => {
    const { breaker } = taking([{ ...throttled, until: NOW + MINUTE }])
    const late = breakerAfter(breaker, delivered, { now: NOW + 10, random: MIDDLE })
    expect(late.breaker).toEqual({ ...breaker, failures: 0, failingSince: null })
  })

  test('does not probe later because of what was under way when it opened, unless that says when to come back', () => {
    const { breaker } = taking(times(10, failed))
    const end = { now: NOW + 10 * SECOND, random: MIDDLE }
    expect(breakerAfter(breaker, failed, end).breaker).toEqual({ ...breaker, failures: 11 })
    const until = NOW + MINUTE
    expect(breakerAfter(breaker, { ...throttled, until }, end).breaker).toEqual({ ...breaker, failures: 11, probeAt: until })
  })

  test('disables an endpoint that says that it is gone', () => {
    const gone: Outcome = { kind: 'gone', reason: 'It answered 410: the receiver is gone for good' }
    expect(taking([gone]).disabled).toEqual({ reason: 'gone', detail: gone.reason })
  })

  test('disables an endpoint after five days of failures only', () => {
    const { breaker } = taking(times(10, failed))
    expect(taking([failed], breaker, NOW + 5 * DAY - 1).disabled).toBeUndefined()
    expect(taking([failed], breaker, NOW + 5 * DAY).disabled).toEqual({
      reason: 'failing',
      detail: '11 attempts failed and none succeeded for five days; the last one: It answered 500',
    })
  })

  test('does not disable for a few failures, however far apart', () => {
    const { breaker } = taking([failed])
    expect(taking(times(8, failed), breaker, NOW + 30 * DAY).disabled).toBeUndefined()
    expect(taking(times(9, failed), breaker, NOW + 30 * DAY).disabled).toBeDefined()
  })

  test('keeps its rules whatever the receiver does', () => {
    const step = fc.record({
      outcome: fc.oneof(
        fc.constant(delivered),
        fc.constant(failed),
        fc.record({ kind: fc.constantFrom('throttled', 'failed'), reason: fc.constant('x'), wait: fc.nat(DAY) }),
      ),
      wait: fc.oneof(fc.nat(10 * SECOND), fc.nat(DAY)),
      isLate: fc.boolean(),
      random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let breaker = CLOSED
        let now = NOW
        let lastSuccess = NOW
        for (const { outcome: given, wait, isLate, random } of steps) {
          now += wait
          const outcome = 'wait' in given ? ({ kind: given.kind, reason: given.reason, until: now + given.wait } as Outcome) : given
          const before = breaker
          const isProbe = before.openedAt !== null && !isLate
          const { breaker: after, disabled } = breakerAfter(before, outcome, { isProbe, now, random })
          breaker = after
          expect(JSON.parse(JSON.stringify(breaker))).toEqual(breaker)
          expect(breaker.openedAt === null).toBe(breaker.probeAt === null)
          expect(breaker.failingSince === null).toBe(breaker.failures === 0)
          if (outcome.kind === 'delivered') lastSuccess = now
          if (outcome.kind === 'delivered') expect(breaker.openedAt).toBe(isProbe ? null : before.openedAt)
          else {
            expect(breaker.failures).toBe(before.failures + 1)
            if (breaker.failures >= 10 || outcome.kind === 'throttled') expect(breaker.openedAt).not.toBeNull()
            if (breaker.openedAt !== null && outcome.until !== undefined) expect(breaker.probeAt).toBeGreaterThanOrEqual(outcome.until)
            if (breaker.probeAt !== null) expect(breaker.probeAt).toBeLessThanOrEqual(Math.max(now + DAY, before.probeAt ?? 0))
          }
          if (disabled) expect(now - lastSuccess).toBeGreaterThanOrEqual(5 * DAY)
          if (disabled) return
        }
      }),
      { numRuns: 300 },
    )
  })
})
