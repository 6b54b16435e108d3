/** The rate of an endpoint, on a clock of its own and as properties: never above it by more than its credit, and not below it for being late. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Turns } from '../../api/webhooks/turns.ts'

const CREDIT_MS = 50
/** Sums of 1000 / rate are not exact. */
const ROUNDING = 1e-6

const rates = fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0.01, max: 20, noNaN: true }))

/** Whoever asks at these times begins when it may. */
function begun(perSecond: number, askedAt: number[]): number[] {
  const turns = new Turns()
  return askedAt.map((now) => now + turns.next(perSecond, now)).toSorted((a, b) => a - b)
}

test('whenever turns are asked for, no time has more of them than the rate and 50 ms of it, and one', () => {
  // Mostly at once, now and then late, and after pauses.
  const gaps = fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    fc.double({ min: 0, max: 100, noNaN: true }),
    fc.integer({ min: 0, max: 5_000 }),
  )
  fc.assert(
    fc.property(rates, fc.array(gaps, { minLength: 1, maxLength: 150 }), (perSecond, waits) => {
      let now = 1_000_000
      const times = begun(
        perSecond,
        waits.map((wait) => (now += wait)),
      )
      for (const [i, from] of times.entries())
        for (let j = i; j < times.length; j++)
          expect(j - i + 1).toBeLessThanOrEqual((perSecond * (times[j]! - from + CREDIT_MS)) / 1_000 + 1 + ROUNDING)
    }),
  )
})

test('whoever comes up to 50 ms late to every turn still reaches the rate', () => {
  fc.assert(
    fc.property(
      rates,
      fc.array(fc.double({ min: 0, max: CREDIT_MS, noNaN: true }), { minLength: 100, maxLength: 100 }),
      (perSecond, late) => {
        const turns = new Turns(1_000_000)
        let taken = 0
        let now = 0
        for (const ms of late) {
          // As a timer that was set for the next turn; then all that may begin.
          now = turns.at + ms
          for (; turns.at <= now; taken++) turns.next(perSecond, now)
        }
        expect(taken).toBeGreaterThanOrEqual((perSecond * (now - 1_000_000)) / 1_000 - ROUNDING)
      },
    ),
  )
})

test('after a pause 50 ms of the rate come at once, and at a slow rate one', () => {
  const atOnce = (perSecond: number) => {
    const turns = new Turns()
    let taken = 0
    for (; turns.at <= 1_000_000; taken++) turns.next(perSecond, 1_000_000)
    return taken
  }
  expect([1_000, 100, 20, 10, 0.01].map(atOnce)).toEqual([51, 6, 2, 1, 1])
})
