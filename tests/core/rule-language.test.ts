/** The language of conditions: what is parsed from what, as a twin carries it; and that a filter means what it meant, and has none of this. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../twin-models/core/types.ts'
import { type Filter, FilterError, type Literal, parseFilter } from '../../twin-models/filter/parse.ts'
import { RULE_LIMITS, written } from '../../twin-models/rules/language.ts'
import { parseCondition } from '../../twin-models/rules/parse.ts'
import { putIn } from '../../twin-models/rules/put-in.ts'
import { parseText } from '../../twin-models/rules/text.ts'
import { filter as anyFilter } from '../api/filter-samples.ts'

const ready = (text: string, attributes: JsonObject = {}) => putIn([parseCondition(text)], attributes)[0]!
const is = (name: string, comparison: '=' | '!=' | '<' | '<=' | '>' | '>=', value: Literal): Filter => ({
  kind: 'compare',
  path: ['telemetry', name, 'value'],
  comparison,
  value,
})
const NEVER: Filter = { kind: 'or', terms: [] }

function refusal(parse: () => unknown): [position: number, detail: string] {
  try {
    parse()
  } catch (error) {
    if (error instanceof FilterError) return [error.position, error.detail]
    throw error
  }
  throw new Error('it was taken')
}

describe('a condition', () => {
  test.each<[text: string, filter: Filter]>([
    ['telemetry.x.value > 8', is('x', '>', 8)],
    ['telemetry."a.b".value != \'on\'', is('a.b', '!=', 'on')],
    ["presence.status = 'online'", { kind: 'compare', path: ['presence', 'status'], comparison: '=', value: 'online' }],
    ["ranges.x.status in ('low', 'high')", { kind: 'in', path: ['ranges', 'x', 'status'], values: ['low', 'high'] }],
    ['exists reported.state.mode.night', { kind: 'exists', path: ['reported', 'state', 'mode', 'night'] }],
    ['desired.state.on = true', { kind: 'compare', path: ['desired', 'state', 'on'], comparison: '=', value: true }],
    ["firmware.version like '1.%'", { kind: 'like', path: ['firmware', 'version'], pattern: '1.%' }],
    ['health.ok = false', { kind: 'compare', path: ['health', 'ok'], comparison: '=', value: false }],
    ['health.battery < 10', is('health(battery)', '<', 10)],
    ['exists health.rssi', { kind: 'exists', path: ['telemetry', 'health(rssi)', 'value'] }],
    ["change(telemetry.x.value, '5m') > 3", is('change(x,300000)', '>', 3)],
    ["CHANGE ( telemetry.x.value , '1s' ) <= -3", is('change(x,1000)', '<=', -3)],
    ['deviation(telemetry.x.value) > 4', is('deviation(x,3600000)', '>', 4)],
    ["deviation(telemetry.x.value, '24h') > 4", is('deviation(x,86400000)', '>', 4)],
    ['distance(telemetry.at.value, 52.1, -4.3) >= 500', is('distance(at,52.1,-4.3)', '>=', 500)],
    ["missing(telemetry.x, '10m')", is('missing(x,600000)', '=', true)],
    ["not missing(telemetry.x, '10m')", { kind: 'not', term: is('missing(x,600000)', '=', true) }],
    ["count(telemetry.x, '10m') >= 5", is('count(x,600000,5)', '>=', 5)],
    ["count(telemetry.x, '10m') > 5", is('count(x,600000,6)', '>', 5)],
    ["count(telemetry.x, '10m') < 5", is('count(x,600000,5)', '<', 5)],
    ["count(telemetry.x, '10m') <= 5", is('count(x,600000,6)', '<=', 5)],
    ["count(telemetry.x, '10m') = 5", is('count(x,600000,6)', '=', 5)],
    ["count(telemetry.x, '10m') != 5", is('count(x,600000,6)', '!=', 5)],
    ["count(telemetry.x, '10m') > 2.5", is('count(x,600000,3)', '>', 2.5)],
    ["count(telemetry.x, '10m') >= 2.5", is('count(x,600000,3)', '>=', 2.5)],
    ["count(telemetry.x, '10m') = 0", is('count(x,600000,1)', '=', 0)],
    ["count(telemetry.x, '10m') >= 100", is('count(x,600000,100)', '>=', 100)],
    ["count(telemetry.x.value > 80, '10m') >= 5", is('count(x>80,600000,5)', '>=', 5)],
    ["count(telemetry.x.value = 'it''s, 1', '10m') >= 5", is('count(x="it\'s, 1",600000,5)', '>=', 5)],
    ["count(telemetry.x.value != true, '10m') >= 5", is('count(x!=true,600000,5)', '>=', 5)],
    ["count(events.leak, '1h') >= 3", is('count(!leak,3600000,3)', '>=', 3)],
    [
      "(change(telemetry.x.value, '5m') > 3 or telemetry.x.value > 9) and not health.ok = true",
      {
        kind: 'and',
        terms: [
          { kind: 'or', terms: [is('change(x,300000)', '>', 3), is('x', '>', 9)] },
          { kind: 'not', term: { kind: 'compare', path: ['health', 'ok'], comparison: '=', value: true } },
        ],
      },
    ],
  ])('%s', (text, filter) => {
    expect(ready(text)).toEqual(filter)
  })

  const device = {
    limit: 7,
    name: 'north',
    on: true,
    deep: { limit: 3 },
    site: { lat: 52, lon: 4 },
    many: 150,
    list: [1],
    long: 'x'.repeat(501),
  }
  test.each<[text: string, filter: Filter]>([
    ['telemetry.x.value > attributes.limit', is('x', '>', 7)],
    ['telemetry.x.value = attributes."deep".limit', is('x', '=', 3)],
    ['telemetry.x.value = attributes.name', is('x', '=', 'north')],
    ['telemetry.x.value != attributes.on', is('x', '!=', true)],
    ['telemetry.x.value > attributes.absent', NEVER],
    ['not telemetry.x.value > attributes.absent', { kind: 'not', term: NEVER }],
    ['telemetry.x.value != attributes.absent', NEVER],
    ['telemetry.x.value = attributes.deep', NEVER],
    ['telemetry.x.value = attributes.list', NEVER],
    ['telemetry.x.value = attributes.long', NEVER],
    ["change(telemetry.x.value, '5m') > attributes.limit", is('change(x,300000)', '>', 7)],
    ["change(telemetry.x.value, '5m') != attributes.name", NEVER],
    ["count(telemetry.x, '5m') >= attributes.limit", is('count(x,300000,7)', '>=', 7)],
    ["count(telemetry.x, '5m') >= attributes.many", NEVER],
    ["count(telemetry.x.value > attributes.limit, '5m') >= 2", is('count(x>7,300000,2)', '>=', 2)],
    ["count(telemetry.x.value = attributes.absent, '5m') >= 2", NEVER],
    ['distance(telemetry.at.value, attributes.site) > attributes.limit', is('distance(at,52,4)', '>', 7)],
    ['distance(telemetry.at.value, attributes.deep) > 5', NEVER],
  ])('%s, with the attributes of a device', (text, filter) => {
    expect(ready(text, device)).toEqual(filter)
  })

  test('that counts the same as another one of its rule shares its count, up to the most that one of them needs', () => {
    const texts = ["count(telemetry.x, '5m') >= 4", "count(telemetry.x, '5m') < 2 or count(telemetry.x, '6m') > 1"]
    expect(putIn(texts.map(parseCondition), {})).toEqual([
      is('count(x,300000,4)', '>=', 4),
      { kind: 'or', terms: [is('count(x,300000,4)', '<', 2), is('count(x,360000,2)', '>', 1)] },
    ])
  })

  test.each<[text: string, position: number, detail: string]>([
    ['', 1, "expected a path, 'not', 'exists' or '(', found the end"],
    ['telemetry.x.value >', 20, "expected a value: 'text', a number, true or false, found the end"],
    ['telemetry.x.value > true', 21, 'expected a text or a number'],
    ['telemetry.x.value > 1 2', 23, "expected 'and', 'or' or the end, found '2'"],
    ['foo.bar = 1', 1, "the twin document has no part 'foo'"],
    ['telemetry.x > 1', 1, 'what is compared is telemetry.x.value'],
    ['telemetry.x.ts > 1', 1, "a rule reads its value alone, not 'ts'; that nothing came is missing(telemetry.x, '10m')"],
    ['1 = 1 or telemetry.x.stale = true', 1, "expected a path, 'not', 'exists' or '(', found '1'"],
    ['true = telemetry.x.stale', 1, "the twin document has no part 'true'"],
    ['health.ok = true or telemetry.x.stale = true', 21, "a rule reads its value alone, not 'stale'"],
    ["telemetry.x.receivedAt > '2026'", 1, "not 'receivedAt'"],
    ["telemetry.x.unit = 'Cel'", 1, "not 'unit'"],
    ['telemetry.x.value.lat > 1', 1, 'parts of a value are not compared: distance(telemetry.x.value, …)'],
    ['telemetry."change(x,1)".value > 1', 1, "'change(x,1)' is no name of a property"],
    ['telemetry.ts.value > 1', 1, "'ts' is no name of a property"],
    ['attributes.x = 1', 1, 'which devices it is for stands in `filter`'],
    ["model = 'pump'", 1, "a rule does not read 'model'"],
    ["id = 'p-1'", 1, "a rule does not read 'id'"],
    ['exists alarms', 8, "a rule does not read 'alarms'; it reads telemetry.NAME.value"],
    ["update.status = 'soaking'", 1, "a rule does not read 'update'"],
    ['presence.lastSeenAt > 1', 1, 'of presence a rule reads presence.status, presence.reason alone'],
    ['ranges.x.value > 1', 1, 'of ranges a rule reads ranges.NAME.status alone'],
    ['reported.metadata.x > 1', 1, 'of reported a rule reads reported.state.NAME… alone'],
    ['desired.version > 1', 1, 'of desired a rule reads desired.state.NAME… alone'],
    ['exists health', 8, 'of health a rule reads health.ok, health.battery, health.rssi alone'],
    ['telemetry.x.value > telemetry.y.value', 21, "expected a value or attributes.NAME; 'telemetry…' is not compared with"],
    ['telemetry.x.value in (attributes.a)', 23, "expected a value: 'text', a number, true or false, found 'attributes'"],
    ['average(telemetry.x.value) > 1', 1, "there is no function 'average'; there are change, count, deviation, distance, missing"],
    ["change(telemetry.x, '5m') > 1", 19, "expected '.value', found ','"],
    ["change(telemetry.x.ts, '5m') > 1", 20, "expected 'value', found 'ts'"],
    ["change(presence.status, '5m') > 1", 8, "expected telemetry.NAME.value, found 'presence'"],
    ['change(telemetry.x.value) > 1', 25, "expected ',', found ')'"],
    ['change(telemetry.x.value, 300) > 1', 27, "expected how long, in single quotes, like '10m', found '300'"],
    ["change(telemetry.x.value, '5 m') > 1", 27, "expected how long, like '30s', '10m' or '24h', found '5 m'"],
    ["change(telemetry.x.value, '500ms') > 1", 27, "a function looks back for 1s to 24h, not '500ms'"],
    ["change(telemetry.x.value, '25h') > 1", 27, "a function looks back for 1s to 24h, not '25h'"],
    ["change(telemetry.x.value, '5m') = 'a'", 35, 'change(…) is a number, and is compared with a number or attributes.NAME'],
    ["change(telemetry.x.value, '5m') in (1)", 33, 'expected a comparison (= != < <= > >=) with a number'],
    ["change(telemetry.x.value, '5m')", 32, 'expected a comparison (= != < <= > >=) with a number, found the end'],
    ["change(telemetry.x.value, '5m' > 1", 32, "expected ')', found '>'"],
    ["missing(telemetry.x, '10m') = true", 29, 'missing(…) is true or false by itself: it is not compared'],
    ["missing(telemetry.x.value, '10m')", 20, "expected ',', found '.'"],
    ['missing(telemetry."a b", \'10m\')', 19, "'a b' is no name of a property"],
    ["missing(events.leak, '10m')", 9, "expected telemetry.NAME, found 'events'"],
    ["count(telemetry.x.value, '10m') > 1", 24, 'expected a comparison (= != < <= > >=); all readings are count(telemetry.x, …)'],
    ["count(telemetry.x.value > true, '10m') > 1", 27, 'expected a text or a number'],
    ["count(events, '10m') > 1", 13, "expected '.', found ','"],
    ["count(events.constructor, '10m') > 1", 14, "'constructor' is no name of a device event"],
    ["count(health.battery, '10m') > 1", 7, 'expected telemetry.NAME, telemetry.NAME.value with a comparison, or events.NAME'],
    ['distance(telemetry.at.value, 91, 0) > 1', 30, 'a latitude is from -90 to 90, not 91'],
    ['distance(telemetry.at.value, 1, 181) > 1', 33, 'a longitude is from -180 to 180, not 181'],
    ["distance(telemetry.at.value, '1', 1) > 1", 30, 'expected a latitude, or attributes.NAME'],
    ['distance(telemetry.at.value, 1) > 1', 31, "expected ',', found ')'"],
    ['distance(telemetry.at.value, telemetry.b) > 1', 30, 'expected a latitude and a longitude, or attributes.NAME'],
    [`telemetry.x.value > 1${' '.repeat(2048)}`, 2049, 'a condition has at most 2048 characters'],
    [`${'not '.repeat(17)}health.ok = true`, 69, 'a condition is at most 16 levels deep'],
    [Array.from({ length: 65 }, () => 'health.ok = true').join(' or '), 1293, 'a condition has at most 64 values'],
  ])('%s is refused', (text, position, detail) => {
    const [at, why] = refusal(() => parseCondition(text))
    expect([at, why]).toEqual([position, expect.stringContaining(detail)])
  })

  test('of any text is a condition, or an error that knows its place', () => {
    const pieces = fc.constantFrom(
      ...[
        'telemetry.x.value',
        'telemetry',
        '.x',
        'change',
        'count(',
        'missing(',
        'distance(',
        'deviation',
        '(',
        ')',
        ',',
        "'5m'",
        '3',
        '>',
        '=',
      ],
      ...['and', 'or', 'not', 'exists', 'in', 'attributes.a', 'events.', 'health.battery', "'x'", '"', 'true'],
    )
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 14 }).map((all) => all.join(' ')),
    )
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(ready(text)).toBeDefined()
        } catch (error) {
          expect(error).toBeInstanceOf(FilterError)
          expect((error as FilterError).position).toBeGreaterThan(0)
          expect((error as FilterError).position).toBeLessThanOrEqual(text.length + 1)
        }
      }),
      { numRuns: 3000 },
    )
  })
})

describe('a filter elsewhere', () => {
  test('means what is written in it, whatever that is', () => {
    fc.assert(
      fc.property(anyFilter, (tree) => {
        expect(parseFilter(textOf(tree))).toEqual(tree)
      }),
      { numRuns: 3000 },
    )
  })

  test('says as a condition the same, where a rule may read that', () => {
    const read = anyFilter.map((tree) => overTelemetry(tree))
    fc.assert(
      fc.property(read, (tree) => {
        expect(ready(textOf(tree))).toEqual(parseFilter(textOf(tree)))
      }),
      { numRuns: 1000 },
    )
  })

  test.each<[text: string, position: number, detail: string]>([
    ["change(telemetry.x.value, '5m') > 3", 1, 'change(…) is a function of readings, which only conditions of rules have'],
    ["attributes.a = 1 and Missing(telemetry.x, '5m')", 22, 'Missing(…) is a function of readings'],
    ["not count(events.leak, '1h') >= 3", 5, 'count(…) is a function of readings'],
    ['average(telemetry.x.value) > 1', 1, "the twin document has no part 'average'"],
    ["attributes(1) = 'a'", 11, "expected a comparison (= != < <= > >=), 'in' or 'like', found '('"],
    ['telemetry.x.value > attributes.limit', 21, 'only conditions of rules compare with a path, attributes…'],
    ['telemetry.x.value > telemetry.y.value', 21, 'only conditions of rules compare with a path, telemetry…'],
    ['telemetry.x.value > limit', 21, "expected a value: 'text', a number, true or false, found 'limit'"],
    ['telemetry.x.stale = true', 1, "'stale' is worked out on reading; compare receivedAt of the same value"],
    ['events.leak > 1', 1, "the twin document has no part 'events'"],
  ])('has no functions and compares with values alone: %s', (text, position, detail) => {
    expect(refusal(() => parseFilter(text))).toEqual([position, expect.stringContaining(detail)])
  })
})

describe('a text', () => {
  test('has words, and paths where values go', () => {
    expect(parseText('{id}: {{x}} is {telemetry."a-b".value} in {attributes."the site".name}')).toEqual([
      { at: 2, path: ['id'] },
      ': {x} is ',
      { at: 17, path: ['telemetry', 'a-b', 'value'] },
      ' in ',
      { at: 44, path: ['attributes', 'the site', 'name'] },
    ])
    expect(parseText('Vibration')).toEqual(['Vibration'])
  })

  test.each<[text: string, position: number, detail: string]>([
    ['x {', 3, 'this { has no closing }'],
    ['x }', 3, 'this } closes nothing'],
    ['{}', 2, 'expected a path here'],
    ['{telemetry.x.value > 3}', 20, 'expected a path here'],
    ["{telemetry.'x'.value}", 12, 'expected a path here'],
    ['{telemetry.x.ts}', 2, "a rule reads its value alone, not 'ts'"],
    ['{alarms}', 2, "a rule does not read 'alarms'"],
    ['{foo}', 2, "a rule does not read 'foo'"],
    ['{id.x}', 2, "'id' has no parts"],
    ['{attributes}', 2, 'expected attributes.NAME'],
    ["it is {change(telemetry.x.value, '5m')}", 14, 'expected a path here'],
    ['{id}'.repeat(RULE_LIMITS.textPaths + 1), 4 * RULE_LIMITS.textPaths + 1, 'a text has at most 20 paths'],
  ])('%s is refused', (text, position, detail) => {
    expect(refusal(() => parseText(text))).toEqual([position, expect.stringContaining(detail)])
  })
})

function textOf(filter: Filter): string {
  if ('terms' in filter) return filter.terms.map((term) => ('terms' in term ? `(${textOf(term)})` : textOf(term))).join(` ${filter.kind} `)
  if (filter.kind === 'not') return `not ${'terms' in filter.term ? `(${textOf(filter.term)})` : textOf(filter.term)}`
  const path = written(filter.path)
  if (filter.kind === 'exists') return `exists ${path}`
  if (filter.kind === 'like') return `${path} like ${literal(filter.pattern)}`
  if (filter.kind === 'in') return `${path} in (${filter.values.map(literal).join(', ')})`
  return `${path} ${filter.comparison} ${literal(filter.value)}`
}

function literal(value: Literal): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`
  return Object.is(value, -0) ? '-0' : String(value)
}

function overTelemetry(filter: Filter): Filter {
  if ('terms' in filter) return { ...filter, terms: filter.terms.map(overTelemetry) }
  if (filter.kind === 'not') return { kind: 'not', term: overTelemetry(filter.term) }
  return { ...filter, path: ['telemetry', `p${filter.path.length}`, 'value'] }
}
