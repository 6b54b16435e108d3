/** What goes out together, and when: groups, storms, pace, quiet hours; as examples and as properties. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type BundlePace,
  type Candidate,
  composed,
  countedRequests,
  groupKeyOf,
  keysOf,
  MOST_SHOWN,
  nextBundle,
  quietUntil,
  turnAt,
  type WaitingGroup,
} from '../../twin-models/core/bundles.ts'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { windowsByZone } from '../../twin-models/windows.ts'

const NOW = Date.parse('2026-11-27T06:00:00Z')
const PACE: BundlePace = { groupWaitMs: 10_000, groupIntervalMs: 60_000, perMinute: 60 }

const group = (rule: string | null, site: string | undefined, secondsAgo: number): WaitingGroup => ({
  ...{ rule, firstAt: NOW - secondsAgo * 1_000 },
  key: rule === null ? `ticket ${site}` : groupKeyOf({ rule, site }),
})
const next = (groups: WaitingGroup[], lasts: { [key: string]: number } = {}, pace: Partial<BundlePace> = {}) =>
  nextBundle(groups, { ...PACE, ...pace }, (key) => lasts[key], NOW)

describe('a group', () => {
  const north = group('hot', 'north', 12)

  test('goes out when its first notice has waited for long enough', () => {
    expect(next([])).toBeUndefined()
    expect(next([north])).toEqual({ keys: [north.key], as: north.key })
    expect(next([group('hot', 'north', 9)])).toEqual({ lookAt: NOW + 1_000 })
  })

  test('goes out at most once in its interval', () => {
    expect(next([north], { [north.key]: NOW - 59_000 })).toEqual({ lookAt: NOW + 1_000 })
    expect(next([north], { [north.key]: NOW - 60_000 })).toEqual({ keys: [north.key], as: north.key })
  })

  test('comes before others that have waited less long', () => {
    const [south, west] = [group('hot', 'south', 30), group('hot', 'west', 20)]
    expect(next([north, south, west])).toMatchObject({ as: south.key })
    expect(next([north, south, west], { [south.key]: NOW - 1_000 })).toMatchObject({ as: west.key })
  })

  test('that is no alarm goes by itself, at once', () => {
    const ticket = group(null, '7', 0)
    expect(next([group('hot', 'north', 5), ticket])).toEqual({ keys: [ticket.key], as: ticket.key })
  })

  test('has a key like those of Alertmanager, whatever its names are', () => {
    expect(groupKeyOf({ rule: 'hot', site: 'a "b"' })).toBe('{}:{alertname="hot", site="a \\"b\\""}')
    expect(groupKeyOf({ rule: 'hot' })).toBe('{}:{alertname="hot"}')
    expect(groupKeyOf()).toBe('{}:{}')
  })
})

describe('very many groups', () => {
  const sites = (rule: string, count: number) => Array.from({ length: count }, (_, n) => group(rule, `site ${n}`, 12))

  test('of one rule are told together', () => {
    const groups = sites('hot', 16)
    expect(next(groups)).toEqual({ keys: groups.map(({ key }) => key), as: groupKeyOf({ rule: 'hot' }) })
    expect(next(groups.slice(1))).toMatchObject({ as: groups[1]!.key })
  })

  test('of two rules are told by rule', () => {
    const groups = [...sites('hot', 12), ...sites('cold', 12)]
    expect(next(groups)).toMatchObject({ as: groupKeyOf({ rule: 'hot' }) })
    const after = next(groups, { [groupKeyOf({ rule: 'hot' })]: NOW - 1_000 })
    expect(after).toMatchObject({ as: groupKeyOf({ rule: 'cold' }), keys: sites('cold', 12).map(({ key }) => key) })
  })

  test('of many rules are told all together, and what is no alarm is still told by itself', () => {
    const rules = Array.from({ length: 16 }, (_, n) => group(`rule ${n}`, undefined, 12))
    expect(next(rules)).toEqual({ keys: rules.map(({ key }) => key), as: groupKeyOf() })
    expect(next([...rules, group(null, '7', 13)])).toMatchObject({ as: 'ticket 7' })
  })

  test('are fewer for a target that takes fewer messages', () => {
    expect(next(sites('hot', 2), {}, { perMinute: 4 })).toMatchObject({ as: groupKeyOf({ rule: 'hot' }) })
    expect(next(sites('hot', 1), {}, { perMinute: 1 })).toMatchObject({ as: groupKeyOf({ rule: 'hot', site: 'site 0' }) })
  })
})

const waiting = fc.record({
  rule: fc.oneof(fc.constant(null), fc.constantFrom('a', 'b', 'c', 'd')),
  site: fc.constantFrom(undefined, 's', 't', 'u'),
  secondsAgo: fc.integer({ min: 0, max: 100 }),
})

test('never do alarms of a target make more messages in an interval than a quarter of its pace, and never is one told before its time', () => {
  fc.assert(
    fc.property(fc.array(waiting, { maxLength: 30 }), fc.integer({ min: 1, max: 30 }), (given, perMinute) => {
      const pace = { ...PACE, perMinute }
      let groups = given.map(({ rule, site, secondsAgo }, n) => group(rule, rule === null ? String(n) : site, secondsAgo))
      groups = [...Map.groupBy(groups, ({ key }) => key).values()].map((same) => ({
        ...same[0]!,
        firstAt: Math.min(...same.map(({ firstAt }) => firstAt)),
      }))
      const lasts = new Map<string, number>()
      let messages = 0
      for (;;) {
        const found = nextBundle(groups, pace, (key) => lasts.get(key), NOW)
        if (found === undefined || 'lookAt' in found) {
          if (found) expect(found.lookAt).toBeGreaterThan(NOW)
          break
        }
        const of = groups.filter(({ key }) => found.keys.includes(key))
        const isAlarm = of[0]!.rule !== null
        if (isAlarm) {
          messages++
          expect(of.some(({ firstAt }) => firstAt + PACE.groupWaitMs <= NOW)).toBe(true)
          // They may wait at once for the next interval.
          groups = groups.map((one) => (of.includes(one) ? { ...one, firstAt: NOW } : one))
        } else groups = groups.filter((one) => !of.includes(one))
        expect(keysOf(groups.concat(of))).toContain(found.as)
        lasts.set(found.as, NOW)
      }
      expect(messages).toBeLessThanOrEqual(Math.max(1, Math.floor(perMinute / 4)))
    }),
  )
})

describe('a bundle', () => {
  const candidate = (id: number, more: Partial<Candidate> = {}): Candidate => ({
    ...{ id, key: `k${id}`, status: 'firing', severity: 'minor', owed: false },
    ...more,
  })
  const many = (count: number, from: number, more: Partial<Candidate> = {}) =>
    Array.from({ length: count }, (_, n) => candidate(from + n, more))

  test('shows a hundred alarms, the worst first, and counts the others', () => {
    const candidates = [...many(10_000, 1), ...many(3, 20_000, { severity: 'critical' })]
    const { shown, counted } = composed(candidates)
    expect([shown.length, counted.length]).toEqual([100, 9_903])
    expect(shown.slice(0, 4)).toEqual([20_000, 20_001, 20_002, 1])
  })

  test('shows the end of what it has shown before, or leaves it to the next', () => {
    const ends = many(150, 1, { status: 'resolved', owed: true })
    const first = composed([...ends, ...many(500, 1_000)])
    expect(first.shown.filter((id) => id <= 150)).toHaveLength(50)
    expect(first.shown).toHaveLength(100)
    expect(first.counted).toHaveLength(450)
    const over = composed([...many(200, 1_000, { status: 'resolved' }), ...ends])
    expect([over.shown, over.counted.length]).toEqual([ends.slice(0, 100).map(({ id }) => id), 200])
    expect(composed(ends)).toEqual({ shown: ends.slice(0, 100).map(({ id }) => id), counted: [] })
  })

  test('tells two notices of one alarm as one', () => {
    expect(composed([candidate(1, { key: 'a' }), candidate(2), candidate(3, { key: 'a' })]).shown.sort()).toEqual([1, 2, 3])
  })

  test('takes each of its notices once, shows no more alarms than it may, and gets on', () => {
    const one = fc.record({
      key: fc.nat(300).map(String),
      status: fc.constantFrom('firing' as const, 'resolved' as const),
      severity: fc.constantFrom(...SEVERITIES),
      owed: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 400 }), (given) => {
        const candidates = given.map((rest, id) => ({ id, ...rest, owed: rest.owed && rest.status === 'resolved' }))
        const { shown, counted } = composed(candidates)
        const all = [...shown, ...counted]
        expect(new Set(all).size).toBe(all.length)
        expect(new Set(shown.map((id) => candidates[id]!.key)).size).toBeLessThanOrEqual(MOST_SHOWN)
        expect(shown.length).toBeGreaterThan(0)
        for (const id of counted) expect(candidates[id]!.owed).toBe(false)
        const left = candidates.filter(({ id }) => !all.includes(id))
        const owedKeys = new Set(candidates.filter(({ owed }) => owed).map(({ key }) => key))
        for (const { key } of left) expect(owedKeys.has(key)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

test('there are never more requests in any minute than a target takes, however they are asked for', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 100 }), (perMinute, waits) => {
      const sent: number[] = []
      let recent: number[] = []
      let now = NOW
      for (const wait of waits) {
        now += wait
        const at = turnAt(recent, perMinute, now)
        if (at > now) {
          expect(countedRequests(recent, now)).toHaveLength(perMinute)
          expect(turnAt(recent, perMinute, at)).toBe(at)
          continue
        }
        recent = [...countedRequests(recent, now), now]
        sent.push(now)
      }
      for (const from of sent) expect(sent.filter((at) => at >= from && at < from + 60_000).length).toBeLessThanOrEqual(perMinute)
    }),
  )
})

describe('quiet hours', () => {
  const until = (hours: Parameters<typeof windowsByZone>[0], now: string) => {
    const at = Date.parse(now)
    const end = quietUntil(windowsByZone(hours, at, at + 8 * 86_400_000)(undefined), at)
    return end === undefined ? undefined : new Date(end).toISOString().slice(0, 16)
  }
  const night = { from: '22:00', to: '06:00', timeZone: 'Europe/Berlin' }

  test.each([
    ['2026-11-27T20:59:00Z', undefined],
    ['2026-11-27T21:00:00Z', '2026-11-28T05:00'],
    ['2026-11-28T04:59:00Z', '2026-11-28T05:00'],
    ['2026-11-28T05:00:00Z', undefined],
    // The night in which clocks are set back is an hour longer, that in which they are set forward an hour shorter.
    ['2026-10-24T21:00:00Z', '2026-10-25T05:00'],
    ['2026-10-24T20:00:00Z', '2026-10-25T05:00'],
    ['2027-03-27T21:00:00Z', '2027-03-28T04:00'],
  ])('of a night in Berlin at %s end at %s', (now, end) => {
    expect(until(night, now)).toBe(end)
  })

  test('that begin or end within the hour that comes twice are over by the first, or begin with the second', () => {
    const early = { from: '01:00', to: '02:30', timeZone: 'Europe/Berlin' }
    expect(until(early, '2026-10-24T23:30:00Z')).toBe('2026-10-25T00:30')
    const late = { from: '02:30', to: '06:00', timeZone: 'Europe/Berlin' }
    expect(until(late, '2026-10-25T00:45:00Z')).toBeUndefined()
    expect(until(late, '2026-10-25T01:30:00Z')).toBe('2026-10-25T05:00')
  })

  test('that end in the hour that is skipped end when it is', () => {
    expect(until({ from: '01:00', to: '02:30', timeZone: 'Europe/Berlin' }, '2027-03-28T00:30:00Z')).toBe('2027-03-28T01:00')
  })

  test('of days that follow one another are one', () => {
    const weekend = { from: '00:00', to: '24:00', days: ['sat' as const, 'sun' as const], timeZone: 'UTC' }
    expect(until(weekend, '2026-11-28T10:00:00Z')).toBe('2026-11-30T00:00')
    expect(
      quietUntil(
        [
          [10, 20],
          [15, 30],
          [31, 40],
        ],
        12,
      ),
    ).toBe(30)
  })
})
