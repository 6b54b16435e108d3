import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, MAX_PROBLEMS, type Report } from '../../api/ingest/decode.ts'
import { parseTime } from '../../api/ingest/decoding/time.ts'
import type { Message } from '../../api/ingest/log.ts'
import { REASONS } from '../../api/ingest/reasons.ts'
import { compileModel } from '../../twin-models/devices/compile.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { DeviceModel } from '../../twin-models/model.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const DAY = 86_400_000
const thermostat = modelOf('thermostat')!
const pump = modelOf('pump')!

function message(payload: string | Uint8Array | object, change: Partial<Message> = {}): Message {
  const bytes = Buffer.from(payload instanceof Uint8Array ? payload : typeof payload === 'string' ? payload : JSON.stringify(payload))
  return { incarnation: 1, kind: 'telemetry', receivedAt: NOW, payload: bytes, size: bytes.length, ...change }
}
const telemetry = (payload: string | Uint8Array | object, change: Partial<Message> = {}, model = thermostat) =>
  decode(message(payload, change), model, 't-1')
const readingsOf = (decoded: ReturnType<typeof decode>) => decoded.parts.flatMap(({ readings }) => readings)
const valuesOf = (decoded: ReturnType<typeof decode>) => Object.fromEntries(readingsOf(decoded).map(({ name, value }) => [name, value]))
const reasonsOf = (decoded: ReturnType<typeof decode>) => decoded.problems.map(({ reason, path }) => `${reason} ${path}`.trim())

describe('telemetry', () => {
  test('a plain object is readings of now', () => {
    const decoded = telemetry({ temperature: 20.5, humidity: 40 })
    expect(decoded).toMatchObject({ problems: [], problemCount: 0, clock: null })
    expect(decoded.parts).toEqual([
      {
        readings: [
          { name: 'temperature', value: 20.5, ts: NOW, receivedAt: NOW },
          { name: 'humidity', value: 40, ts: NOW, receivedAt: NOW },
        ],
      },
    ])
  })

  test('id and time go to every reading', () => {
    const { parts } = telemetry({ id: 'm-1', ts: NOW - 5000, values: { temperature: 20, humidity: 40 } })
    expect(parts).toEqual([
      {
        id: 'm-1',
        digest: expect.stringMatching(UUID),
        readings: [
          { name: 'temperature', value: 20, ts: NOW - 5000, receivedAt: NOW, messageId: 'm-1' },
          { name: 'humidity', value: 40, ts: NOW - 5000, receivedAt: NOW, messageId: 'm-1' },
        ],
      },
    ])
  })

  test('an array is one part an element, each with its own id and time', () => {
    const { parts } = telemetry([
      { temperature: 1 },
      { id: 'b', ts: NOW - 1, values: { temperature: 2 } },
      { ageMs: 500, values: { humidity: 3 } },
    ])
    expect(parts.map(({ id, readings }) => [id, readings[0]?.ts])).toEqual([
      [undefined, NOW],
      ['b', NOW - 1],
      [undefined, NOW - 500],
    ])
  })

  test.each<[string, string | object]>([
    ['an empty object', {}],
    ['an empty list', []],
    ['no values', { ts: NOW, values: {} }],
  ])('%s is a sign of life and no problem', (_, payload) => {
    expect(telemetry(payload)).toMatchObject({ problems: [], clock: null })
    expect(readingsOf(telemetry(payload))).toEqual([])
  })

  test('a property that the model does not know is kept, or refused, as the model says', () => {
    expect(valuesOf(telemetry({ colour: 'red', temperature: 1 }))).toEqual({ colour: 'red', temperature: 1 })
    const refused = telemetry({ colour: 'red', temperature: 1 }, {}, pump)
    expect(valuesOf(refused)).toEqual({ temperature: 1 })
    expect(reasonsOf(refused)).toEqual(['unknown-property /colour'])
  })

  test('the Message-Id header is the id of what has none of its own', () => {
    const { parts } = telemetry(
      [{ values: { temperature: 1 } }, { values: { temperature: 2 } }, { id: 'own', values: { temperature: 3 } }],
      {
        id: 'header',
      },
    )
    expect(parts.map(({ id }) => id)).toEqual(['header', 'header', 'own'])
    expect(new Set(parts.map(({ digest }) => digest)).size).toBe(3)
    expect(telemetry({ id: 'own', values: {} }).parts[0]?.digest).toBe(parts[2]?.digest)
  })

  test('numbers count as ids', () => {
    expect(telemetry({ id: 17, values: { temperature: 1 } }).parts[0]).toMatchObject({ id: '17' })
  })
})

describe('times', () => {
  test.each<[string, object, number]>([
    ['epoch milliseconds', { ts: NOW - 1000 }, NOW - 1000],
    ['fractions of a millisecond are cut', { ts: NOW - 1000.25 }, NOW - 1001],
    ['RFC 3339 in UTC', { ts: '2026-11-21T11:59:59.5Z' }, NOW - 500],
    ['RFC 3339 with an offset', { ts: '2026-11-21T13:59:59+02:00' }, NOW - 1000],
    ['RFC 3339 with a negative offset', { ts: '2026-11-21t04:29:00.123456-07:30' }, NOW - 60_000 + 123],
    ['a leap second', { ts: '2026-11-21T11:58:60Z' }, NOW - 60_000],
    ['an age', { ageMs: 1500 }, NOW - 1500],
    ['an age beside a clock that was never set', { ts: 12345, ageMs: 1500 }, NOW - 1500],
    ['a good clock beside an age', { ts: NOW - 1000, ageMs: 1500 }, NOW - 1000],
    ['exactly the backfill limit', { ts: NOW - 7 * DAY }, NOW - 7 * DAY],
    ['a clock that is a second ahead, as good clocks may be', { ts: NOW + 1000 }, NOW + 1000],
  ])('%s', (_, time, ts) => {
    const decoded = telemetry({ ...time, values: { temperature: 1 } })
    expect(decoded.problems).toEqual([])
    expect(readingsOf(decoded)).toMatchObject([{ ts, receivedAt: NOW }])
  })

  test.each<[string, unknown, object]>([
    ['more than a second ahead', NOW + 1001, { future: 1, unset: 0, aheadMs: 1001 }],
    ['the year 2300', '2300-01-01T00:00:00Z', { future: 1, unset: 0, aheadMs: Date.parse('2300-01-01') - NOW }],
    ['1970', '1970-01-01T00:00:07Z', { future: 0, unset: 1, aheadMs: 0 }],
    ['0', 0, { future: 0, unset: 1, aheadMs: 0 }],
    ['epoch seconds', Math.floor(NOW / 1000), { future: 0, unset: 1, aheadMs: 0 }],
    ['1e300', 1e300, { future: 1, unset: 0, aheadMs: 1e300 - NOW }],
    ['-1e300', -1e300, { future: 0, unset: 1, aheadMs: 0 }],
  ])('%s is not believed: receipt counts, and the clock is flagged', (_, ts, clock) => {
    const decoded = telemetry({ ts, values: { temperature: 1 } })
    expect(decoded).toMatchObject({ problems: [], clock })
    expect(readingsOf(decoded)).toMatchObject([{ ts: NOW }])
  })

  test('several times of a clock that runs ahead keep their distances: none hides another', () => {
    const at = (...ahead: number[]) => ahead.map((ms) => ({ ts: NOW + ms, values: { temperature: ms } }))
    const shown = (elements: object[]) => readingsOf(telemetry(elements)).map(({ ts }) => ts - NOW)
    expect(shown(at(5000, 5010, 5020))).toEqual([-20, -10, 0])
    expect(shown(at(-60_000, 0, 60_000))).toEqual([-120_000, -60_000, 0])
    // Within what is believed nothing moves; nor by a time that no clock drifts to.
    expect(shown(at(10, 500, 1000))).toEqual([10, 500, 1000])
    expect(shown(at(-2000, -1000, 2 * DAY))).toEqual([-2000, -1000, 0])
    // An age is not of that clock.
    expect(shown([{ ageMs: 7000, values: { temperature: 1 } }, ...at(5000)])).toEqual([-7000, 0])
  })

  test('a message whose clock runs ahead is known by its bytes, all elements of it', () => {
    const decoded = telemetry([
      { ts: NOW - 60_000, values: { temperature: 1 } },
      { ts: NOW + 60_000, values: { temperature: 2 } },
    ])
    expect(decoded.parts.map(({ digest }) => digest !== undefined)).toEqual([true, true])
    expect(decoded).toMatchObject({ clock: { future: 2, aheadMs: 60_000 }, ownTime: NOW + 60_000 })
  })

  test.each<[string, object, string]>([
    ['no zone', { ts: '2026-11-21T11:59:59' }, 'invalid-time /ts'],
    ['no time', { ts: '2026-11-21' }, 'invalid-time /ts'],
    ['30 February', { ts: '2026-02-30T00:00:00Z' }, 'invalid-time /ts'],
    ['month 13', { ts: '2026-13-01T00:00:00Z' }, 'invalid-time /ts'],
    ['hour 25', { ts: '2026-11-21T25:00:00Z' }, 'invalid-time /ts'],
    ['words', { ts: 'yesterday' }, 'invalid-time /ts'],
    ['digits in a text', { ts: String(NOW) }, 'invalid-time /ts'],
    ['null', { ts: null }, 'invalid-time /ts'],
    ['an object', { ts: {} }, 'invalid-time /ts'],
    ['an age below zero', { ageMs: -1 }, 'invalid-time /ageMs'],
    ['an age in words', { ageMs: '5s' }, 'invalid-time /ageMs'],
    ['8 days ago', { ts: NOW - 8 * DAY }, 'too-old /ts'],
    ['2001', { ts: '2001-01-01T00:00:00Z' }, 'too-old /ts'],
    ['an age of 8 days', { ageMs: 8 * DAY }, 'too-old /ageMs'],
    ['an age of all times', { ageMs: 1e300 }, 'too-old /ageMs'],
  ])('%s is refused, and the values with it', (_, time, problem) => {
    const decoded = telemetry([{ ...time, values: { temperature: 1 } }, { humidity: 2 }])
    expect(valuesOf(decoded)).toEqual({ humidity: 2 })
    expect(reasonsOf(decoded)).toEqual([problem.replace(' ', ' /0')])
  })

  test('every time of the calendar reads as Date reads it, and nothing else is a time', () => {
    const date = fc.date({ min: new Date('0000-03-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
    fc.assert(
      fc.property(date, (time) => {
        expect(parseTime(time.toISOString())).toBe(time.getTime())
      }),
    )
    const nearly = fc
      .tuple(date, fc.nat(23), fc.oneof(fc.constantFrom(...'0123456789-:.TZtz+ '), fc.string({ maxLength: 2 })))
      .map(([time, at, text]) => `${time.toISOString().slice(0, at)}${text}${time.toISOString().slice(at + 1)}`)
    fc.assert(
      fc.property(nearly, (text) => {
        const lastDay = new Date(0)
        lastDay.setUTCFullYear(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0)
        const isTime = RFC3339.test(text) && Number(text.slice(8, 10)) <= lastDay.getUTCDate()
        expect(parseTime(text) !== undefined).toBe(isTime)
      }),
      { numRuns: 2000 },
    )
  })

  test('1e400 as a time is refused', () => {
    expect(reasonsOf(telemetry('{"ts":1e400,"values":{"temperature":1}}'))).toEqual(['invalid-time /ts'])
  })

  test('a repetition is known even when its own time was not believed', () => {
    const digest = (ts: number, receivedAt: number) => telemetry({ ts, values: { temperature: 1 } }, { receivedAt }).parts[0]?.digest
    expect(digest(5, NOW)).toMatch(UUID)
    expect(digest(5, NOW + 1000)).toBe(digest(5, NOW))
    expect(digest(6, NOW)).not.toBe(digest(5, NOW))
    // What has a good time of its own is known by it.
    expect(digest(NOW - 1, NOW)).toBeUndefined()
  })
})

describe('bad input', () => {
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  test.each<[string, string | Uint8Array | object, string]>([
    ['broken JSON', '{"temperature": 20,}', 'invalid-json'],
    ['JSON that ends too early', '{"temperature": 2', 'invalid-json'],
    ['nothing', '', 'invalid-json'],
    ['two documents', '{} {}', 'invalid-json'],
    ['a byte order mark', '\ufeff{}', 'invalid-json'],
    ['plain text', 'online', 'invalid-json'],
    ['NaN', '{"temperature": NaN}', 'not-finite'],
    ['-Infinity', '{"temperature": -Infinity}', 'not-finite'],
    ['1e400', '{"temperature": 1e400}', 'not-finite /temperature'],
    ['-1e400 in a list', '{"list": [1, -1e400]}', 'not-finite /list/1'],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'invalid-utf8'],
    ['an overlong form', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'invalid-utf8'],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'invalid-utf8'],
    ['a number', '5', 'wrong-type'],
    ['null', 'null', 'wrong-type'],
    ['a text', '"x"', 'wrong-type'],
    ['a list of numbers', '[1]', 'wrong-type /0'],
    ['a list in a list', '[[{"temperature": 1}]]', 'wrong-type /0'],
    ['values that are no object', { values: 5 }, 'wrong-type /values'],
    ['values that are a list', { values: [] }, 'wrong-type /values'],
    ['the wrong type', { temperature: 'warm' }, 'wrong-type /temperature'],
    ['null as a value', { temperature: null }, 'wrong-type /temperature'],
    ['null for an unknown property', { other: null }, 'wrong-type /other'],
    ['a value beyond the bounds', { targetTemperature: 99 }, 'invalid-value /targetTemperature'],
    ['time without values', { ts: NOW, temperature: 1 }, 'reserved-name /ts'],
    ['id without values', { id: 'a', temperature: 1 }, 'reserved-name /id'],
    ['a reserved name among values', { values: { ageMs: 1 } }, 'reserved-name /values/ageMs'],
    ['__proto__', '{"__proto__": {"polluted": true}}', 'reserved-name /__proto__'],
    ['__proto__ inside', '{"a": {"__proto__": {"polluted": true}}}', 'reserved-name /a/__proto__'],
    ['constructor', { constructor: 1 }, 'reserved-name /constructor'],
    ['a name with a slash', { 'a/b~c': 1 }, 'invalid-name /a~1b~0c'],
    ['a name with a blank', { 'a b': 1 }, 'invalid-name /a b'],
    ['an empty name', { '': 1 }, 'invalid-name /'],
    ['a name with a control character', { 'a\u0000': 1 }, 'invalid-name /a\ufffd'],
    ['half a surrogate pair in a name', '{"\\ud800": 1}', 'invalid-name /\ufffd'],
    ['a long name', { ['n'.repeat(129)]: 1 }, `invalid-name /${'n'.repeat(128)}…`],
    ['U+0000 in a text', { note: 'a\u0000b' }, 'invalid-text /note'],
    ['half a surrogate pair', '{"note": "\\ud800"}', 'invalid-text /note'],
    ['half a surrogate pair inside', '{"note": {"a": ["\\udfff"]}}', 'invalid-text /note/a/0'],
    ['a long text', { note: 'x'.repeat(4097) }, 'value-too-long /note'],
    ['a large object', { note: { a: 'x'.repeat(4097) } }, 'value-too-long /note'],
    ['33 levels', deep(34), 'too-deep /a/a/a/a/a/a/a/a/a'],
    ['1,000 levels', deep(1000), 'too-deep /a/a/a/a/a/a/a/a/a'],
    ['100,000 levels of lists', '['.repeat(100_000) + ']'.repeat(100_000), 'wrong-type /0'],
    ['a name twice', '{"temperature": 1, "temperature": 2}', 'duplicate-name /temperature'],
    ['a field beside values', { values: {}, temperature: 1 }, 'unknown-field /temperature'],
    ['an id that is no text', { id: {}, values: {} }, 'invalid-id /id'],
    ['an empty id', { id: '', values: {} }, 'invalid-id /id'],
    ['an id with a slash', { id: 'a/b', values: {} }, 'invalid-id /id'],
    ['a fraction as an id', { id: 1.5, values: {} }, 'invalid-id /id'],
  ])('%s', (_, payload, problem) => {
    const decoded = telemetry(payload)
    expect(reasonsOf(decoded)).toEqual([problem.replace(/ $/, ' ').trim()])
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
    expect(REASONS).toHaveProperty(decoded.problems[0]!.reason)
  })

  test('one bad value of three does not spoil the others', () => {
    const decoded = telemetry({ id: 'm', values: { temperature: 20, humidity: 'wet', targetTemperature: 21 } })
    expect(valuesOf(decoded)).toEqual({ temperature: 20, targetTemperature: 21 })
    expect(decoded.problems).toEqual([
      { reason: 'wrong-type', path: '/values/humidity', detail: 'humidity must be a number, is a string', messageId: 'm' },
    ])
  })

  test('where the JSON breaks is said', () => {
    const detail = (payload: string) => telemetry(payload).problems[0]?.detail
    expect(detail('{"a": 1, b}')).toBe('unexpected "b" at position 9')
    expect(detail('{"a": 1')).toBe('the text ends too early at position 7')
    expect(detail('{"a": [1, Infinity]}')).toBe('Infinity at position 10 is no JSON: leave the value out')
    expect(detail('  ')).toBe('the payload is empty')
    expect(detail('{"a": "x\ny"}')).toBe('unexpected "\\"" at position 6')
  })

  test('of a name that stands twice the last counts', () => {
    const decoded = telemetry('{"values": {"temperature": 1, "note": "a:b", "temperature": 2}, "ts": "2026-11-21T11:59:59Z"}')
    expect(valuesOf(decoded)).toEqual({ temperature: 2, note: 'a:b' })
    expect(reasonsOf(decoded)).toEqual(['duplicate-name /values/temperature'])
  })

  test('of two elements with one name and time the last counts', () => {
    const ts = NOW - 1000
    const decoded = telemetry([
      { ts, values: { temperature: 1, humidity: 1 } },
      { ts, values: { temperature: 2 } },
    ])
    expect(decoded.parts.map(({ readings }) => readings.map(({ value }) => value))).toEqual([[1], [2]])
    expect(readingsOf(decoded).map(({ name }) => name)).toEqual(['humidity', 'temperature'])
    expect(reasonsOf(decoded)).toEqual(['duplicate-name'])
  })

  test('colons in texts are no names', () => {
    expect(telemetry('{"note": "a:b::c", "x:y": 1, "escaped": "\\u003a"}').problems.map(({ reason }) => reason)).toEqual(['invalid-name'])
  })

  test('300 kB, of which the bridge kept 4', () => {
    const decoded = telemetry('{"temperature": 2', { size: 300_000 })
    expect(reasonsOf(decoded)).toEqual(['too-large'])
    expect(decoded.parts).toEqual([])
  })

  test.each([
    ['one object', Object.fromEntries(Array.from({ length: 5001 }, (_, n) => [`n${n}`, n]))],
    ['a list of objects', Array.from({ length: 2501 }, (_, n) => ({ ts: NOW - n, values: { a: 1, b: 2 } }))],
    ['a list of nothings', Array.from({ length: 5001 }, () => ({}))],
    ['10,000 values', { values: Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`n${n}`, n])) }],
  ])('too many values in %s: nothing of it is taken', (_, payload) => {
    const decoded = telemetry(payload)
    expect(reasonsOf(decoded)).toEqual(['too-many-values'])
    expect(decoded.parts).toEqual([])
  })

  test('5,000 values are taken', () => {
    expect(readingsOf(telemetry(Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`n${n}`, n]))))).toHaveLength(5000)
  })

  test('ten problems are listed, all are counted', () => {
    const decoded = telemetry(Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`n${n}`, null])))
    expect(decoded.problems).toHaveLength(MAX_PROBLEMS)
    expect(decoded.problemCount).toBe(25)
  })

  test.each<[string, Partial<Message>, string]>([
    ['a topic that means nothing', { kind: 'unknown', name: 'telemetrie' }, 'unknown-topic'],
    ['a content type that means nothing', { contentType: 'application/cbor' }, 'unsupported-content-type'],
    ['a bad Message-Id', { id: 'a b' }, 'invalid-id'],
  ])('%s', (_, change, reason) => {
    expect(reasonsOf(telemetry({ temperature: 1 }, change))).toEqual([reason])
  })

  test('parameters of a content type mean nothing', () => {
    expect(telemetry({ temperature: 1 }, { contentType: 'Application/JSON; charset=utf-8' }).problems).toEqual([])
  })
})

const SIGNALS = compileModel('signals', {
  '@context': 'https://www.w3.org/2022/wot/td/v1.1',
  '@type': 'tm:ThingModel',
  title: 'Signals',
  version: { model: '1.0.0' },
  events: {
    bell: {},
    level: { data: { type: 'integer', minimum: 0, maximum: 10 } },
    ping: { data: { type: 'null' } },
    choice: { data: { enum: ['a', 'b'] } },
  },
})

describe('device events', () => {
  const event = (payload: string | object, change: Partial<Message> = {}) => telemetry(payload, { kind: 'event', name: 'leak', ...change })

  test('carry an id, a time and data', () => {
    expect(event({ id: 'e-1', ts: NOW - 5, data: { litres: 2 } }).parts).toEqual([
      { id: 'e-1', digest: expect.stringMatching(UUID), readings: [], event: { name: 'leak', ts: NOW - 5, data: { litres: 2 } } },
    ])
    expect(event({}).parts).toEqual([{ readings: [], event: { name: 'leak', ts: NOW, data: null } }])
  })

  test('without an id are known by name, time and data', () => {
    const digest = (payload: object, change: Partial<Message> = {}) => event(payload, change).parts[0]?.digest
    const known = digest({ ts: NOW - 5, data: 1 })
    expect(known).toMatch(UUID)
    expect(digest({ ts: new Date(NOW - 5).toISOString(), data: 1 }, { receivedAt: NOW + 7 })).toBe(known)
    expect(digest({ ts: NOW - 6, data: 1 })).not.toBe(known)
    expect(digest({ ts: NOW - 5, data: 2 })).not.toBe(known)
    expect(digest({ ts: NOW - 5, data: 1 }, { name: 'other' })).not.toBe(known)
    // A time ahead is known as it was said, not as it was clamped.
    expect(digest({ ts: NOW + 5, data: 1 })).toBe(digest({ ts: NOW + 5, data: 1 }, { receivedAt: NOW + 1 }))
    expect(digest({ data: 1 })).toBeUndefined()
    expect(digest({ ageMs: 5, data: 1 })).toBeUndefined()
  })

  test.each<[string, DeviceModel, string, object, string | undefined]>([
    ['data that fits', pump, 'leak', { data: { litresPerMinute: 1.2, location: 'seal' } }, undefined],
    ['data that says more than the model', pump, 'leak', { data: { colour: 'blue' } }, undefined],
    ['no data, whatever the model says of it', pump, 'leak', {}, undefined],
    ['null as data', pump, 'leak', { data: null }, undefined],
    ['data of another type', pump, 'leak', { data: 'wet' }, 'wrong-type /data: data must be object'],
    ['a list instead of an object', pump, 'leak', { data: [1.2] }, 'wrong-type /data: data must be object'],
    [
      'data with a wrong part',
      pump,
      'leak',
      { id: 'e-1', data: { litresPerMinute: 'many' } },
      'invalid-value /data: data /litresPerMinute must be number',
    ],
    ['an event that the model refuses', pump, 'door', { data: 1 }, 'unknown-event : the model pump has no event door, and refuses others'],
    [
      'a name that every object has',
      pump,
      'constructor',
      {},
      'unknown-event : the model pump has no event constructor, and refuses others',
    ],
    ['an event that the model keeps', thermostat, 'door', { data: [1, 'x'] }, undefined],
    ['an event of which the model says no more than the name', SIGNALS, 'bell', { data: { a: 1 } }, undefined],
    ['a number as the model wants it', SIGNALS, 'level', { data: 5 }, undefined],
    ['a number beyond the bounds', SIGNALS, 'level', { data: 11 }, 'invalid-value /data: data must be <= 10'],
    ['a fraction', SIGNALS, 'level', { data: 1.5 }, 'invalid-value /data: data must be an integer, is a fraction'],
    ['a text for a number', SIGNALS, 'level', { data: '5' }, 'wrong-type /data: data must be an integer, is a string'],
    ['data where there is none', SIGNALS, 'ping', { data: 0 }, 'wrong-type /data: data must be null'],
    [
      'data without a type of its own',
      SIGNALS,
      'choice',
      { data: 'c' },
      'invalid-value /data: data must be equal to one of the allowed values',
    ],
  ])('%s', (_, model, name, payload, problem) => {
    const decoded = telemetry(payload, { kind: 'event', name }, model)
    expect(decoded.problems.map(({ reason, path, detail }) => `${reason} ${path}: ${detail}`)).toEqual(
      problem === undefined ? [] : [problem],
    )
    expect(decoded.parts.map(({ event: taken }) => taken?.name)).toEqual(problem === undefined ? [name] : [])
  })

  test('and telemetry have ids apart', () => {
    expect(event({ id: '1' }).parts[0]?.digest).not.toBe(telemetry({ id: '1', values: {} }).parts[0]?.digest)
  })

  test.each<[string, string | object, string, boolean]>([
    ['a list', [], 'wrong-type', false],
    ['content beside data', { data: 1, litres: 2 }, 'unknown-field /litres', true],
    ['content without data', { litres: 2 }, 'unknown-field /litres', false],
    ['U+0000 inside', { data: { a: '\u0000' } }, 'invalid-text /data/a', false],
    ['too much data', { data: 'x'.repeat(40_000) }, 'value-too-long /data', false],
    ['a bad time', { ts: 'now' }, 'invalid-time /ts', false],
    ['1e400', '{"data": 1e400}', 'not-finite /data', false],
  ])('%s', (_, payload, problem, taken) => {
    const decoded = event(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts).toHaveLength(taken ? 1 : 0)
  })
})

describe('presence', () => {
  const hello = (payload: string | object, kind: 'presence' | 'will' = 'presence') => telemetry(payload, { kind })

  test('a hello says status, firmware and health', () => {
    const sha256 = 'AB'.repeat(32)
    const said = {
      status: 'online',
      model: 'thermostat',
      firmware: { version: '1.2.0', sha256 },
      health: { ok: true, battery: 81, rssi: -67, errors: ['E1'] },
    }
    expect(hello(said)).toMatchObject({ problems: [] })
    expect(hello(said).parts[0]?.hello).toEqual({
      status: 'online',
      firmware: { version: '1.2.0', sha256: sha256.toLowerCase() },
      health: { ok: true, battery: 81, rssi: -67, errors: ['E1'] },
    })
    expect(hello({ status: 'offline' }, 'will').parts).toEqual([{ readings: [], hello: { status: 'offline' } }])
  })

  test.each<[string, string | object, string, object | undefined]>([
    ['another status', { status: 'asleep' }, 'wrong-type /status', undefined],
    ['no status', {}, 'wrong-type /status', undefined],
    ['a word', '"online"', 'wrong-type', undefined],
    ['another model', { status: 'online', model: 'pump' }, 'wrong-model /model', { status: 'online' }],
    ['firmware as a text', { status: 'online', firmware: '1.0' }, 'wrong-type /firmware', { status: 'online' }],
    [
      'a bad sha256',
      { status: 'online', firmware: { version: '1', sha256: 'x' } },
      'wrong-type /firmware/sha256',
      { status: 'online', firmware: { version: '1' } },
    ],
    ['health without ok', { status: 'online', health: { battery: 1 } }, 'wrong-type /health', { status: 'online' }],
    [
      'a battery in words',
      { status: 'online', health: { ok: true, battery: 'full' } },
      'wrong-type /health/battery',
      { status: 'online', health: { ok: true } },
    ],
    [
      'errors that are no list',
      { status: 'online', health: { ok: false, errors: 'E1' } },
      'wrong-type /health/errors',
      { status: 'online', health: { ok: false } },
    ],
    ['another field', { status: 'online', uptime: 5 }, 'unknown-field /uptime', { status: 'online' }],
  ])('%s', (_, payload, problem, said) => {
    const decoded = hello(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts[0]?.hello).toEqual(said)
  })
})

describe('reports', () => {
  const report = (payload: string | object, change: Partial<Message> = {}, model = thermostat) =>
    telemetry(payload, { kind: 'reported', ...change }, model)
  const reportOf = (...args: Parameters<typeof report>) => report(...args).parts[0]?.report

  test('carry a state, the version that they answer, and what was refused', () => {
    const rejected = { '/targetTemperature': { code: 'busy', message: 'in summer' }, '/a~1b~0/0': { code: '7' }, '': { code: 'no' } }
    const said = { id: 'r-1', ts: NOW - 5, version: 3, state: { targetTemperature: 21, locked: null }, rejected }
    expect(report(said)).toMatchObject({ problems: [], clock: null })
    expect(report(said).parts).toEqual([
      {
        id: 'r-1',
        digest: expect.stringMatching(UUID),
        readings: [],
        report: { ts: NOW - 5, version: 3, state: { targetTemperature: 21, locked: null }, rejected },
      },
    ])
    expect(report({ state: {} }).parts).toEqual([{ readings: [], report: { ts: NOW, state: {} } }])
    expect(report({ version: 0, rejected: {} }).parts).toEqual([{ readings: [], report: { ts: NOW, version: 0, state: {} } }])
  })

  test('of a property that is no other’s: one that the model does not know is kept, or refused, as the model says', () => {
    expect(reportOf({ state: { mode: { night: { from: '22:00', to: null } } } })?.state).toEqual({
      mode: { night: { from: '22:00', to: null } },
    })
    const refused = report({ state: { colour: 'red', gone: null } }, {}, pump)
    expect(reasonsOf(refused)).toEqual(['unknown-property /state/colour', 'unknown-property /state/gone'])
    expect(refused.parts[0]?.report?.state).toEqual({})
  })

  test('of objects are held against the model without what they remove', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'number' }, list: { type: 'array', items: { type: 'number' } } },
      required: ['a'],
    }
    const model = compileModel('shape', {
      '@context': 'https://www.w3.org/2022/wot/td/v1.1',
      '@type': 'tm:ThingModel',
      title: 'Shape',
      version: { model: '1.0.0' },
      properties: { shape: schema },
    })
    expect(reportOf({ state: { shape: { a: 1, b: null } } }, {}, model)?.state).toEqual({ shape: { a: 1, b: null } })
    expect(reasonsOf(report({ state: { shape: { a: 'x' } } }, {}, model))).toEqual(['invalid-value /state/shape'])
    expect(reasonsOf(report({ state: { shape: { a: 1, list: [null] } } }, {}, model))).toEqual(['invalid-value /state/shape'])
    expect(reasonsOf(report({ state: { shape: [] } }, {}, model))).toEqual(['wrong-type /state/shape'])
  })

  test('are known again by their id alone, apart from telemetry', () => {
    const digest = (payload: object, change: Partial<Message> = {}) => report(payload, change).parts[0]?.digest
    expect(digest({ id: 5, state: {} })).toBe(digest({ state: { a: 1 } }, { id: '5' }))
    expect(digest({ id: 5, state: {} })).not.toBe(telemetry({ id: 5, values: {} }).parts[0]?.digest)
    expect(digest({ ts: NOW - 1, state: {} })).toBeUndefined()
  })

  test.each<[string, string | object, string]>([
    ['a list', [], 'wrong-type'],
    ['nothing said', {}, 'wrong-type /state'],
    ['a state that is none', { state: [1] }, 'wrong-type /state'],
    ['null as a state', { state: null }, 'wrong-type /state'],
    ['a version in words', { version: '3', state: {} }, 'wrong-type /version'],
    ['half a version', { version: 1.5, state: {} }, 'wrong-type /version'],
    ['a version below zero', { version: -1, state: {} }, 'wrong-type /version'],
    ['a bad time', { ts: 'now', state: {} }, 'invalid-time /ts'],
    ['an old time', { ts: NOW - 8 * DAY, state: {} }, 'too-old /ts'],
    ['a bad id', { id: 'a b', state: {} }, 'invalid-id /id'],
    ['501 values', { state: { a: Object.fromEntries(Array.from({ length: 501 }, (_, n) => [`n${n}`, n])) } }, 'too-many-values /state'],
    ['501 removed', { state: Object.fromEntries(Array.from({ length: 501 }, (_, n) => [`n${n}`, null])) }, 'too-many-values /state'],
    ['two values of 20 kB', { state: { a: 'x'.repeat(20_000), b: 'x'.repeat(20_000) } }, 'value-too-long /state'],
    [
      '201 refused paths',
      { rejected: Object.fromEntries(Array.from({ length: 201 }, (_, n) => [`/n${n}`, { code: 'x' }])) },
      'too-many-values /rejected',
    ],
  ])('%s: nothing of it is taken', (_, payload, problem) => {
    const decoded = report(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts).toEqual([])
  })

  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  test.each<[string, string | object, string]>([
    ['a wrong type', { state: { targetTemperature: 'warm', ok: 1 } }, 'wrong-type /state/targetTemperature'],
    ['a value beyond the bounds', { state: { targetTemperature: 99, ok: 1 } }, 'invalid-value /state/targetTemperature'],
    ['one that is only measured', { state: { temperature: 'warm', ok: 1 } }, 'wrong-type /state/temperature'],
    ['__proto__', '{"state": {"__proto__": {"polluted": true}, "ok": 1}}', 'reserved-name /state/__proto__'],
    ['__proto__ inside', '{"state": {"a": {"__proto__": {"polluted": true}}, "ok": 1}}', 'reserved-name /state/a/__proto__'],
    ['constructor', '{"state": {"constructor": 1, "ok": 1}}', 'reserved-name /state/constructor'],
    ['a bad name', { state: { 'a b': null, ok: 1 } }, 'invalid-name /state/a b'],
    ['half of a surrogate pair', '{"state": {"a": ["\\ud800"], "ok": 1}}', 'invalid-text /state/a/0'],
    ['1e400', '{"state": {"targetTemperature": 1e400, "ok": 1}}', 'not-finite /state/targetTemperature'],
    ['33 levels', `{"state": {"a": ${deep(33)}, "ok": 1}}`, 'too-deep /state/a/a/a/a/a/a/a/a/a'],
    ['20,000 levels', `{"state": {"a": ${deep(20_000)}, "ok": 1}}`, 'too-deep /state/a/a/a/a/a/a/a/a/a'],
    ['a text of 40 kB', { state: { a: 'x'.repeat(40_000), ok: 1 } }, 'value-too-long /state/a'],
    ['a field beside state', { state: { ok: 1 }, targetTemperature: 21 }, 'unknown-field /targetTemperature'],
    ['rejected that is a list', { state: { ok: 1 }, rejected: ['/a'] }, 'wrong-type /rejected'],
    [
      'a path that is no pointer',
      { state: { ok: 1 }, rejected: { targetTemperature: { code: 'x' } } },
      'invalid-name /rejected/targetTemperature',
    ],
    ['a pointer with a bad escape', { state: { ok: 1 }, rejected: { '/a~2': { code: 'x' } } }, 'invalid-name /rejected/~1a~02'],
    ['__proto__ as a path', '{"state": {"ok": 1}, "rejected": {"__proto__": {"code": "x"}}}', 'invalid-name /rejected/__proto__'],
    [
      'a path of 600 characters',
      { state: { ok: 1 }, rejected: { [`/${'a'.repeat(600)}`]: { code: 'x' } } },
      `invalid-name /rejected/~1${'a'.repeat(127)}…`,
    ],
    ['a refusal without a code', { state: { ok: 1 }, rejected: { '/a': { message: 'x' } } }, 'wrong-type /rejected/~1a'],
    ['a refusal in a word', { state: { ok: 1 }, rejected: { '/a': 'busy' } }, 'wrong-type /rejected/~1a'],
    ['an empty code', { state: { ok: 1 }, rejected: { '/a': { code: '' } } }, 'wrong-type /rejected/~1a'],
    ['U+0000 in a code', { state: { ok: 1 }, rejected: { '/a': { code: 'a\0' } } }, 'wrong-type /rejected/~1a'],
  ])('%s: the rest is taken', (_, payload, problem) => {
    const decoded = report(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts[0]?.report).toEqual({ ts: NOW, state: { ok: 1 } })
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  test('32 levels and 500 values are taken', () => {
    expect(report(`{"state": {"a": ${deep(32)}}}`).problems).toEqual([])
    expect(report({ state: Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`n${n}`, n])) }).problems).toEqual([])
  })

  test('a message that is too long is left out of a refusal', () => {
    const decoded = report({ version: 1, rejected: { '/a': { code: 'busy', message: 'x'.repeat(501) }, '/b': { code: 'no', message: 5 } } })
    expect(reasonsOf(decoded)).toEqual(['value-too-long /rejected/~1a/message', 'wrong-type /rejected/~1b/message'])
    expect(decoded.parts[0]?.report?.rejected).toEqual({ '/a': { code: 'busy' }, '/b': { code: 'no' } })
  })
})

describe('responses', () => {
  const COMMAND = '0f0e0d0c-0b0a-4908-8706-050403020100'
  const response = (payload: string | object, change: Partial<Message> = {}) =>
    telemetry(payload, { kind: 'response', name: COMMAND, ...change })
  const wordOf = (payload: string | object) => response(payload).parts[0]?.response?.word

  test.each<[object, object]>([
    [{ status: 'acknowledged' }, { status: 'acknowledged', progress: null }],
    [
      { status: 'running', progress: 0 },
      { status: 'running', progress: '0' },
    ],
    [
      { status: 'running', progress: 99.5 },
      { status: 'running', progress: '99.5' },
    ],
    [
      { status: 'running', progress: 'blinking' },
      { status: 'running', progress: '"blinking"' },
    ],
    [
      { status: 'running', progress: { step: 2, of: 3 } },
      { status: 'running', progress: '{"step":2,"of":3}' },
    ],
    [{ status: 'succeeded' }, { status: 'succeeded' }],
    [{ status: 'succeeded', output: null, progress: 100 }, { status: 'succeeded' }],
    [
      { status: 'succeeded', output: [1, null] },
      { status: 'succeeded', output: [1, null] },
    ],
    [
      { status: 'succeeded', output: 'x'.repeat(32_768) },
      { status: 'succeeded', output: 'x'.repeat(32_768) },
    ],
    [
      { status: 'failed', code: 'jammed' },
      { status: 'failed', code: 'jammed' },
    ],
    [
      { status: 'failed', code: 'jammed', message: 'the bolt', output: { tries: 3 } },
      { status: 'failed', code: 'jammed', message: 'the bolt', output: { tries: 3 } },
    ],
  ])('%j', (payload, word) => {
    expect(response(payload)).toMatchObject({ problems: [], parts: [{ readings: [], response: { command: COMMAND, word } }] })
    expect(wordOf(payload)).toEqual(word)
  })

  test('are known again by their id, on each command apart', () => {
    const digest = (id: string, name = COMMAND) => response({ status: 'running', id }, { name }).parts[0]?.digest
    expect(digest('1')).toMatch(UUID)
    expect(digest('1')).toBe(response({ status: 'failed', code: 'x' }, { id: '1' }).parts[0]?.digest)
    expect(digest('1', COMMAND.replace('0f', '1f'))).not.toBe(digest('1'))
    expect(response({ status: 'running' }).parts[0]?.digest).toBeUndefined()
  })

  test.each<[string, string | object, string]>([
    ['a word', '"done"', 'wrong-type'],
    ['no status', { output: 1 }, 'wrong-type /status'],
    ['another status', { status: 'done' }, 'wrong-type /status'],
    ['one that every object has', { status: 'constructor' }, 'wrong-type /status'],
    ['what failed without a code', { status: 'failed', message: 'x' }, 'wrong-type /code'],
    ['a code that is a number', { status: 'failed', code: 5 }, 'wrong-type /code'],
    ['a long code', { status: 'failed', code: 'x'.repeat(129) }, 'wrong-type /code'],
    ['a bad id', { status: 'succeeded', id: '' }, 'invalid-id /id'],
  ])('%s: nothing of it is taken', (_, payload, problem) => {
    const decoded = response(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(decoded.parts).toEqual([])
  })

  test.each<[string, object, string, object]>([
    ['progress of 101', { status: 'running', progress: 101 }, 'invalid-value /progress', { status: 'running', progress: null }],
    ['progress below zero', { status: 'running', progress: -1 }, 'invalid-value /progress', { status: 'running', progress: null }],
    ['progress as a list', { status: 'running', progress: [1] }, 'wrong-type /progress', { status: 'running', progress: null }],
    [
      'progress of 2 kB',
      { status: 'running', progress: 'x'.repeat(2_000) },
      'value-too-long /progress',
      { status: 'running', progress: null },
    ],
    [
      'progress with U+0000',
      { status: 'running', progress: { a: '\0' } },
      'invalid-text /progress/a',
      { status: 'running', progress: null },
    ],
    [
      'a long message',
      { status: 'failed', code: 'x', message: 'x'.repeat(501) },
      'value-too-long /message',
      { status: 'failed', code: 'x' },
    ],
    [
      'output of 40 kB of what failed',
      { status: 'failed', code: 'x', output: 'x'.repeat(40_000) },
      'value-too-long /output',
      { status: 'failed', code: 'x' },
    ],
    [
      'output of 40 kB of what was done',
      { status: 'succeeded', output: 'x'.repeat(40_000) },
      'value-too-long /output',
      { status: 'failed', code: 'invalid-output', message: 'the text has 40000 characters, at most 32768 are taken' },
    ],
    ['another field', { status: 'succeeded', result: 1 }, 'unknown-field /result', { status: 'succeeded' }],
    ['a bad time', { status: 'succeeded', ts: 'now' }, 'invalid-time /ts', { status: 'succeeded' }],
    ['an old time', { status: 'succeeded', ts: NOW - 8 * DAY }, 'too-old /ts', { status: 'succeeded' }],
  ])('%s: the rest is taken', (_, payload, problem, word) => {
    expect(reasonsOf(response(payload))).toEqual([problem])
    expect(wordOf(payload)).toEqual(word)
  })

  test.each(['x', COMMAND.toUpperCase(), `${COMMAND}0`, ''])('%j names no command', (name) => {
    const decoded = response({ status: 'succeeded' }, { name })
    expect(reasonsOf(decoded)).toEqual(['unknown-command'])
    expect(decoded.parts).toEqual([])
  })
})

test('a message of a kind that only a newer bridge knows becomes a dead letter', () => {
  const decoded = telemetry({}, { kind: 'dream' as Message['kind'] })
  expect(reasonsOf(decoded)).toEqual(['unknown-topic'])
  expect(decoded.parts).toEqual([])
})

test.each(['', 'anything', '{"x": NaN}'])('a get asks the same whatever it says: %j', (payload) => {
  expect(telemetry(payload, { kind: 'get' })).toMatchObject({ parts: [], problems: [], problemCount: 0 })
})

describe('SenML (RFC 8428)', () => {
  const senml = (payload: unknown, device = 't-1', change: Partial<Message> = {}) =>
    decode(message(JSON.stringify(payload), { contentType: 'application/senml+json', ...change }), OPEN, device)
  const OPEN = compileModel('open', {
    '@context': 'https://www.w3.org/2022/wot/td/v1.1',
    '@type': 'tm:ThingModel',
    title: 'Open',
    version: { model: '1.0.0' },
    properties: { temperature: { type: 'number', unit: 'Cel' }, humidity: { type: 'number', unit: '%' } },
  })
  const DEVICE = 'urn:dev:ow:10e2073a01080063'

  test('§5.1.2: two values below the base name', () => {
    const decoded = senml(
      [
        { bn: `${DEVICE}:`, n: 'voltage', u: 'V', v: 120.1 },
        { n: 'current', u: 'A', v: 1.2 },
      ],
      DEVICE,
    )
    expect(decoded.problems).toEqual([])
    expect(valuesOf(decoded)).toEqual({ voltage: 120.1, current: 1.2 })
  })

  test('§5.1.2: base time and unit, and times relative to it', () => {
    const seconds = NOW / 1000 - 100
    const decoded = senml(
      [
        { bn: `${DEVICE}:`, bt: seconds, bu: 'A', bver: 5, n: 'voltage', u: 'V', v: 120.1 },
        { n: 'current', t: -5, v: 1.2 },
        { n: 'current', t: -4, v: 1.3 },
        { n: 'current', v: 1.7 },
      ],
      DEVICE,
    )
    expect(decoded.problems).toEqual([])
    expect(readingsOf(decoded).map(({ name, value, ts }) => [name, value, ts - seconds * 1000])).toEqual([
      ['voltage', 120.1, 0],
      ['current', 1.2, -5000],
      ['current', 1.3, -4000],
      ['current', 1.7, 0],
    ])
  })

  test('§5.1.5: several types; data stays as it was sent', () => {
    const decoded = senml(
      [
        { bn: `${DEVICE}:`, n: 'temp', u: 'Cel', v: 23.1 },
        { n: 'label', vs: 'Machine Room' },
        { n: 'open', vb: false },
        { n: 'nfc-reader', vd: 'aGkgCg' },
      ],
      DEVICE,
    )
    expect(valuesOf(decoded)).toEqual({ temp: 23.1, label: 'Machine Room', open: false, 'nfc-reader': 'aGkgCg' })
  })

  test('several times of a clock that runs ahead keep their distances', () => {
    const decoded = senml([
      { bt: (NOW + 9000) / 1000, n: 'a', v: 1 },
      { n: 'a', v: 2, t: -4 },
    ])
    expect(readingsOf(decoded).map(({ ts }) => ts - NOW)).toEqual([0, -4000])
  })

  test('§4.5.3: times below 2**28 are relative to receipt; what lies ahead is clamped', () => {
    const decoded = senml([
      { n: 'a', v: 1, t: -2.5 },
      { n: 'b', v: 1 },
      { n: 'c', v: 1, t: 60 },
    ])
    expect(readingsOf(decoded).map(({ ts }) => ts - NOW)).toEqual([-2500, 0, 0])
    // It is the device's mistake, and tells nothing of a clock.
    expect(decoded.clock).toBeNull()
  })

  test('§4.1: the base value is added, and a missing value is zero', () => {
    const decoded = senml([{ bn: 't-1/', bv: 20 }, { n: 'temperature', v: 0.5 }, { n: 'humidity' }])
    expect(valuesOf(decoded)).toEqual({ temperature: 20.5, humidity: 20 })
  })

  test('units that differ from the model are refused; %RH is %', () => {
    const decoded = senml([
      { n: 'temperature', u: 'K', v: 294 },
      { n: 'humidity', u: '%RH', v: 40 },
    ])
    expect(valuesOf(decoded)).toEqual({ humidity: 40 })
    expect(reasonsOf(decoded)).toEqual(['wrong-unit /0/u'])
  })

  test.each<[string, unknown, string]>([
    ['an object', { n: 'a', v: 1 }, 'wrong-type'],
    ['a record that is none', [5], 'wrong-type /0'],
    ['§5.1.1: the device alone, without a property', [{ n: 't-1', bn: 'urn:dev:ow:', v: 1 }], 'other-device /0/n'],
    ['a name of another device', [{ bn: 't-2/', n: 'a', v: 1 }], 'other-device /0/n'],
    ['a name that only begins like ours', [{ bn: 't-10/', n: 'a', v: 1 }], 'other-device /0/n'],
    ['no name', [{ v: 1 }], 'invalid-name /0/n'],
    ['a reserved name', [{ n: 'ts', v: 1 }], 'reserved-name /0/v'],
    ['two values', [{ n: 'a', v: 1, vb: true }], 'wrong-type /0'],
    ['a sum', [{ n: 'a', s: 1 }], 'wrong-type /0'],
    ['a number in a text', [{ n: 'a', v: '1' }], 'wrong-type /0/v'],
    ['a field that must be understood', [{ n: 'a', v: 1, new_: 1 }], 'unknown-field /0/new_'],
    ['a later version', [{ bver: 11, n: 'a', v: 1 }], 'wrong-type /0/bver'],
    [
      'a base time that is none',
      [
        { bt: 'x', n: 'a', v: 1 },
        { n: 'b', v: 1 },
      ],
      'wrong-type /0/bt',
    ],
    ['a time that is none', [{ t: 'x', n: 'a', v: 1 }], 'invalid-time /0/t'],
    ['an old time', [{ t: -8 * 86_400, n: 'a', v: 1 }], 'too-old /0/t'],
  ])('%s', (_, payload, problem) => {
    const decoded = senml(payload)
    expect(reasonsOf(decoded)).toEqual([problem])
    expect(readingsOf(decoded)).toEqual([])
  })

  test('many records are too many', () => {
    expect(reasonsOf(senml(Array.from({ length: 5001 }, () => ({ n: 'a', v: 1 }))))).toEqual(['too-many-values'])
  })

  test('carries the Message-Id of its request', () => {
    expect(senml([{ n: 'a', v: 1 }], 't-1', { id: 'h' }).parts).toMatchObject([{ id: 'h', readings: [{ messageId: 'h' }] }])
  })
})

describe('whatever a device sends', () => {
  const kinds = fc.record({
    kind: fc.constantFrom('telemetry', 'event', 'presence', 'will', 'reported', 'response', 'update', 'get', 'unknown' as const),
    contentType: fc.constantFrom(undefined, 'application/senml+json'),
    model: fc.constantFrom(thermostat, pump),
  })
  const words = [
    'id',
    'ts',
    'ageMs',
    'values',
    'data',
    'status',
    'health',
    'temperature',
    '__proto__',
    'n',
    'v',
    'bn',
    'bt',
    't',
    'vs',
    'u',
    'version',
    'state',
    'rejected',
    '/targetTemperature',
    'targetTemperature',
    'code',
    'message',
    'output',
    'progress',
  ]
  const key = fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary', maxLength: 5 }))
  const number = fc.oneof(fc.double(), fc.constantFrom(NOW, NOW - 1, NOW + DAY, 0, -0, 1e308))
  const statuses = fc.constantFrom('online', 'acknowledged', 'running', 'succeeded', 'failed', 'installing', 'rejected')
  const scalar = fc.oneof(number, fc.boolean(), fc.string({ unit: 'binary' }), statuses, fc.constant(null))
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof({ maxDepth: 5 }, scalar, fc.array(tie('json'), { maxLength: 5 }), fc.dictionary(key, tie('json'), { maxKeys: 6 })),
  }))
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    json.map((value) => Buffer.from(JSON.stringify(value))),
    fc.tuple(json, fc.nat(300), fc.string()).map(([value, at, text]) => {
      const good = JSON.stringify(value)
      return Buffer.from(good.slice(0, at) + text + good.slice(at + 1))
    }),
  )

  test('decoding never throws, and gives only what may be stored', () => {
    fc.assert(
      fc.property(noise, kinds, (payload, { kind, contentType, model }) => {
        const name = kind === 'response' || kind === 'update' ? '0f0e0d0c-0b0a-4908-8706-050403020100' : 'leak'
        const change = { kind: kind as Message['kind'], name, ...(contentType && { contentType }) }
        const decoded = decode(message(payload, change), model, 't-1')
        expect(decoded.problems.length).toBe(Math.min(decoded.problemCount, MAX_PROBLEMS))
        for (const { reason, path, detail } of decoded.problems) {
          expect(REASONS).toHaveProperty(reason)
          expect(isStorable(path) && isStorable(detail)).toBe(true)
        }
        for (const { name, value, ts, receivedAt } of readingsOf(decoded)) {
          expect(name).toMatch(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/)
          expect(name in {}).toBe(false)
          expect(value).not.toBe(null)
          expect(JSON.parse(JSON.stringify(value))).toEqual(Object.is(value, -0) ? 0 : value)
          expect(isStorable(value)).toBe(true)
          expect(Number.isInteger(ts) && ts <= receivedAt && ts >= receivedAt - 7 * DAY).toBe(true)
          expect(model.properties.get(name)?.problemOf(value)).toBeUndefined()
        }
        for (const { event, report, response, update } of decoded.parts) {
          if (event) {
            expect(isStorable(event.data)).toBe(true)
            if (event.data !== null) expect(model.events.get(event.name)?.problemOf(event.data)).toBeUndefined()
          }
          if (report) expectReport(report, model)
          if (response) expect(isStorable(response.word)).toBe(true)
          if (update) expect(isStorable(update.word)).toBe(true)
        }
      }),
      { numRuns: 3000 },
    )
  })

  function expectReport({ ts, version = 0, state, rejected = {} }: Report, model: typeof thermostat): void {
    expect(isStorable(state) && isStorable(rejected)).toBe(true)
    expect(Number.isInteger(ts) && ts <= NOW && Number.isSafeInteger(version)).toBe(true)
    for (const [name, value] of Object.entries(state)) {
      expect(name).toMatch(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/)
      if (typeof value === 'number') expect(model.properties.get(name)?.problemOf(value)).toBeUndefined()
    }
    for (const [path, { code }] of Object.entries(rejected)) expect(path.startsWith('/') || path === '', code).toBe(true)
  }

  test('a report or a word on what was asked with noise in its parts is taken only as far as it is good', () => {
    const reports = fc.record(
      { state: fc.dictionary(key, json, { maxKeys: 4 }), rejected: json, version: fc.nat() },
      { requiredKeys: ['state'] },
    )
    const words = fc.record({ status: statuses, progress: json, output: json, code: scalar, message: scalar }, { requiredKeys: ['status'] })
    fc.assert(
      fc.property(reports, words, kinds, (report, word, { model }) => {
        const reported = decode(message(report, { kind: 'reported' }), model, 't-1')
        expectReport(reported.parts[0]!.report!, model)
        const name = '0f0e0d0c-0b0a-4908-8706-050403020100'
        const said = decode(message(word, { kind: 'response', name }), model, 't-1').parts[0]?.response
        expect(said !== undefined || !['acknowledged', 'running', 'succeeded'].includes(word.status)).toBe(true)
        const step = decode(message(word, { kind: 'update', name }), model, 't-1').parts[0]?.update
        expect(step !== undefined || word.status !== 'installing').toBe(true)
        expect(isStorable(said?.word ?? null) && isStorable(step?.word ?? null)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test('what is good comes out as it went in', () => {
    const name = fc
      .stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,20}$/)
      .filter((text) => !(text in {}) && !['id', 'ts', 'ageMs', 'values'].includes(text))
    const value = fc.oneof(
      fc.double({ noDefaultInfinity: true, noNaN: true }).map((n) => n + 0),
      fc.boolean(),
      fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
      fc.array(fc.integer(), { maxLength: 5 }),
    )
    const good = fc.record({
      ts: fc.integer({ min: NOW - 7 * DAY, max: NOW }),
      id: fc.option(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,20}$/), { nil: undefined }),
      values: fc.dictionary(
        name.filter((text) => !thermostat.properties.has(text)),
        value,
        { maxKeys: 8, noNullPrototype: true },
      ),
    })
    fc.assert(
      fc.property(good, ({ ts, id, values }) => {
        const decoded = telemetry({ ts, id, values })
        expect(decoded.problems).toEqual([])
        const expected = Object.entries(values).map(([name, value]) => ({
          name,
          value: JSON.parse(JSON.stringify(value)),
          ts,
          receivedAt: NOW,
          ...(id === undefined ? {} : { messageId: id }),
        }))
        expect(readingsOf(decoded)).toEqual(expected)
        // RFC 3339 says the same.
        expect(readingsOf(telemetry({ ts: new Date(ts).toISOString(), id, values }))).toEqual(expected)
      }),
    )
  })

  test('of a repeated name some reading of it is reported, never two taken', () => {
    const member = fc.tuple(fc.constantFrom('a', 'b', 'c:d'), fc.oneof(fc.integer(), fc.constantFrom('x:y', '::')))
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), (members) => {
        const text = `{"values": {${members.map(([name, value]) => `${JSON.stringify(name)} : ${JSON.stringify(value)}`).join(', ')}}}`
        const duplicates = members.length - new Set(members.map(([name]) => name)).size
        expect(telemetry(text).problems.filter(({ reason }) => reason === 'duplicate-name')).toHaveLength(duplicates)
      }),
    )
  })
})

test('docs/protocol.md explains every reason in the words of the catalogue', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/protocol.md'), 'utf8')
  for (const [reason, words] of Object.entries(REASONS)) expect(page).toContain(`| \`${reason}\` | ${words} |`)
})

const RFC3339 =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Postgres stores neither U+0000 nor half of a surrogate pair. */
function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, inner]) => isStorable(key) && isStorable(inner))
}
