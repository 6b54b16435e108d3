/** The filter language without a database: what is parsed from what, and what `like` matches. SQL: tests/api/filter-agreement.test.ts. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareCodePoints, matches } from '../../twin-models/filter/evaluate.ts'
import { FILTER_LIMITS, type Filter, FilterError, parseFilter } from '../../twin-models/filter/parse.ts'
import { compileFilter } from '../../twin-models/filter/sql.ts'

const is = (name: string, value: string | number | boolean = 1): Filter => ({
  kind: 'compare',
  path: ['attributes', name],
  comparison: '=',
  value,
})

test.each<[text: string, filter: Filter]>([
  ['attributes.a = 1', is('a')],
  ["attributes.a='it''s'", is('a', "it's")],
  ['attributes.a = -1.5e3', is('a', -1500)],
  ['attributes.a = TRUE', is('a', true)],
  ['attributes."a.b ""c"""=false', is('a.b "c"', false)],
  ['attributes.in = 1', is('in')],
  [
    'attributes.a = 1 or attributes.b = 1 and attributes.c = 1',
    { kind: 'or', terms: [is('a'), { kind: 'and', terms: [is('b'), is('c')] }] },
  ],
  [
    '(attributes.a = 1 OR attributes.b = 1) AND attributes.c = 1',
    { kind: 'and', terms: [{ kind: 'or', terms: [is('a'), is('b')] }, is('c')] },
  ],
  ['not attributes.a = 1 and attributes.b = 1', { kind: 'and', terms: [{ kind: 'not', term: is('a') }, is('b')] }],
  ["telemetry.x.value in (1, 'a',true)", { kind: 'in', path: ['telemetry', 'x', 'value'], values: [1, 'a', true] }],
  ['exists\n firmware', { kind: 'exists', path: ['firmware'] }],
])('%s', (text, filter) => {
  expect(parseFilter(text)).toEqual(filter)
})

test('any text is a filter or an error that knows its place, and a filter that was parsed compiles', () => {
  const pieces = fc.constantFrom(
    'id',
    'attributes',
    '.',
    'a',
    '=',
    '!=',
    '<',
    "'x'",
    '1',
    'true',
    '(',
    ')',
    ',',
    'and',
    'or',
    'not',
    'in',
    'like',
    'exists',
    "'",
    '"',
    '-',
    ' ',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(pieces, { maxLength: 14 }).map((all) => all.join(' ')),
      ),
      (text) => {
        try {
          expect(compileFilter(parseFilter(text)).where).not.toBe('')
        } catch (error) {
          expect(error).toBeInstanceOf(FilterError)
          expect((error as FilterError).position).toBeGreaterThan(0)
          expect((error as FilterError).position).toBeLessThanOrEqual(text.length + 1)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('values never become part of the SQL', () => {
  const { where, parameters } = compileFilter(parseFilter(`attributes."x'; drop" like '''; drop%' and telemetry."'b".value = ''';'`))
  expect(where).not.toContain('drop')
  expect(where).not.toContain("';")
  expect(parameters.join()).toContain('drop')
})

test.each<[text: string, pattern: string, matched: boolean]>([
  ['north', 'n%', true],
  ['north', 'N%', false],
  ['north', '%or%', true],
  ['north', 'nort_', true],
  ['north', 'north_', false],
  ['', '%', true],
  ['', '_', false],
  ['a%', 'a\\%', true],
  ['ab', 'a\\%', false],
  ['\u{1F600}x', '_x', true],
  ['a\nb', 'a%b', true],
])('%j like %j is %s', (text, pattern, matched) => {
  expect(matches({ kind: 'like', path: ['id'], pattern }, { id: text })).toBe(matched)
})

test('a hostile pattern costs no more than text times pattern', () => {
  const pattern = `${'%a'.repeat(FILTER_LIMITS.wildcards)}b`
  expect(matches({ kind: 'like', path: ['id'], pattern }, { id: 'a'.repeat(100_000) })).toBe(false)
})

test('text is ordered as its UTF-8 bytes are', () => {
  const text = fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed())
  fc.assert(
    fc.property(text, text, (left, right) => {
      expect(Math.sign(compareCodePoints(left, right))).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)))
    }),
  )
})
