/** Leaves, their pointers and changes; and the delta between desired and reported state. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deltaOf, meets } from '../../twin-models/core/delta.ts'
import { mergePatch } from '../../twin-models/core/merge-patch.ts'
import { same } from '../../twin-models/core/plain.ts'
import {
  applyChanges,
  changesBetween,
  isTaken,
  isWithin,
  keysOf,
  leavesOf,
  objectOf,
  upwards,
  valueAt,
} from '../../twin-models/core/pointer.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import { jsonObject } from '../support/json-arbitraries.ts'

describe('pointers', () => {
  test('name the leaves of an object: what is no object, and what is an empty one', () => {
    const leaves = leavesOf({ a: { b: 1, c: {} }, list: [{ d: 1 }], 'x/y': { '~': false } })
    expect([...leaves]).toEqual([
      ['/a/b', 1],
      ['/a/c', {}],
      ['/list', [{ d: 1 }]],
      ['/x~1y/~0', false],
    ])
  })

  test('are read as RFC 6901 says', () => {
    expect(keysOf('')).toEqual([])
    expect(keysOf('/')).toEqual([''])
    expect(keysOf('/a~1b/~01/')).toEqual(['a/b', '~1', ''])
    expect(upwards('/a/b/c')).toEqual(['/a/b/c', '/a/b', '/a', ''])
    expect(upwards('')).toEqual([''])
    expect([isWithin('/a/b', '/a'), isWithin('/ab', '/a'), isWithin('/a', '/a'), isWithin('/a', '')]).toEqual([true, false, true, true])
  })

  test('find values, and whether something else is in their place', () => {
    const object = { a: { b: 1 }, s: 'x' }
    expect(['/a/b', '/a', '/a/c', '/s/length', '/toString'].map((path) => valueAt(object, path))).toEqual([
      1,
      { b: 1 },
      undefined,
      undefined,
      undefined,
    ])
    expect(['/a/b', '/a', '/a/c', '/a/b/c', '/s/length', '/none'].map((path) => isTaken(object, path))).toEqual([
      true,
      true,
      false,
      true,
      true,
      false,
    ])
  })

  test('lead back to every leaf, and the leaves say all of an object', () => {
    fc.assert(
      fc.property(jsonObject, (object) => {
        const leaves = leavesOf(object)
        for (const [path, value] of leaves) expect(valueAt(object, path)).toBe(value)
        expect(same(objectOf(leaves), object)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('of changes make one object of the other', () => {
    fc.assert(
      fc.property(jsonObject, jsonObject, (before, after) => {
        const changes = changesBetween(before, after)
        expect(same(applyChanges(before, changes), after)).toBe(true)
        expect(changes.length === 0).toBe(same(before, after))
        for (const { path, before: was } of changes) expect(leavesOf(before).get(path)).toEqual(was)
      }),
      { numRuns: 1_000 },
    )
  })

  test('of ten thousand levels end at a level that is enough', () => {
    let deep: JsonObject = {}
    for (let n = 0; n < 10_000; n++) deep = { a: deep }
    expect([...leavesOf(deep).keys()]).toEqual(['/a'.repeat(32)])
  })
})

describe('the delta', () => {
  const cases: Array<[title: string, desired: JsonObject, reported: JsonObject, delta: JsonObject]> = [
    ['is empty where nothing is wished', {}, { a: 1 }, {}],
    ['is all that is wished of a device that never spoke', { a: 1, b: { c: 2 } }, {}, { a: 1, b: { c: 2 } }],
    [
      'holds what differs, at any depth, and nothing else',
      { a: { b: 1, c: { d: 2 } } },
      { a: { b: 1, c: { d: 3 } } },
      { a: { c: { d: 2 } } },
    ],
    ['takes arrays whole', { a: [1, 2, 3] }, { a: [1, 2] }, { a: [1, 2, 3] }],
    ['takes numbers as numbers', { a: 20, b: 0 }, JSON.parse('{"a": 2.0e1, "b": -0}'), {}],
    ['tells a number from its text', { a: 1 }, { a: '1' }, { a: 1 }],
    ['does not mind the order of keys', { a: [{ b: 1, c: 2 }] }, { a: [{ c: 2, b: 1 }] }, {}],
    ['holds an object where the device has none', { a: { b: 1 } }, { a: 5 }, { a: { b: 1 } }],
    ['holds a value where the device has an object', { a: 5 }, { a: { b: 1 } }, { a: 5 }],
    ['finds any object as empty as wished', { a: {}, b: {} }, { a: { c: 1 }, b: 1 }, { b: {} }],
  ]
  test.each(cases)('%s', (_title, desired, reported, delta) => {
    expect(deltaOf(desired, reported)).toEqual(delta)
  })

  test('as a patch of reported state makes every wished leaf as wished, and is empty if and only if they are', () => {
    fc.assert(
      fc.property(jsonObject, jsonObject, (desired, reported) => {
        const delta = deltaOf(desired, reported)
        const obeyed = mergePatch(reported, delta)
        for (const [path, wished] of leavesOf(desired)) expect(meets(wished, valueAt(obeyed, path))).toBe(true)
        expect(deltaOf(desired, obeyed)).toEqual({})
        const isMet = [...leavesOf(desired)].every(([path, wished]) => meets(wished, valueAt(reported, path)))
        expect(Object.keys(delta).length === 0).toBe(isMet)
        for (const [path, value] of leavesOf(delta)) expect(valueAt(desired, path)).toEqual(value)
      }),
      { numRuns: 1_000 },
    )
  })

  test('takes names that objects have from birth as names like others', () => {
    const hostile = JSON.parse('{"__proto__": {"a": 1}, "constructor": 1}') as JsonObject
    expect(JSON.stringify(deltaOf(hostile, {}))).toBe(JSON.stringify(hostile))
    expect(deltaOf(hostile, hostile)).toEqual({})
    expect(Object.getPrototypeOf(deltaOf(hostile, {}))).toBe(Object.prototype)
  })
})
