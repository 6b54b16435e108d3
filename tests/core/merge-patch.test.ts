/** JSON merge patch: what the RFC says, and names that objects have from birth. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isChange, mergePatch } from '../../twin-models/core/merge-patch.ts'
import { isDeeper, same } from '../../twin-models/core/plain.ts'
import type { JsonObject, Value } from '../../twin-models/core/types.ts'
import { jsonObject, patch } from '../support/json-arbitraries.ts'

describe('a merge patch', () => {
  const vectors: Array<[original: Value, patch: Value, result: Value]> = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  test.each(vectors)('makes of %j with %j what the appendix of RFC 7396 says', (original, given, result) => {
    expect(mergePatch(original, given)).toEqual(result)
  })

  test('takes names that objects have from birth as names like others', () => {
    const hostile = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, "toString": 1}') as JsonObject
    const result = mergePatch({}, hostile)
    expect(JSON.stringify(result)).toBe(JSON.stringify(hostile))
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
    expect(JSON.stringify(mergePatch(result, JSON.parse('{"__proto__": null, "constructor": null}')))).toBe('{"toString":1}')
    expect(isChange({}, { toString: null })).toBe(false)
    expect(isChange(result, hostile)).toBe(false)
  })

  test('changes neither what it is given nor anything twice, and `isChange` tells beforehand', () => {
    fc.assert(
      fc.property(jsonObject, patch, (target, given) => {
        const copies = structuredClone([target, given])
        const once = mergePatch(target, given)
        expect([target, given]).toEqual(copies)
        expect(mergePatch(once, given)).toEqual(once)
        expect(isChange(once, given)).toBe(false)
        expect(isChange(target, given)).toBe(!same(target, once))
      }),
      { numRuns: 1_000 },
    )
  })

  test('of ten thousand levels is looked at without end of the stack', () => {
    let deep: JsonObject = {}
    for (let n = 0; n < 10_000; n++) deep = { a: deep }
    expect(isDeeper(deep, 32)).toBe(true)
    expect(isChange({}, deep)).toBe(true)
    expect(isChange(mergePatch({}, deep), deep)).toBe(true)
  })
})

test('levels are counted in objects and arrays', () => {
  expect([1, {}, { a: 1 }, { a: [] }, { a: [{}] }].map((value) => [isDeeper(value, 1), isDeeper(value, 2)])).toEqual([
    [false, false],
    [false, false],
    [false, false],
    [true, false],
    [true, true],
  ])
})
