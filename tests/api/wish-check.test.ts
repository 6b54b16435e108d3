/** Wishes for parts of objects: what a device makes of them must fit its model. No shipped model has such a property. */
import { describe, expect, test } from 'vitest'
import { checkWish, type Wish } from '../../api/http/wish-check.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import { compileModel } from '../../twin-models/devices/compile.ts'

const model = compileModel('scheduler', {
  '@context': ['https://www.w3.org/2022/wot/td/v1.1', { castor: 'urn:castor:terms:' }],
  '@type': 'tm:ThingModel',
  title: 'Scheduler',
  description: 'It has one setting, an object of which two members must be there.',
  version: { model: '1.0.0' },
  'castor:presenceTimeout': '60s',
  'castor:unknownProperties': 'keep',
  'castor:backfillLimit': '7d',
  properties: {
    schedule: {
      type: 'object',
      properties: { from: { type: 'integer' }, to: { type: 'integer' }, days: { type: 'array' } },
      required: ['from', 'to'],
    },
  },
})

/** What is wrong, by its place; undefined when it is taken. */
function refusal(wish: Wish, state: JsonObject = {}, reported: JsonObject = {}): Array<[path: string, detail: string]> | undefined {
  try {
    checkWish(model, { state, reported }, wish)
    return undefined
  } catch (error) {
    return (error as { errors: Array<{ path: string; detail: string }> }).errors.map(({ path, detail }) => [path, detail])
  }
}

describe('a wish for a part of an object', () => {
  const half: Wish = { patch: { schedule: { from: 7 } } }
  const whole: JsonObject = { schedule: { from: 6, to: 22 } }

  test('is taken when the rest is wished already, or reported', () => {
    expect(refusal(half, whole)).toBeUndefined()
    expect(refusal(half, {}, whole)).toBeUndefined()
    expect(refusal(half, { schedule: { days: [] } }, { schedule: { to: 22 } })).toBeUndefined()
  })

  test('is refused when nobody knows the rest', () => {
    const missing = [['/schedule', "must have required property 'to'"]]
    expect(refusal(half)).toEqual(missing)
    expect(refusal(half, { schedule: { days: [] } }, { schedule: { from: 1 } })).toEqual(missing)
    expect(refusal(half, {}, { schedule: 'never' })).toEqual(missing)
  })

  test('replaces what is wished by PUT, and may rest on what is reported in the same way', () => {
    const replace: Wish = { replace: { schedule: { from: 7 } } }
    expect(refusal(replace, {}, whole)).toBeUndefined()
    expect(refusal(replace, whole)).toEqual([['/schedule', "must have required property 'to'"]])
  })

  test('is judged by what it says itself, too', () => {
    expect(refusal({ patch: { schedule: { from: 'early' } } }, {}, whole)).toEqual([['/schedule/from', 'must be integer']])
    expect(refusal({ patch: { schedule: 7 } }, {}, whole)).toEqual([['/schedule', 'must be object']])
  })

  test('may take back one member where the device has it, for it is told of no removal', () => {
    expect(refusal({ patch: { schedule: { to: null } } }, whole, whole)).toBeUndefined()
    expect(refusal({ patch: { schedule: { to: null } } }, whole)).toEqual([['/schedule', "must have required property 'to'"]])
  })

  test('of PUT holds no null, whatever is reported', () => {
    const [[path] = []] = refusal({ replace: { schedule: { from: 7, days: null } } }, {}, whole) ?? []
    expect(path).toBe('/schedule/days')
  })
})
