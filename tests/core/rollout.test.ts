/** Rollouts as tables: how waves are cut, what each threshold means exactly, and what is done next. */
import { describe, expect, test } from 'vitest'
import { afterStep, initialRollout, nextRolloutStep } from '../../twin-models/core/rollout.ts'
import { gateOf, haltReason } from '../../twin-models/core/rollout-judge.ts'
import type { RolloutCounts, RolloutPlan, RolloutState, WaveCounts, WaveRule } from '../../twin-models/core/rollout-types.ts'
import { portion, waveSizes } from '../../twin-models/core/rollout-waves.ts'
import { back, counts, plan, running, wave } from '../support/rollout-cases.ts'

describe('waves', () => {
  const percents = [1, 5, 25, 100].map((percent) => ({ percent }))
  const canary = [{ group: 'canary' }, { count: 5 }, { percent: 50 }, { percent: 100 }]
  test.each<[string, number, WaveRule[], number[], number[]]>([
    ['by percent end at the share of all, rounded up', 1_000, percents, [], [10, 40, 200, 750]],
    ['by percent of few begin with one device', 10, percents, [], [1, 0, 2, 7]],
    ['of one device are one wave and empty ones', 1, percents, [], [1, 0, 0, 0]],
    ['of nobody are empty', 0, percents, [], [0, 0, 0, 0]],
    ['of 7 % of 100 hold 7, whatever the processor makes of 0.07', 100, [{ percent: 7 }, { percent: 100 }], [], [7, 93]],
    ['of 0.07 % of 10,000 hold 7 too', 10_000, [{ percent: 0.07 }, { percent: 100 }], [], [7, 9_993]],
    ['of the smallest percent hold one', 1_000_000, [{ percent: 0.0001 }, { percent: 100 }], [], [1, 999_999]],
    ['by count take that many more', 100, [{ count: 3 }, { count: 10 }, { percent: 100 }], [], [3, 10, 87]],
    ['by count take no more than are left', 5, [{ count: 3 }, { count: 10 }, { percent: 100 }], [], [3, 2, 0]],
    ['of a group take its members, and percents count them', 100, canary, [20], [20, 5, 25, 50]],
    ['by percent are empty where a group holds as many already', 100, canary, [60], [60, 5, 0, 35]],
    ['of a group without members are empty', 100, canary, [0], [0, 5, 45, 50]],
    ['of two groups take each its own', 10, [{ group: 'a' }, { group: 'b' }, { percent: 100 }], [2, 3], [2, 3, 5]],
    ['that do not reach all give the rest to the last one', 10, [{ count: 1 }, { count: 1 }], [], [1, 9]],
  ])('%s', (_title, total, rules, groups, sizes) => {
    expect(waveSizes(total, rules, groups)).toEqual(sizes)
  })

  test('sum to the whole for every total', () => {
    for (let total = 0; total < 2_000; total++)
      for (const rules of [percents, [{ percent: 33.3333 }, { percent: 66.6667 }, { percent: 100 }], [{ count: 7 }, { percent: 100 }]]) {
        const sizes = waveSizes(total, rules)
        expect(Math.min(...sizes)).toBeGreaterThanOrEqual(0)
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(total)
      }
  })

  test('have portions that are the least whole numbers of at least the share', () => {
    for (let total = 0; total <= 400; total++)
      for (let thousandths = 0; thousandths <= 1_000; thousandths++) {
        const least = portion(total, thousandths / 1_000)
        if (least * 1_000 < total * thousandths || (least > 0 && (least - 1) * 1_000 >= total * thousandths))
          expect.fail(`${thousandths / 1_000} of ${total} is ${least}`)
      }
  })
})

describe('the gate', () => {
  test.each<[string, number, WaveCounts, number, Partial<ReturnType<typeof gateOf>>]>([
    ['is reached by just the share', 0.95, wave(100, { healthy: 95, failed: 5 }), 0, { reached: true, needed: 95 }],
    ['is not reached by one less', 0.95, wave(100, { healthy: 94, failed: 5 }), 0, { reached: false, lost: false }],
    ['is out of reach when that one cannot come any more', 0.95, wave(100, { healthy: 94, failed: 6 }), 0, { reached: false, lost: true }],
    ['is reached while others are under way', 0.5, wave(10, { healthy: 5, underway: 5 }), 0, { reached: true }],
    ['rounds up what it needs', 0.95, wave(10, { healthy: 9, failed: 1 }), 0, { needed: 10, lost: true }],
    ['does not count who left', 0.95, wave(100, { healthy: 19, left: 80, failed: 1 }), 0, { needed: 19, counted: 20, reached: true }],
    ['is open while one waits', 1, wave(2, { healthy: 1 }), 0, { reached: false, lost: false }],
    ['does not count acknowledged failures', 0.95, wave(10, { healthy: 6, failed: 4 }), 4, { needed: 6, counted: 6, reached: true }],
    ['is passed by an empty wave', 1, wave(0), 0, { needed: 0, reached: true, lost: false }],
    ['is passed by a wave that all left', 1, wave(5, { left: 5 }), 0, { reached: true, lost: false }],
    ['of nought holds nothing up', 0, wave(5), 0, { needed: 0, reached: true, lost: false }],
    ['of one wants all', 1, wave(5, { healthy: 4, failed: 1 }), 0, { reached: false, lost: true }],
    ['is out of reach for a single device that failed', 0.01, wave(1, { failed: 1 }), 0, { needed: 1, lost: true }],
  ])('%s', (_title, gate, of, acknowledged, expected) => {
    expect(gateOf(gate, of, acknowledged)).toMatchObject(expected)
  })
})

describe('the limit of failures', () => {
  const easy = { gate: 0, failures: { share: 0.1, minimum: 10 } }
  const first = { wave: 0, acknowledged: { wave: 0, all: 0 } }
  const forgiven = (n: number) => ({ wave: 0, acknowledged: { wave: n, all: n } })
  const counted = { gate: 0, failures: { share: 1, minimum: 1, count: 3 } }
  test.each<[string, Parameters<typeof haltReason>[0], Parameters<typeof haltReason>[1], WaveCounts[], string | undefined]>([
    ['is not judged before the minimum', easy, first, [wave(100, { failed: 9 })], undefined],
    ['is passed from the minimum on', easy, first, [wave(100, { failed: 10 })], 'Wave 1: 10 of 10 devices failed, more than 10 %.'],
    ['may be reached', easy, first, [wave(100, { healthy: 18, failed: 2 })], undefined],
    ['may not be passed', easy, first, [wave(100, { healthy: 17, failed: 2 })], 'Wave 1: 2 of 19 devices failed, more than 10 %.'],
    ['has only judged ones in its denominator', easy, first, [wave(99, { healthy: 9, failed: 1, left: 40, underway: 40 })], undefined],
    ['leaves out what was acknowledged', easy, forgiven(5), [wave(100, { healthy: 9, failed: 6 })], undefined],
    [
      'counts failures after the acknowledged ones',
      easy,
      forgiven(5),
      [wave(100, { healthy: 9, failed: 7 })],
      'Wave 1: 2 of 11 devices failed, more than 10 %.',
    ],
    [
      'says who fell silent',
      easy,
      first,
      [wave(100, { healthy: 5, failed: 5, silent: 4 })],
      'Wave 1: 5 of 10 devices failed, more than 10 %; fell silent after the update until now: 4.',
    ],
    ['by number may be reached', counted, first, [wave(9, { failed: 3 })], undefined],
    ['by number may not be passed', counted, first, [wave(9, { failed: 4 })], 'All waves: 4 devices failed, more than 3.'],
    [
      'by number counts the waves before',
      counted,
      { ...first, wave: 1 },
      [wave(9, { failed: 2 }), wave(9, { failed: 2 })],
      'All waves: 4 devices failed, more than 3.',
    ],
    [
      'by share does not count the waves before',
      easy,
      { ...first, wave: 1 },
      [wave(90, { failed: 50 }), wave(90, { healthy: 10 })],
      undefined,
    ],
    ['by number leaves out what was acknowledged', counted, forgiven(2), [wave(9, { failed: 5 })], undefined],
    [
      'of nought halts at the first failure',
      { gate: 0, failures: { share: 0, minimum: 1 } },
      first,
      [wave(9, { healthy: 8, failed: 1 })],
      'Wave 1: 1 of 9 devices failed, more than 0 %.',
    ],
    [
      'by number nought too',
      { gate: 0, failures: { share: 1, minimum: 99, count: 0 } },
      first,
      [wave(9, { failed: 1 })],
      'All waves: 1 devices failed, more than 0.',
    ],
    [
      'is reached by a gate that is out of reach, however few they are',
      { ...easy, gate: 0.95 },
      first,
      [wave(1, { failed: 1, silent: 1 })],
      'Wave 1: 1 of 1 devices failed: the gate, 1 healthy, is out of reach; fell silent after the update until now: 1.',
    ],
  ])('%s', (_title, limits, state, waves, reason) => {
    expect(haltReason(limits, state, waves)).toBe(reason)
  })
})

describe('the next step', () => {
  const joining = { ...plan, lateJoiners: 'join' as const }
  const join = { kind: 'join' } as const
  const halted = { ...running, status: 'halted' as const, reason: 'because' }
  const done = counts(wave(10, { healthy: 10 }))
  const bad = counts(wave(10, { failed: 10 }), wave(90))
  test.each<[string, RolloutState, RolloutPlan, RolloutCounts, number, object]>([
    ['of a draft is to wait for somebody', initialRollout(plan), plan, counts(), 0, { kind: 'wait' }],
    [
      'of one without approval is to choose its devices',
      initialRollout({ ...plan, approval: 'none' }),
      plan,
      counts(),
      0,
      { kind: 'choose', direction: 'forward' },
    ],
    ['is to start a second’s worth', running, plan, counts(wave(40), wave(60)), 0, { kind: 'start', wave: 0, count: 10 }],
    ['is to start only the current wave', running, plan, counts(wave(3), wave(60)), 0, { kind: 'start', wave: 0, count: 3 }],
    ['is to keep the pace', { ...running, startedAt: 5_000 }, plan, counts(wave(40)), 5_400, { kind: 'wait', ms: 600 }],
    ['is to start no more than have room', running, plan, counts(wave(110, { underway: 97 })), 0, { kind: 'start', wave: 0, count: 3 }],
    ['is to wait for those under way', running, plan, counts(wave(10, { underway: 10 }), wave(90)), 0, { kind: 'wait', ms: 1_000 }],
    ['is not to start who is to be asked later', running, plan, counts(wave(10, { later: 10 })), 0, { kind: 'wait', ms: 1_000 }],
    [
      'is to go on at the gate',
      running,
      plan,
      counts(wave(100, { healthy: 95, underway: 5 }), wave(9)),
      0,
      { kind: 'advance', to: 1, join: false },
    ],
    [
      'is to pass empty waves at once',
      running,
      plan,
      counts(wave(0), wave(0), wave(4, { left: 4 }), wave(5), wave(9)),
      0,
      { kind: 'advance', to: 3, join: false },
    ],
    [
      'is to pass the gate when somebody says so',
      { ...running, passed: true },
      plan,
      counts(wave(9), wave(9)),
      0,
      { kind: 'advance', to: 1, join: false },
    ],
    ['is to halt even then', { ...running, passed: true }, plan, bad, 0, { kind: 'halt', cancelRunning: false }],
    [
      'is to cancel who is under way where that is wanted',
      running,
      { ...plan, onHalt: 'cancel' },
      bad,
      0,
      { kind: 'halt', cancelRunning: true },
    ],
    [
      'is to start who waits of waves that were passed',
      { ...running, wave: 1 },
      plan,
      counts(wave(9, { healthy: 4 }), wave(3)),
      0,
      { kind: 'start', wave: 1, count: 8 },
    ],
    ['is to end when all have ended', running, plan, done, 0, { kind: 'done', status: 'completed' }],
    ['is to end when nobody is there', running, plan, counts(wave(0), wave(0)), 0, { kind: 'advance', to: 1, join: false }],
    [
      'is to wait for those of waves before',
      { ...running, wave: 1 },
      plan,
      counts(wave(9, { healthy: 8, underway: 1 }), wave(1, { healthy: 1 })),
      0,
      { kind: 'wait', ms: 1_000 },
    ],
    [
      'is to judge the last wave too',
      { ...running, wave: 1 },
      plan,
      counts(wave(0), wave(10, { healthy: 9, failed: 1 })),
      0,
      { kind: 'halt' },
    ],
    [
      'is to let late devices in when the last wave begins',
      running,
      joining,
      counts(wave(0), wave(5)),
      0,
      { kind: 'advance', to: 1, join: true },
    ],
    ['is to let late devices in before it ends', running, joining, done, 0, join],
    ['is to end once they were let in', { ...running, joined: true }, joining, done, 0, { kind: 'done', status: 'completed' }],
    ['of a paused one is to wait for somebody', { ...running, status: 'paused' }, plan, counts(wave(9)), 0, { kind: 'wait' }],
    [
      'of a paused one is to watch who is under way',
      { ...running, status: 'paused' },
      plan,
      counts(wave(9, { underway: 1 })),
      0,
      { kind: 'wait', ms: 1_000 },
    ],
    ['of a paused one is to halt when too many fail', { ...running, status: 'paused' }, plan, bad, 0, { kind: 'halt' }],
    ['of a paused one is not to end', { ...running, status: 'paused' }, plan, done, 0, { kind: 'wait' }],
    ['of a halted one is to wait for somebody', halted, plan, counts(wave(9), wave(9)), 0, { kind: 'wait' }],
    ['of a halted one is not to go on at the gate', halted, plan, counts(wave(9, { healthy: 9 }), wave(9)), 0, { kind: 'wait' }],
    [
      'of a cancelled one is to watch who is under way',
      { ...running, status: 'cancelled' },
      plan,
      counts(wave(9, { underway: 9 })),
      0,
      { kind: 'wait', ms: 1_000 },
    ],
    [
      'of a cancelled one is to end then',
      { ...running, status: 'cancelled' },
      plan,
      counts(wave(9, { left: 9 })),
      0,
      { kind: 'done', status: 'cancelled' },
    ],
    [
      'back is to wait until forward updates are cancelled',
      { ...back, chosen: false, back: { which: 'failed', chooseBy: 700 } },
      plan,
      { waves: [], ahead: 2 },
      100,
      { kind: 'wait', ms: 600 },
    ],
    [
      'back is not to wait for them for ever',
      { ...back, chosen: false, back: { which: 'failed', chooseBy: 700 } },
      plan,
      { waves: [], ahead: 2 },
      700,
      { kind: 'choose', direction: 'back', which: 'failed' },
    ],
    [
      'back is to let in who became healthy even so',
      back,
      plan,
      { ...counts(wave(0), wave(5)), ahead: 1 },
      0,
      { kind: 'advance', to: 1, join: true },
    ],
    ['back is to wait for forward updates before it ends', back, plan, { ...done, ahead: 1 }, 0, { kind: 'wait', ms: 1_000 }],
    [
      'back is not to wait for room that forward updates take',
      back,
      plan,
      { ...counts(wave(10), wave(9)), ahead: 97 },
      0,
      { kind: 'start', count: 10 },
    ],
    ['back is to look for late ones before it ends', back, plan, done, 0, join],
  ])('%s', (_title, state, plan, counts, now, step) => {
    expect(nextRolloutStep(state, plan, counts, now)).toMatchObject(step)
    if ('kind' in step && step.kind === 'wait' && !('ms' in step)) expect(nextRolloutStep(state, plan, counts, now)).toEqual(step)
  })

  test('is looked for ever more seldom while nothing happens, and soon again when something did', () => {
    const [same, other] = [counts(wave(10, { underway: 10 })), counts(wave(10, { underway: 9, healthy: 1 }))]
    const waits: unknown[] = []
    let state = running
    for (const seen of [same, same, same, same, same, same, same, other, other]) {
      const step = nextRolloutStep(state, plan, seen, 0)
      waits.push(step.kind === 'wait' && step.ms)
      state = afterStep(state, step, seen, 0)
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 1_000, 2_000])
  })

  test('is looked for more seldom while nothing is under way, and no later at a slow pace while something is', () => {
    const quiet = { ...running, idle: 9, seen: '10/10/0/0/0/0/0' }
    expect(nextRolloutStep(quiet, plan, counts(wave(10, { later: 10 })), 0)).toEqual({ kind: 'wait', ms: 30_000 })
    const slow: RolloutState = { ...running, startedAt: 1, pace: { perSecond: 0.01, atOnce: 10 } }
    expect(nextRolloutStep(slow, plan, counts(wave(10, { underway: 1 })), 1_000)).toEqual({ kind: 'wait', ms: 10_000 })
    expect(nextRolloutStep(slow, plan, counts(wave(10)), 1_000)).toEqual({ kind: 'wait', ms: 99_001 })
  })

  test('of a wave that soaks for long is not looked for every second', () => {
    const soaking = counts(wave(10, { underway: 10 }))
    for (const [soakMs, ms] of [
      [0, 1_000],
      [600_000, 10_000],
      [86_400_000, 10_000],
    ] as const)
      expect(nextRolloutStep(running, { ...plan, soakMs }, soaking, 0)).toEqual({ kind: 'wait', ms })
  })

  test('leads from wave to wave without the failures that were acknowledged in the one before', () => {
    const before: RolloutState = { ...running, acknowledged: { wave: 3, all: 3 }, passed: true, idle: 4 }
    const step = { kind: 'advance', to: 1, join: false } as const
    const { passed: _, ...after } = { ...before, wave: 1, acknowledged: { wave: 0, all: 3 }, idle: 0 }
    expect(afterStep(before, step, counts(), 0)).toEqual(after)
  })
})
