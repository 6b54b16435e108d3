/** The twin document: the fast JSON of it, its times, and the copy for search. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { searchableJson, telemetryPart, twinDocument, twinJson } from '../../twin-models/core/document.ts'
import { isoTime } from '../../twin-models/core/times.ts'
import type { Latest, Value } from '../../twin-models/core/types.ts'
import { modelOf } from '../../twin-models/devices/index.ts'

const time = fc.integer({ min: 0, max: Date.UTC(2300, 0) })
const name = fc.constantFrom('temperature', 'humidity', 'x', 'a.b-c', '__proto__', 'constructor')
const value = fc.jsonValue() as fc.Arbitrary<Value>
const latest = fc
  .array(fc.tuple(name, value, time, time, fc.option(fc.string(), { nil: undefined })))
  .map((all) => Object.fromEntries(all.map(([key, v, ts, at, id]) => [key, id === undefined ? [v, ts, at] : [v, ts, at, id]])) as Latest)
const decided = fc.constantFrom(
  { presence: { status: 'never' as const } },
  { presence: { status: 'online' as const, since: '2026-11-21T07:00:00.000Z', reason: 'hello' }, firmware: { version: '"1"\n' } },
)
const clock = fc.constantFrom(null, { status: 'unset' as const }, { status: 'ok' as const, driftMs: -120 })

test('the JSON made straight from stored parts is that of the document', () => {
  const thermostat = modelOf('thermostat')
  fc.assert(
    fc.property(
      latest,
      decided,
      fc.dictionary(fc.string(), value),
      time,
      time,
      fc.boolean(),
      fc.boolean(),
      clock,
      (values, part, attributes, at, now, connected, known, ofDevice) => {
        const common = {
          tenant: 't"',
          incarnation: 7,
          device: 'd-1',
          model: 'm',
          modelVersion: '1',
          revision: 3,
          createdAt: at,
          updatedAt: now,
          lastSeenAt: at,
          connected,
        }
        const model = known ? thermostat : undefined
        const stored = {
          ...common,
          attributes: JSON.stringify(attributes),
          decided: JSON.stringify(part),
          latest: JSON.stringify(values),
          clock: ofDevice && JSON.stringify(ofDevice),
        }
        const document = twinDocument({ ...common, attributes, decided: part, latest: values, clock: ofDevice }, model, now)
        expect(JSON.parse(twinJson(stored, model, now))).toEqual(JSON.parse(JSON.stringify(document)))
      },
    ),
  )
})

test('times read as Date would write them', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(time, fc.integer({ min: -62_000_000_000_000, max: 0 }), fc.integer({ min: 1_795_000_000_000, max: 1_795_000_100_000 })),
      ),
      (times) => {
        expect(times.map(isoTime)).toEqual(times.map((ms) => new Date(ms).toISOString()))
      },
    ),
  )
})

test('the copy for search is the telemetry of the document without staleness', () => {
  const at = Date.parse('2026-11-21T07:00:00.000Z')
  expect(telemetryPart({ temperature: [20.5, at, at + 1, 'm-1'] }, modelOf('thermostat'))).toEqual({
    temperature: { value: 20.5, unit: 'Cel', ts: '2026-11-21T07:00:00.000Z', receivedAt: '2026-11-21T07:00:00.001Z', messageId: 'm-1' },
  })
})

test('what jsonb cannot hold is replaced in the copy, and nothing else is', () => {
  const strange = ['\u0000', '\ud800', 'a\udfffb', '\\u0000', '\\\u0000', '\u{1F600}', '\u001f', '"\\']
  expect(JSON.parse(searchableJson(strange))).toEqual(['\ufffd', '\ufffd', 'a\ufffdb', '\\u0000', '\\\ufffd', '\u{1F600}', '\u001f', '"\\'])
})
