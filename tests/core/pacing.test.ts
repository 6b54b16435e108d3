/** The pace of work over many devices, as tables and as a simulated run. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextStep, type Pace, type Progress, tooManyFailed } from '../../twin-models/core/pacing.ts'

const pace: Pace = { perSecond: 10, atOnce: 25, errorLimit: { share: 0.1, minimum: 10 } }
const progress = (changed: Partial<Progress>): Progress => ({
  total: 100,
  waiting: 0,
  underway: 0,
  succeeded: 0,
  failed: 0,
  skipped: 0,
  ...changed,
})
const fresh = { startedAt: 0, idle: 0 }

describe('the next step', () => {
  test.each([
    ['starts a second’s worth at first', progress({ waiting: 100 }), fresh, 0, { kind: 'start', count: 10 }],
    ['starts no more than have room', progress({ waiting: 50, underway: 22 }), fresh, 0, { kind: 'start', count: 3 }],
    ['starts no more than there are', progress({ waiting: 4 }), fresh, 0, { kind: 'start', count: 4 }],
    [
      'waits for the rest of the second',
      progress({ waiting: 90, underway: 10 }),
      { startedAt: 1_000, idle: 0 },
      1_300,
      { kind: 'wait', ms: 700 },
    ],
    [
      'goes on when the second is over',
      progress({ waiting: 90, underway: 10 }),
      { startedAt: 1_000, idle: 0 },
      2_000,
      { kind: 'start', count: 10 },
    ],
    ['waits for room', progress({ waiting: 50, underway: 25 }), fresh, 9_000, { kind: 'wait', ms: 1_000 }],
    ['looks more seldom while nothing moves', progress({ underway: 25 }), { startedAt: 1, idle: 3 }, 9_000, { kind: 'wait', ms: 8_000 }],
    ['never waits longer than half a minute', progress({ underway: 25 }), { startedAt: 1, idle: 30 }, 9_000, { kind: 'wait', ms: 30_000 }],
    ['is done when all have ended', progress({ succeeded: 95, failed: 5 }), fresh, 0, { kind: 'done' }],
    ['is done when there is nobody', progress({ total: 0 }), fresh, 0, { kind: 'done' }],
    ['does not halt when nothing is left to start', progress({ underway: 5, failed: 95 }), fresh, 0, { kind: 'wait', ms: 1_000 }],
    ['goes on when a clock stepped back', progress({ waiting: 9 }), { startedAt: 99_000, idle: 0 }, 1_000, { kind: 'wait', ms: 1_000 }],
  ] as const)('%s', (_title, counts, before, now, step) => {
    expect(nextStep(pace, counts, before, now)).toEqual(step)
  })

  test('one every ten seconds is one every ten seconds', () => {
    const slow = { ...pace, perSecond: 0.1 }
    expect(nextStep(slow, progress({ waiting: 5 }), fresh, 0)).toEqual({ kind: 'start', count: 1 })
    expect(nextStep(slow, progress({ waiting: 4, underway: 1 }), { startedAt: 1_000, idle: 0 }, 2_000)).toEqual({ kind: 'wait', ms: 9_000 })
  })
})

test.each([
  ['too few have ended to judge', { share: 0.1, minimum: 10 }, { failed: 9 }, undefined],
  ['a share that is just reached', { share: 0.1, minimum: 10 }, { succeeded: 9, failed: 1 }, undefined],
  ['a share that is passed', { share: 0.1, minimum: 10 }, { succeeded: 8, failed: 2 }, '2 of 10 devices failed, more than 10 %'],
  ['a number that is passed, however few have ended', { share: 1, minimum: 10, count: 2 }, { failed: 3 }, '3 devices failed, more than 2'],
  ['a share of one', { share: 1, minimum: 1 }, { failed: 99 }, undefined],
])('too many failed: %s', (_title, limit, counts, reason) => {
  expect(tooManyFailed(limit, progress(counts))).toBe(reason)
})

test('however devices end, the pace is kept, it halts only beyond the limit, and it comes to an end', () => {
  const plan = fc.record({
    perSecond: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.double({ min: 0.2, max: 1, noNaN: true })),
    atOnce: fc.integer({ min: 1, max: 40 }),
    errorLimit: fc.record({ share: fc.double({ min: 0, max: 1, noNaN: true }), minimum: fc.nat(20) }),
  })
  const endings = fc.array(fc.record({ fails: fc.boolean(), takes: fc.nat(5_000) }), { maxLength: 120 })
  fc.assert(
    fc.property(plan, endings, (pace, devices) => {
      const counts = progress({ total: devices.length, waiting: devices.length })
      const running: Array<{ endsAt: number; fails: boolean }> = []
      const starts: number[] = []
      let [now, next, idle, startedAt] = [1_000, 0, 0, 0]
      for (let steps = 0; ; steps++) {
        expect(steps).toBeLessThan(10_000)
        for (const device of running.filter(({ endsAt }) => endsAt <= now)) {
          running.splice(running.indexOf(device), 1)
          counts.underway--
          if (device.fails) counts.failed++
          else counts.succeeded++
          idle = 0
        }
        const step = nextStep(pace, counts, { startedAt, idle }, now)
        if (step.kind === 'done') break
        if (step.kind === 'halt') {
          expect(counts.failed / (counts.failed + counts.succeeded)).toBeGreaterThan(pace.errorLimit.share)
          return
        }
        if (step.kind === 'wait') {
          now += step.ms
          idle++
          continue
        }
        for (let n = 0; n < step.count; n++) {
          const { fails, takes } = devices[next++]!
          running.push({ endsAt: now + takes, fails })
          starts.push(now)
        }
        counts.waiting -= step.count
        counts.underway += step.count
        startedAt = now
        expect(counts.underway).toBeLessThanOrEqual(pace.atOnce)
      }
      expect(counts).toMatchObject({ waiting: 0, underway: 0, succeeded: devices.filter(({ fails }) => !fails).length })
      const first = starts[0] ?? 0
      const seconds = ((starts.at(-1) ?? 0) - first) / 1000
      expect(starts.length).toBeLessThanOrEqual(pace.perSecond * seconds + Math.max(1, pace.perSecond) + 1e-6)
    }),
    { numRuns: 500 },
  )
})
