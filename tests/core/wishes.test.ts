/** Desired state: what a wish makes, how far it comes, and how it ends (docs/architecture.md §1, §7). */
import { describe, expect, test } from 'vitest'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import type { JsonObject, Rejections } from '../../twin-models/core/types.ts'
import { AskedTwin, brief } from '../support/asked-twin.ts'

describe('a wish', () => {
  test('raises the version by one, and its leaves are pending', () => {
    const twin = new AskedTwin()
    const { events, effects, answers } = twin.wish({ x: 21, y: { z: true } })
    expect(events).toEqual([
      {
        kind: 'desired-changed',
        at: 1_001,
        version: 1,
        changes: [
          { path: '/x', after: 21 },
          { path: '/y/z', after: true },
        ],
        by: 'ann',
        cause: { by: 'request', request: 'r-1', who: 'ann' },
      },
    ])
    expect(twin.state.desired).toEqual({
      version: 1,
      answered: 0,
      state: { x: 21, y: { z: true } },
      leaves: {
        '/x': { version: 1, at: 1_001, by: 'ann', status: 'pending', since: 1_001 },
        '/y/z': { version: 1, at: 1_001, by: 'ann', status: 'pending', since: 1_001 },
      },
    })
    expect(effects).toEqual({
      wish: { version: 1, body: { version: 1, state: { x: 21, y: { z: true } } }, answered: false, retryMs: 30_000 },
      released: [],
      ended: [],
      late: [],
      updates: [],
      alarms: [],
    })
    expect(answers).toEqual([{ request: 'r-1', answer: { revision: 2, seq: 2, version: 1 } }])
  })

  test('by null removes a wish, and all of it is told the device by what is left', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 21, y: { z: true, w: 1 } })
    const { events, effects } = twin.wish({ x: null, y: { z: null } })
    expect(brief(events)).toEqual(['desired-changed 2: /x=none /y/z=none'])
    expect(twin.state.desired.state).toEqual({ y: { w: 1 } })
    expect(Object.keys(twin.state.desired.leaves)).toEqual(['/y/w'])
    expect(effects?.wish?.body).toEqual({ version: 2, state: { y: { w: 1 } } })
    expect(twin.wish({ y: null }).effects?.wish).toMatchObject({ version: 3, body: null })
  })

  test('for all of desired state takes the place of what was wished', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 21, y: 1 })
    expect(brief(twin.wish({}, { replace: { y: 1, z: { n: null, m: 2 } } }).events)).toEqual(['desired-changed 2: /x=none /z/m=2'])
    expect(twin.state.desired.state).toEqual({ y: 1, z: { m: 2 } })
  })

  test('that changes nothing decides nothing, and is answered with the version that stands', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 21 })
    const pending = twin.wish({ x: 21 }, { by: 'bob' })
    expect([pending.events, pending.effects, pending.answers[0]?.answer]).toEqual([[], undefined, { revision: 3, seq: 3, version: 1 }])
    twin.report({ x: 20 }, { version: 1 })
    expect(twin.wish({ x: 21 }).events).toEqual([])
    twin.report({ x: 21 })
    expect(twin.wish({ x: 21.0 }).events).toEqual([])
  })

  test('for another version than the one that stands is refused', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 21 }, { ifVersion: 0 })
    const { events, answers } = twin.wish({ x: 22 }, { ifVersion: 0 })
    expect(events).toEqual([])
    expect(answers[0]?.answer).toEqual({
      revision: 3,
      seq: 3,
      version: 1,
      refused: 'precondition-failed',
      detail: 'The desired version is 1, not 0.',
    })
  })

  const nested = (levels: number): JsonObject => (levels === 1 ? { a: 1 } : { a: nested(levels - 1) })
  const many = (count: number): JsonObject => Object.fromEntries(Array.from({ length: count }, (_, n) => [`p${n}`, n]))
  test.each<[title: string, fits: JsonObject, tooLarge: JsonObject, detail: string]>([
    ['of more than 10 levels', nested(10), nested(11), 'Desired state is at most 10 levels deep.'],
    ['of more than 200 values', many(200), many(201), 'Desired state has at most 200 values.'],
    ['longer than 16 kB', { a: 'x'.repeat(16_376) }, { a: 'x'.repeat(16_377) }, 'Desired state is at most 16384 characters of JSON.'],
  ])('%s is refused', (_title, fits, tooLarge, detail) => {
    for (const as of ['patch', 'replace'] as const) {
      const twin = new AskedTwin()
      expect(twin.wish(fits, as === 'patch' ? {} : { replace: fits }).answers[0]?.answer).toMatchObject({ version: 1 })
      const { events, answers } = new AskedTwin().wish(tooLarge, as === 'patch' ? {} : { replace: tooLarge })
      expect(events).toEqual([])
      expect(answers[0]?.answer).toEqual({ revision: 2, seq: 2, version: 0, refused: 'too-large', detail })
    }
  })

  test('that adds to what stands is measured with it', () => {
    const twin = new AskedTwin()
    twin.wish(many(200))
    expect(twin.wish({ other: 1 }).answers[0]?.answer).toMatchObject({ refused: 'too-large', version: 1 })
  })

  test('of ten thousand levels is refused without end of the stack', () => {
    let deep: JsonObject = {}
    for (let n = 0; n < 10_000; n++) deep = { a: deep }
    expect(new AskedTwin().wish(deep).answers[0]?.answer).toMatchObject({ refused: 'too-large' })
  })

  test('that the device meets already converges at once, and there is nothing to tell', () => {
    const twin = new AskedTwin()
    twin.report({ x: 21, y: 1 })
    const { events, effects } = twin.wish({ x: 21, y: 2 })
    expect(brief(events)).toEqual(['desired-changed 1: /x=21 /y=2', 'desired-converged 1 /x'])
    expect(effects?.wish?.body).toEqual({ version: 1, state: { y: 2 } })
    expect(twin.wish({ y: 1 }).effects?.wish).toMatchObject({ version: 2, body: null })
  })

  test('for another value ends the outstanding one before it, and names who wished it', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 21, y: 1 })
    const { events } = twin.wish({ x: 22 }, { by: 'bob' })
    expect(events).toMatchObject([
      { kind: 'desired-diverged', path: '/x', version: 1, reason: 'other-writer', by: 'bob' },
      { kind: 'desired-changed', version: 2, changes: [{ path: '/x', before: 21, after: 22 }], by: 'bob' },
    ])
    expect(twin.state.desired.leaves['/x']).toEqual({ version: 2, at: 1_002, by: 'bob', status: 'pending', since: 1_002 })
    expect(twin.state.desired.leaves['/y']).toMatchObject({ version: 1, by: 'ann' })
  })

  test.each<[title: string, first: JsonObject, second: JsonObject, events: string[]]>([
    [
      'an object in the place of a value',
      { x: 1 },
      { x: { y: 2 } },
      ['desired-diverged /x other-writer', 'desired-changed 2: /x=none /x/y=2'],
    ],
    [
      'a value in the place of an object',
      { x: { y: 2 } },
      { x: 1 },
      ['desired-diverged /x/y other-writer', 'desired-changed 2: /x/y=none /x=1'],
    ],
    ['nothing in the place of a value is a withdrawal', { x: 1 }, { x: null }, ['desired-changed 2: /x=none']],
  ])('after another one: %s', (_title, first, second, events) => {
    const twin = new AskedTwin()
    twin.wish(first)
    expect(brief(twin.wish(second).events)).toEqual(events)
  })

  test('for something else in the place of what is true already diverges from nothing', () => {
    const twin = new AskedTwin()
    twin.report({ x: 21 })
    twin.wish({ x: 21 })
    expect(brief(twin.wish({ x: 22 }).events)).toEqual(['desired-changed 2: /x=22'])
  })

  test('that had diverged can be wished again', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 99, y: 1 })
    twin.report({}, { version: 1, rejected: { '/x': { code: 'out-of-range' } } })
    const { events, effects } = twin.wish({ x: 99, y: 1 }, { by: 'bob' })
    expect(brief(events)).toEqual(['desired-changed 2: /x=99'])
    expect(effects?.wish?.body).toEqual({ version: 2, state: { x: 99, y: 1 } })
    expect(twin.state.desired.leaves['/x']).toEqual({ version: 2, at: 1_003, by: 'bob', status: 'pending', since: 1_003 })
    twin.report({}, { version: 2, rejected: { '/x': { code: 'out-of-range' } } })
    expect(brief(twin.wish({}, { replace: { x: 99, y: 1 } }).events)).toEqual(['desired-changed 3: /x=99'])
  })

  test('says how soon it is sent again, else the model does, else 30 s', () => {
    const twin = new AskedTwin({ retryMs: 5_000 })
    expect(twin.wish({ x: 1 }, { retryMs: 700 }).effects?.wish?.retryMs).toBe(700)
    expect(twin.wish({ x: 2 }).effects?.wish?.retryMs).toBe(5_000)
    const settings = { ...twin.state.settings }
    delete settings.retryMs
    const { effects } = twin.give({ kind: 'configured', at: twin.now, settings })
    expect(effects?.wish).toMatchObject({ version: 2, retryMs: 30_000 })
  })

  test('of names that objects have from birth is a wish like others', () => {
    const twin = new AskedTwin()
    const hostile = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}') as JsonObject
    twin.wish(hostile)
    expect(Object.keys(twin.state.desired.leaves)).toEqual(['/__proto__/polluted', '/constructor'])
    expect(JSON.stringify(twin.delta)).toBe(JSON.stringify(hostile))
    twin.report(hostile, { version: 1, rejected: JSON.parse('{"/__proto__": {"code": "no"}}') as Rejections })
    expect(twin.status('/__proto__/polluted')).toBe('converged')
    expect(twin.delta).toEqual({})
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
})

describe('deadlines', () => {
  const wishes = { x: { wins: 'desired', deadlineMs: 500 } } as const

  test('come from the request, else from the model, and the earliest is the next', () => {
    const twin = new AskedTwin({ wishes })
    expect(nextDeadline(twin.state)).toBeUndefined()
    twin.wish({ x: 1, y: 1 })
    expect(nextDeadline(twin.state)).toBe(1_501)
    twin.wish({ y: 2 }, { deadlineMs: 100 })
    expect(nextDeadline(twin.state)).toBe(1_102)
  })

  test('that come find what is outstanding diverged, and it is no longer sent', () => {
    const twin = new AskedTwin({ wishes })
    twin.wish({ x: 1, y: 1 })
    expect(twin.due(1_500).events).toEqual([])
    const { events, effects } = twin.due(1_501)
    expect(events).toEqual([{ kind: 'desired-diverged', at: 1_501, version: 1, path: '/x', reason: 'deadline', cause: { by: 'timer' } }])
    expect(effects?.wish).toMatchObject({ version: 1, body: { version: 1, state: { y: 1 } } })
    expect([twin.delta, nextDeadline(twin.state)]).toEqual([{ x: 1, y: 1 }, undefined])
  })

  test('count for what is acknowledged, and no longer for what has converged', () => {
    const twin = new AskedTwin({ wishes })
    twin.wish({ x: 1 })
    twin.report({ x: 0 }, { version: 1 })
    expect(nextDeadline(twin.state)).toBe(1_501)
    twin.report({ x: 1 })
    expect(nextDeadline(twin.state)).toBeUndefined()
    expect(twin.state.desired.leaves['/x']).not.toHaveProperty('deadlineAt')
  })

  test('do not keep a device from doing late what was wished', () => {
    const twin = new AskedTwin({ wishes })
    twin.wish({ x: 1 })
    twin.due(1_501)
    expect(brief(twin.report({ x: 1 }).events)).toEqual(['reported-changed: /x=1', 'desired-converged 1 /x'])
    expect(twin.state.desired.leaves['/x']).toEqual({ version: 1, at: 1_001, by: 'ann', status: 'converged', since: 1_502 })
  })

  test('begin anew when the device undoes what had come true', () => {
    const twin = new AskedTwin({ wishes })
    twin.wish({ x: 1 })
    twin.report({ x: 1 }, { version: 1 })
    twin.report({ x: 2 }, { at: 9_000 })
    expect(nextDeadline(twin.state)).toBe(9_500)
  })
})
