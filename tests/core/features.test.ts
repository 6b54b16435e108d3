/** Functions of readings: what each says, and what time makes of it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Feature,
  type FeatureState,
  featureNamed,
  feed,
  nameOfFeature,
  timeCrossing,
  valueAt,
} from '../../twin-models/core/features.ts'
import { fedBy, fedByHealth, type InboxFeatures, passed, withRules } from '../../twin-models/core/inbox-features.ts'
import type { TwinRule, Value } from '../../twin-models/core/types.ts'

const name = fc.stringMatching(/^[A-Za-z_][\w.-]{0,20}$/)
const number = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
)
const ms = fc.integer({ min: 1_000, max: 86_400_000 })
const feature: fc.Arbitrary<Feature> = fc.oneof(
  fc.record({ kind: fc.constantFrom('change' as const, 'deviation' as const, 'missing' as const), of: name, ms }),
  fc.record({ kind: fc.constant('distance' as const), of: name, lat: number, lon: number }),
  fc.record({ kind: fc.constant('health' as const), of: fc.constantFrom('battery' as const, 'rssi' as const) }),
  fc.record(
    {
      kind: fc.constant('count' as const),
      of: name,
      event: fc.boolean(),
      only: fc.record({
        comparison: fc.constantFrom('=' as const, '!=' as const, '<' as const, '<=' as const, '>' as const, '>=' as const),
        value: fc.oneof(number, fc.string(), fc.boolean()),
      }),
      ms,
      most: fc.integer({ min: 1, max: 100 }),
    },
    { requiredKeys: ['kind', 'of', 'event', 'ms', 'most'], noNullPrototype: true },
  ),
)

test('a name says all of it', () => {
  fc.assert(
    fc.property(feature, (given) => {
      expect(featureNamed(nameOfFeature(given))).toEqual(given)
    }),
  )
})

test('a name that is none is told', () => {
  expect(() => featureNamed('sum(temperature,1000)')).toThrow('There is no function of readings sum(temperature,1000)')
})

describe('change', () => {
  test('is the newest value less the oldest of the time that it looks at', () => {
    const values = run('change(a,10000)', [
      [10, 0],
      [12, 4_000],
      [15, 9_000],
      [16, 13_000],
      [40, 60_000],
    ])
    expect(values).toEqual([null, 2, 5, 4, null])
  })

  test('keeps few values, however many there are', () => {
    let state: FeatureState = []
    for (let ts = 0; ts < 100_000; ts += 10) state = feed(featureNamed('change(a,10000)'), state, ts, ts, ts).state
    expect(state.length).toBeLessThanOrEqual(2 * 18)
  })
})

describe('count', () => {
  test('counts what meets its comparison, and what is older than its time no more', () => {
    const values = run('count(a>5,10000,9)', [
      [6, 0],
      [5, 1_000],
      [7, 5_000],
      [8, 12_000],
    ])
    expect(values).toEqual([1, 1, 2, 2])
  })

  test('falls as time passes, and says when it leaves the bounds that somebody waits for', () => {
    const counted = featureNamed('count(a,10000,9)')
    const state = [1_000, 4_000, 6_000]
    expect(timeCrossing(counted, state, 3, undefined)).toBe(11_000)
    expect(timeCrossing(counted, state, 3, { low: 2 })).toBe(14_000)
    expect(timeCrossing(counted, state, 3, { high: 5 })).toBeUndefined()
    expect([10_999, 11_000, 14_000, 16_000].map((at) => valueAt(counted, state, at))).toEqual([3, 2, 1, 0])
  })

  // Found by the simulation: time went round and round.
  test('of events that come in another order goes down one by one all the same', () => {
    const counted = featureNamed('count(!leak,10000,9)')
    let state: FeatureState = []
    for (const ts of [5_000, 3_000, 4_000]) state = feed(counted, state, null, ts, 6_000).state
    expect(state).toEqual([3_000, 4_000, 5_000])
    expect(timeCrossing(counted, state, 3, undefined)).toBe(13_000)
    expect(valueAt(counted, state, 13_000)).toBe(2)
    const features = { rules: {}, known: { 'count(!leak,10000,9)': [0, []] as [number, number[]] } }
    const leak = (ts: number) => fedBy(features, { name: 'leak', value: null, ts, receivedAt: 6_000 }, true)
    leak(5_000)
    expect(leak(3_000)).toEqual([expect.objectContaining({ value: 2, ts: 5_000 })])
    expect(passed(features, 20_000).map(({ value, ts }) => [value, ts])).toEqual([
      [1, 13_000],
      [0, 15_000],
    ])
  })

  // Found by the simulation: time that had passed already made something of late readings, as if it was just so.
  test('counts what comes late at the time that was told last, and goes on from there', () => {
    const features = { rules: {}, known: { 'count(a,10000,9)': [1, [1_000]] as [number, number[]] } }
    const late = (ts: number) => fedBy(features, { name: 'a', value: 1, ts, receivedAt: 60_000 }).map(({ value, ts }) => [value, ts])
    const passedBy = (at: number) => passed(features, at).map(({ value, ts }) => [value, ts])
    expect(passedBy(50_000)).toEqual([[0, 11_000]])
    expect([late(500), late(2_000), late(3_000)]).toEqual([[[0, 11_000]], [[1, 11_000]], [[2, 11_000]]])
    expect(passedBy(12_500)).toEqual([[1, 12_000]])
    expect(late(4_000)).toEqual([[2, 12_000]])
    expect(passedBy(60_000)).toEqual([
      [1, 13_000],
      [0, 14_000],
    ])
  })

  test('counts what was before it was asked for at the time at which it was', () => {
    const when = {
      kind: 'compare' as const,
      path: ['telemetry', 'count(a,10000,9)', 'value'] as [string, ...string[]],
      comparison: '>' as const,
      value: 1,
    }
    const rule: TwinRule = { id: 'r', version: 1, severity: 'minor', text: [], when, forMs: 0, clearForMs: 0, lateMs: 0, onChange: 'keep' }
    const features = withRules(null, { set: [rule], removed: [] }, 5_000).features!
    expect(fedBy(features, { name: 'a', value: 1, ts: 1_000, receivedAt: 5_001 })).toMatchObject([{ value: 1, ts: 5_000 }])
    expect(passed(features, 20_000)).toMatchObject([{ value: 0, ts: 11_000 }])
  })

  test('beyond the most that is asked for it counts no further', () => {
    expect(
      run(
        'count(a,10000,2)',
        [0, 1, 2, 3].map((ts) => [1, ts]),
      ),
    ).toEqual([1, 2, 2, 2])
  })
})

describe('deviation', () => {
  test('says nothing before it has seen enough, then how far off the usual a value is', () => {
    const usual = Array.from({ length: 40 }, (_, i): [number, number] => [20 + (i % 2), i * 60_000])
    const values = run('deviation(a,3600000)', [...usual, [30, 40 * 60_000]])
    expect(values.slice(0, 30)).toEqual(Array(30).fill(null))
    for (const value of values.slice(30, 40)) expect(value).toBeLessThan(2)
    expect(values[40]).toBeGreaterThan(10)
  })

  test('one spike does not make the next one usual', () => {
    const usual = Array.from({ length: 60 }, (_, i): [number, number] => [20 + (i % 2), i * 60_000])
    const values = run('deviation(a,3600000)', [...usual, [100, 60 * 60_000], [100, 61 * 60_000]])
    expect(values[61]).toBeGreaterThan(10)
  })

  test('what comes closer together than a 256th of its time does not move what is usual, and is compared all the same', () => {
    const feature = featureNamed('deviation(a,256000)')
    let state: FeatureState = []
    for (let n = 0; n < 40; n++) state = feed(feature, state, 20 + (n % 2), n * 1_000, n * 1_000).state
    const between = feed(feature, state, 30, 39_999, 39_999)
    expect(between.state).toBe(state)
    expect(between.value).toBeGreaterThan(10)
    expect(feed(feature, state, 30, 40_000, 40_000).state).not.toEqual(state)
  })

  test('of a constant is finite, and never NaN, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.double({ noNaN: true }), fc.nat(100_000)), { minLength: 35, maxLength: 60 }), (steps) => {
        let ts = 0
        const given = steps.map(([value, gap]): [number, number] => {
          ts += gap
          return [value, ts]
        })
        for (const value of run('deviation(a,60000)', given)) expect(value === null || Number.isFinite(value)).toBe(true)
      }),
    )
  })
})

test('distance is in metres, and of what is no place there is none', () => {
  const values = run('distance(a,52.5163,13.3777)', [
    [{ lat: 52.5163, lon: 13.3777 }, 0],
    [{ lat: 48.8584, lon: 2.2945 }, 1],
    [{ lat: 'north', lon: 1 }, 2],
    [5, 3],
  ])
  expect(values[0]).toBe(0)
  expect(values[1]).toBeCloseTo(878_000, -4)
  expect(values.slice(2)).toEqual([null, null])
})

test('missing is false with each reading, and true when its time has passed', () => {
  const gone = featureNamed('missing(a,60000)')
  const { state, value } = feed(gone, [0], 5, 1_000, 2_000)
  expect([state, value]).toEqual([[2_000], false])
  expect(timeCrossing(gone, state, value, undefined)).toBe(62_000)
  expect([61_999, 62_000].map((at) => valueAt(gone, state, at))).toEqual([false, true])
})

test('what another bridge had for longer makes nothing missing sooner, and what is missing is there again', () => {
  const gone = 'missing(a,60000)'
  const features = { rules: {}, known: { [gone]: [false, [1_000]] as [boolean, number[]] } }
  const comes = (receivedAt: number) => fedBy(features, { name: 'a', value: 1, ts: receivedAt, receivedAt })
  expect([comes(3_000), comes(2_000)]).toMatchObject([[{ value: false, ts: 3_000 }], [{ value: false, ts: 3_000 }]])
  expect(passed(features, 70_000)).toMatchObject([{ value: true, ts: 63_000 }])
  expect(comes(62_000)).toMatchObject([{ value: false, ts: 63_000 }])
  expect(passed(features, 200_000)).toMatchObject([{ value: true, ts: 122_000 }])
})

test('a hello that another bridge had for longer tells its health at the time of the one before', () => {
  const features: InboxFeatures = { rules: {}, known: { 'health(battery)': [null, []] } }
  expect(fedByHealth(features, { at: 2_000, health: { ok: true, battery: 80 } })).toMatchObject([{ value: 80, ts: 2_000 }])
  const late = { at: 1_000, health: { ok: true, battery: 81 }, messageId: 'h' }
  expect(fedByHealth(features, late)).toMatchObject([{ value: 81, ts: 2_000, messageId: 'h' }])
  expect(fedByHealth(features, { at: 3_000 })).toEqual([])
})

/** What it is after each reading. */
function run(name: string, readings: Array<[value: Value, ts: number]>): Value[] {
  let state: FeatureState | undefined
  return readings.map(([value, ts]) => {
    const fed = feed(featureNamed(name), state, value, ts, ts)
    state = JSON.parse(JSON.stringify(fed.state)) as FeatureState
    return fed.value
  })
}
