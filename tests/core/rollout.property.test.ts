/** Whole rollouts over random fleets: whatever fails, falls silent, leaves, is lost or asked for meanwhile, each step keeps what rollout.ts promises. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RolloutAsk, RolloutPlan, WaveRule } from '../../twin-models/core/rollout-types.ts'
import { RolloutFleet, type SimDevice } from '../support/rollout-fleet.ts'
import { type Asked, RolloutRun, type Troubles } from '../support/rollout-run.ts'

const thousandths = fc.nat(1_000).map((n) => n / 1_000)
const takesMs = fc.oneof(fc.nat(5_000), fc.nat(300_000))
const device: fc.Arbitrary<SimDevice> = fc
  .record(
    {
      end: fc.oneof(
        { weight: 12, arbitrary: fc.constant('healthy' as const) },
        { weight: 3, arbitrary: fc.constantFrom('failed', 'flaky', 'silent', 'away', 'skipped') },
      ),
      backEnd: fc.oneof(
        { weight: 8, arbitrary: fc.constant('healthy' as const) },
        { weight: 1, arbitrary: fc.constantFrom('failed', 'silent', 'away') },
      ),
      takesMs,
      untoldMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(400_000) }),
      busy: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) }),
      cancelMs: fc.oneof(fc.constant(0), fc.nat(200_000)),
      removedAt: fc.option(fc.integer({ min: 1_000_000, max: 1_400_000 }), { nil: undefined, freq: 12 }),
      appearsAt: fc.option(fc.integer({ min: 1_000_001, max: 1_200_000 }), { nil: undefined, freq: 12 }),
      group: fc.option(fc.constantFrom('canary', 'pilots'), { nil: undefined, freq: 6 }),
    },
    { noNullPrototype: true },
  )
  .map(({ removedAt, appearsAt, group, ...always }) => ({
    ...always,
    ...(removedAt !== undefined && { removedAt }),
    ...(appearsAt !== undefined && { appearsAt }),
    ...(group !== undefined && { group }),
  }))

const rules: fc.Arbitrary<WaveRule[]> = fc.oneof(
  fc
    .uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 5 })
    .map((list) => list.sort((a, b) => a - b).map((percent) => ({ percent }))),
  fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 4 }).map((list) => list.map((count) => ({ count }))),
)
const groups = fc.subarray<WaveRule>([{ group: 'canary' }, { group: 'pilots' }])
const waves = fc.tuple(groups, rules).map(([first, then]) => [...first, ...then, { percent: 100 }])
const pace = fc.record({
  perSecond: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0.1, max: 1, noNaN: true })),
  atOnce: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.constant(1_000)),
})
const plan: fc.Arbitrary<RolloutPlan> = fc
  .record({
    gate: fc.oneof(thousandths, fc.constantFrom(0.5, 0.8, 0.95, 1)),
    failures: fc.record({
      share: fc.oneof(thousandths, fc.constantFrom(0.05, 0.1, 0.3)),
      minimum: fc.integer({ min: 1, max: 20 }),
      count: fc.option(fc.nat(10), { nil: undefined }),
    }),
    soakMs: fc.constantFrom(0, 600_000),
    pace,
    onHalt: fc.constantFrom('continue', 'cancel'),
    lateJoiners: fc.constantFrom('ignore', 'join'),
    approval: fc.constantFrom('none', 'one', 'four-eyes'),
    by: fc.constant('somebody'),
  })
  .map(({ failures: { share, minimum, count }, ...rest }) => ({
    ...rest,
    failures: { share, minimum, ...(count !== undefined && { count }) },
  }))

const running = fc.constantFrom('continue' as const, 'cancel' as const)
const ask: fc.Arbitrary<RolloutAsk> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ action: fc.constant('approve' as const), by: fc.constantFrom('somebody', 'another') }) },
  { weight: 10, arbitrary: fc.record({ action: fc.constantFrom('pause' as const, 'resume' as const, 'advance' as const) }) },
  { weight: 4, arbitrary: fc.record({ action: fc.constant('resume' as const) }) },
  { weight: 3, arbitrary: fc.record({ action: fc.constant('halt' as const), running }, { requiredKeys: ['action'] }) },
  { weight: 1, arbitrary: fc.record({ action: fc.constant('cancel' as const), running }, { requiredKeys: ['action'] }) },
  {
    weight: 2,
    arbitrary: fc.record({ action: fc.constant('rollback' as const), which: fc.constantFrom('updated' as const, 'failed' as const) }),
  },
  { weight: 2, arbitrary: pace.map((wanted) => ({ action: 'pace' as const, ...wanted })) },
  { weight: 4, arbitrary: fc.record({ action: fc.constant('exclude' as const), device: fc.nat(80).map(String) }) },
)
const asked: fc.Arbitrary<Asked> = fc.record({ afterMs: fc.oneof(fc.nat(3_000), fc.nat(200_000)), ask })
const troubles: fc.Arbitrary<Troubles> = fc.record({
  lost: fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(90_000) }), { maxLength: 12 }),
  atLast: fc.constantFrom('resume', 'rollback', 'cancel'),
})
const fleet = fc.array(device, { maxLength: 80, size: 'max' })

test('no wave starts before its gate, what stands still starts nothing, counts add up, nobody is asked twice, and everything ends', () => {
  const reached = { completed: 0, cancelled: 0, back: 0, halts: 0, stops: 0 }
  fc.assert(
    fc.property(
      fleet,
      waves,
      rules,
      plan,
      fc.array(asked, { maxLength: 12 }),
      troubles,
      (devices, forward, back, plan, script, troubles) => {
        const run = new RolloutRun(new RolloutFleet(devices, { forward, back: [...back, { percent: 100 }] }), plan, troubles)
        run.run(script)
        const { status, direction } = run.state
        expect(['completed', 'cancelled']).toContain(status)
        for (const target of [...run.fleet.targets.forward, ...run.fleet.targets.back])
          expect(['healthy', 'failed', 'left'], JSON.stringify(target)).toContain(target.status)
        if (direction === 'back') checkReturn(run)
        if (status === 'completed' || status === 'cancelled') reached[status]++
        if (direction === 'back') reached.back++
        reached.halts += run.halts
        reached.stops += run.fleet.targets.forward.reduce((sum, { stops }) => sum + stops, 0)
      },
    ),
    { numRuns: 800 },
  )
  // Otherwise the fleets would be too kind, or too cruel, to say anything.
  for (const times of Object.values(reached)) expect(times).toBeGreaterThan(40)
})

/** Only who runs what the rollout brought returns. */
function checkReturn({ fleet }: RolloutRun): void {
  const forward = new Map(fleet.targets.forward.map((target) => [target.device, target]))
  const returned = fleet.targets.back.map(({ device }) => device)
  expect(new Set(returned).size).toBe(returned.length)
  for (const device of returned) {
    const { status, canReturn } = forward.get(device)!
    expect(status === 'healthy' || canReturn).toBe(true)
  }
}

test('good firmware reaches every device, and bad firmware only those of the first wave', () => {
  const devices = (end: SimDevice['end']): SimDevice[] =>
    Array.from({ length: 200 }, () => ({ end, backEnd: 'healthy', takesMs: 30_000, busy: 0, cancelMs: 0 }))
  const plan: RolloutPlan = {
    gate: 0.95,
    failures: { share: 0.1, minimum: 10 },
    soakMs: 30_000,
    pace: { perSecond: 50, atOnce: 1_000 },
    onHalt: 'continue',
    lateJoiners: 'ignore',
    approval: 'none',
    by: 'somebody',
  }
  const forward = [{ percent: 1 }, { percent: 5 }, { percent: 25 }, { percent: 100 }]
  const good = new RolloutRun(new RolloutFleet(devices('healthy'), { forward, back: [{ percent: 100 }] }), plan, {
    lost: [],
    atLast: 'resume',
  })
  good.run([])
  expect(good.state).toMatchObject({ status: 'completed', direction: 'forward', wave: 3 })
  expect(good.fleet.targets.forward.filter(({ status }) => status === 'healthy')).toHaveLength(200)
  const bad = new RolloutRun(new RolloutFleet(devices('silent'), { forward, back: [{ percent: 100 }] }), plan, {
    lost: [],
    atLast: 'cancel',
  })
  bad.run([])
  expect(bad.state).toMatchObject({ status: 'cancelled', wave: 0 })
  expect(bad.fleet.targets.forward.filter(({ starts }) => starts > 0)).toHaveLength(2)
})
