/**
 * Tickets in random worlds: whatever alarms, people, other systems, silences, crashes and relapses there are, one ticket is open for a device and
 * rule, each ends or waits for a time, nothing is done twice, and what is closed was quiet for as long as its rule wants.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import type { SeenPrediction, TicketAsk, TicketPlan } from '../../twin-models/core/ticket-types.ts'
import { type Happening, type Moment, TicketWorld, type Trouble } from '../support/ticket-world.ts'

const MINUTE = 60_000
const DAY = 1_440 * MINUTE
const severity = fc.constantFrom(...SEVERITIES)
const by = fc.constantFrom('ann', 'bob', 'eve')
const note = fc.constantFrom('On my way.', 'The “part” is ordered', 'x'.repeat(1_000))
const noted = { note: fc.option(note, { nil: undefined }) }

const ask: fc.Arbitrary<TicketAsk> = fc
  .oneof(
    { weight: 4, arbitrary: fc.record({ action: fc.constant('accept' as const), by, ...noted }) },
    { weight: 1, arbitrary: fc.record({ action: fc.constant('reassign' as const), by, to: fc.option(by, { nil: undefined }), ...noted }) },
    {
      weight: 2,
      arbitrary: fc.record({ action: fc.constant('schedule' as const), by, at: fc.integer({ min: 1, max: 5 * DAY }), ...noted }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        action: fc.constant('start' as const),
        by,
        forMs: fc.option(fc.integer({ min: 1_000, max: DAY }), { nil: undefined }),
      }),
    },
    { weight: 6, arbitrary: fc.record({ action: fc.constant('done' as const), by, ...noted }) },
    { weight: 1, arbitrary: fc.record({ action: fc.constant('comment' as const), by, note }) },
    { weight: 1, arbitrary: fc.record({ action: fc.constant('reopen' as const), by, note }) },
  )
  .map((given) => JSON.parse(JSON.stringify(given)) as TicketAsk)
const ending: fc.Arbitrary<TicketAsk> = fc.record({ action: fc.constant('cancel' as const), by })

const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constant('raise' as const), severity }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('worsen' as const), severity }) },
  { weight: 6, arbitrary: fc.record({ what: fc.constant('clear' as const) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('silence' as const) }) },
  { weight: 12, arbitrary: fc.record({ what: fc.constant('ask' as const), ask }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('ask' as const), ask: ending }) },
  {
    weight: 4,
    arbitrary: fc.record({
      what: fc.constant('ask' as const),
      ask,
      origin: fc.record({ via: fc.constant('system' as const), system: fc.constant('erp'), ago: fc.nat(3 * 60 * MINUTE) }),
    }),
  },
)
const moment: fc.Arbitrary<Moment> = fc.record({
  afterMs: fc.oneof(fc.nat(2 * MINUTE), fc.nat(90 * MINUTE), fc.nat(3 * DAY)),
  happens: happening,
})
const moments = fc
  .array(moment, { maxLength: 40, size: 'max' })
  .chain((list) =>
    fc.oneof(
      { weight: 8, arbitrary: fc.constant(list) },
      { weight: 1, arbitrary: fc.nat(list.length).map((at) => list.toSpliced(at, 0, { afterMs: MINUTE, happens: { what: 'remove' } })) },
    ),
  )

const deadline = fc.record({ acceptMs: fc.constantFrom(MINUTE, 15 * MINUTE, DAY), doneMs: fc.constantFrom(10 * MINUTE, DAY, 14 * DAY) })
const plan: fc.Arbitrary<Omit<TicketPlan, 'severity' | 'createdAt'>> = fc
  .record({
    ...{
      title: fc.constant('Bearing wears out'),
      device: fc.constant('p-1'),
      rule: fc.constant('vibration'),
      by: fc.constant('vibration'),
    },
    onCall: fc.subarray(['ann', 'bob', 'eve']),
    deadlines: fc.record({ critical: deadline, major: deadline, minor: deadline, warning: deadline }),
    verifyForMs: fc.constantFrom(MINUTE, 30 * MINUTE),
    predict: fc.option(fc.constant('pump-failure'), { nil: undefined }),
  })
  .map(({ predict, ...always }) => ({ ...always, ...(predict !== undefined && { predict }) }))
const trouble: fc.Arbitrary<Trouble> = fc.oneof(
  { weight: 4, arbitrary: fc.constant('none' as const) },
  { weight: 1, arbitrary: fc.constant('lost' as const) },
  { weight: 1, arbitrary: fc.record({ reset: fc.integer({ min: 1, max: 5 }) }) },
)
const prediction: fc.Arbitrary<SeenPrediction> = fc.oneof(
  { weight: 3, arbitrary: fc.nat(100).map((n) => ({ status: 'answered' as const, probability: n / 100, threshold: 0.5 })) },
  { weight: 1, arbitrary: fc.constantFrom<SeenPrediction>({ status: 'waiting' }, { status: 'failed', detail: 'refused' }) },
)

test('one is open for a device and rule, each ends or waits for a time, and no step is done twice', () => {
  const seen = { closed: 0, cancelled: 0, relapses: 0, escalated: 0, overdue: 0, rings: 0, refused: 0 }
  fc.assert(
    fc.property(
      moments,
      plan,
      fc.array(trouble, { minLength: 1, maxLength: 12 }),
      fc.array(prediction, { minLength: 1, maxLength: 4 }),
      (list, plan, troubles, predictions) => {
        const world = new TicketWorld(plan, troubles.includes('none') ? troubles : [...troubles, 'none'], predictions)
        // What is planned is planned from then on.
        const placed = timed(list, world.now)
        world.play(placed, 2 * DAY)
        const open = world.tickets.filter(({ state }) => state.status !== 'closed' && state.status !== 'cancelled')
        expect(open.length).toBeLessThanOrEqual(1)
        for (const { state, changes, maintenance } of world.tickets) {
          const told = changes.flatMap(({ event }) => (event === 'opened' || event === 'closed' ? [event] : []))
          expect(told).toEqual(open.some((one) => one.state === state) ? ['opened'].slice(0, changes.length) : ['opened', 'closed'])
          const isOver = state.status === 'closed' || state.status === 'cancelled'
          if (isOver) expect(state.told, 'all that were told know that it is over').toEqual([])
          if (isOver) expect(maintenance ?? 0, 'its device is not in maintenance').toBeLessThanOrEqual(world.now)
          if (state.status === 'closed' || state.status === 'cancelled') seen[state.status]++
          seen.relapses += state.relapses
          const what = changes.flatMap(({ story }) => story.map((line) => line.what))
          expect(what.filter((word) => word === 'opened').length).toBeLessThanOrEqual(1)
          seen.escalated += what.filter((word) => word === 'escalated').length
          seen.overdue += what.filter((word) => word === 'overdue').length
        }
        seen.rings += world.rings
        seen.refused += world.answers.filter((answer) => /already|nothing is done|older/.test(answer)).length
      },
    ),
    { numRuns: 600 },
  )
  // Otherwise the worlds would be too kind, or too cruel, to say anything.
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(60)
})

function timed(list: Moment[], from: number): Moment[] {
  let now = from
  return list.map(({ afterMs, happens }) => {
    now += afterMs
    if (happens.what !== 'ask' || happens.ask.action !== 'schedule') return { afterMs, happens }
    return { afterMs, happens: { ...happens, ask: { ...happens.ask, at: now + (happens.ask.at ?? 0) } } }
  })
}
