import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mergeLatest } from '../../twin-models/core/latest.ts'
import type { Latest, Reading } from '../../twin-models/core/types.ts'

describe('merging latest values', () => {
  test.each<[string, Reading, boolean]>([
    ['a later ts', reading({ ts: 11 }), true],
    ['an earlier ts, however late it came', reading({ ts: 9, receivedAt: 99 }), false],
    ['the same ts, received later', reading({ receivedAt: 21 }), true],
    ['the same ts, received earlier', reading({ receivedAt: 19, messageId: 'z' }), false],
    ['the same times and a greater id', reading({ messageId: 'n' }), true],
    ['the same times and a lesser id', reading({ messageId: 'M' }), false],
    ['the same times and no id', reading({}), false],
    ['the same once more', reading({ messageId: 'm' }), false],
  ])('%s', (_, next, isLatest) => {
    const latest: Latest = { temperature: [1, 10, 20, 'm'] }
    expect(mergeLatest(latest, { ...next, value: 2 })).toBe(isLatest)
    expect(latest.temperature?.[0]).toBe(isLatest ? 2 : 1)
  })

  test('any id is greater than none', () => {
    const latest: Latest = { temperature: [1, 10, 20] }
    expect(mergeLatest(latest, reading({ messageId: '0' }))).toBe(true)
    expect(latest).toEqual({ temperature: [0, 10, 20, '0'] })
  })

  test('a name of Object.prototype is not there before it came', () => {
    const latest: Latest = {}
    expect(mergeLatest(latest, { ...reading({}), name: 'constructor' })).toBe(true)
    expect(latest.constructor).toEqual([0, 10, 20])
  })

  test('ends the same in every order, however grouped, and however often each came', () => {
    const shuffled = fc
      .array(arbitraryReading, { maxLength: 30 })
      .chain((readings) =>
        fc.tuple(fc.constant(readings), fc.shuffledSubarray([...readings, ...readings], { minLength: readings.length * 2 })),
      )
    fc.assert(
      fc.property(shuffled, fc.nat(30), ([readings, others], cut) => {
        const once = merged(readings)
        expect(merged(others)).toEqual(once)
        // Associative: two halves, each merged alone, then one into the other.
        const [left, right] = [merged(readings.slice(0, cut)), merged(readings.slice(cut))]
        for (const [name, [value, ts, receivedAt, messageId]] of Object.entries(right)) {
          mergeLatest(left, { name, value, ts, receivedAt, ...(messageId === undefined ? {} : { messageId }) })
        }
        expect(left).toEqual(once)
      }),
    )
  })
})

function merged(readings: Reading[]): Latest {
  const latest: Latest = {}
  for (const one of readings) mergeLatest(latest, one)
  return latest
}

/** What has the same times and id is the same reading, so its value follows from them. */
const arbitraryReading: fc.Arbitrary<Reading> = fc
  .record({
    name: fc.constantFrom('a', 'b', 'constructor'),
    ts: fc.nat(3),
    receivedAt: fc.nat(3),
    id: fc.option(fc.constantFrom('a', 'B', 'b', 'b0'), { nil: undefined }),
  })
  .map(({ name, ts, receivedAt, id }) => ({
    name,
    ts,
    receivedAt,
    value: `${ts} ${receivedAt} ${id}`,
    ...(id === undefined ? {} : { messageId: id }),
  }))

function reading(change: Partial<Reading>): Reading {
  return { name: 'temperature', value: 0, ts: 10, receivedAt: 20, ...change }
}
