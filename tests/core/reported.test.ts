/** Reported state: what a device says of its configuration, and what that makes of the wishes for it (docs/architecture.md §1, §7). */
import { describe, expect, test } from 'vitest'
import type { JsonObject, WishRule } from '../../twin-models/core/types.ts'
import { AskedTwin, brief } from '../support/asked-twin.ts'

describe('a report', () => {
  test('is merged into what is known, with the time since when every leaf is so', () => {
    const twin = new AskedTwin()
    twin.report({ x: 1, y: { z: 2 } }, { ts: 100, messageId: 'm-1' })
    const { events } = twin.report({ y: { z: null, w: 3 } }, { ts: 200, messageId: 'm-2' })
    expect(events).toEqual([
      {
        kind: 'reported-changed',
        at: 1_002,
        ts: 200,
        changes: [
          { path: '/y/z', before: 2 },
          { path: '/y/w', after: 3 },
        ],
        cause: { by: 'message', messageId: 'm-2' },
      },
    ])
    expect(twin.state.reported).toEqual({ state: { x: 1, y: { w: 3 } }, at: { '/x': 100, '/y/w': 200 } })
    twin.report({ x: 2, y: { w: 3 } }, { ts: 300 })
    expect(twin.state.reported.at).toEqual({ '/x': 300, '/y/w': 200 })
  })

  test('that says what is known decides nothing', () => {
    const twin = new AskedTwin()
    twin.report({ x: 1 })
    expect(twin.report({ x: 1, y: null }).events).toEqual([])
  })

  test('from before what is known of a property is history, unless it is the first answer to a version', () => {
    const twin = new AskedTwin()
    twin.report({ x: { a: 1 }, y: 1 }, { ts: 500 })
    expect(brief(twin.report({ x: { a: 2, b: 2 }, z: 2 }, { ts: 400 }).events)).toEqual(['reported-changed: /z=2'])
    twin.wish({ x: { a: 3 } })
    expect(brief(twin.report({ x: { a: 3 } }, { ts: 400, version: 1 }).events)).toEqual([
      'reported-changed: /x/a=3',
      'desired-acknowledged 1',
      'desired-converged 1 /x/a',
    ])
    twin.report({ x: { a: 4 } }, { ts: 600 })
    expect(twin.report({ x: { a: 3 } }, { ts: 400, version: 1 }).events).toEqual([])
  })

  test('beyond 500 values, 32 kB or 32 levels changes nothing, and what it answers counts', () => {
    const many = Object.fromEntries(Array.from({ length: 501 }, (_, n) => [`p${n}`, n]))
    let deep: JsonObject = {}
    for (let n = 0; n < 40; n++) deep = { a: deep }
    for (const state of [many, { long: 'x'.repeat(33_000) }, deep]) {
      const twin = new AskedTwin()
      twin.wish({ x: 1 })
      expect(brief(twin.report(state, { version: 1 }).events)).toEqual(['desired-acknowledged 1 /x'])
      expect(twin.state.reported.state).toEqual({})
    }
  })

  test('that answers a version and still differs acknowledges it; it is sent no more for now', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 1, y: 1 })
    const { events, effects } = twin.report({ y: 1 }, { version: 1 })
    expect(brief(events)).toEqual(['reported-changed: /y=1', 'desired-acknowledged 1 /x', 'desired-converged 1 /y'])
    expect([twin.status('/x'), twin.status('/y')]).toEqual(['acknowledged', 'converged'])
    expect(effects?.wish).toEqual({ version: 1, body: { version: 1, state: { x: 1 } }, answered: true, retryMs: 30_000 })
    expect(twin.report({ y: 1 }, { version: 1 }).events).toEqual([])
  })

  test('that answers an older version leaves what was wished since pending', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 1 })
    twin.wish({ y: 1 })
    const { effects } = twin.report({}, { version: 1 })
    expect([twin.status('/x'), twin.status('/y')]).toEqual(['acknowledged', 'pending'])
    expect(effects?.wish).toBeUndefined()
  })

  test.each([0, -1, 3, 1.5, 1e300])('with the version %d, which was never wished, answers none', (version) => {
    const twin = new AskedTwin()
    twin.wish({ x: 1 })
    twin.wish({ x: 2 })
    expect(twin.report({}, { version }).events).toEqual([])
    expect(twin.state.desired.answered).toBe(0)
  })

  test('of the wished value converges, with a version or without', () => {
    for (const more of [{}, { version: 1 }]) {
      const twin = new AskedTwin()
      twin.wish({ x: 1.0 })
      const { effects } = twin.report({ x: 1 }, more)
      expect([twin.status('/x'), twin.delta]).toEqual(['converged', {}])
      expect(effects?.wish).toMatchObject({ body: null, answered: 'version' in more })
    }
  })
})

describe('a rejection', () => {
  test('ends a wish with code and message, and it is no longer sent', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 99, y: 1 })
    const { events, effects } = twin.report({}, { version: 1, rejected: { '/x': { code: 'range', message: 'too hot' } }, messageId: 'm' })
    const cause = { by: 'message', messageId: 'm' }
    expect(events).toEqual([
      { kind: 'desired-acknowledged', at: 1_002, version: 1, paths: ['/y'], cause },
      { kind: 'desired-diverged', at: 1_002, version: 1, path: '/x', reason: 'refused', code: 'range', message: 'too hot', cause },
    ])
    expect(effects?.wish?.body).toEqual({ version: 1, state: { y: 1 } })
    expect(twin.state.desired.leaves['/x']).toMatchObject({ status: 'diverged', reason: 'refused', code: 'range', message: 'too hot' })
    expect(twin.delta).toEqual({ x: 99, y: 1 })
  })

  test('of an object refuses what is in it, the nearest word first, and nothing beside it', () => {
    const twin = new AskedTwin()
    twin.wish({ x: { a: 1, b: 1 }, xy: 1 })
    twin.report({}, { rejected: { '/x': { code: 'all' }, '/x/b': { code: 'b' }, '/z': { code: 'none' } } })
    const { '/x/a': a, '/x/b': b, '/xy': other } = twin.state.desired.leaves
    expect([a?.code, b?.code, other?.status]).toEqual(['all', 'b', 'pending'])
    twin.report({}, { rejected: { '': { code: 'everything' } } })
    expect(twin.state.desired.leaves['/xy']?.code).toBe('everything')
  })

  test('that answers an older version does not refuse what was wished since', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 1 })
    twin.wish({ x: 2, y: 2 })
    twin.report({}, { version: 1, rejected: { '': { code: 'no' } } })
    expect([twin.status('/x'), twin.status('/y')]).toEqual(['pending', 'pending'])
  })

  test('of what the device has done is none, and one that comes again decides nothing', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 1, y: 1 })
    twin.report({ x: 1 }, { version: 1, rejected: { '': { code: 'no' } } })
    expect([twin.status('/x'), twin.status('/y')]).toEqual(['converged', 'diverged (refused)'])
    expect(twin.report({}, { version: 1, rejected: { '': { code: 'no' } } }).events).toEqual([])
  })

  test('may be taken back by doing it', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 1 })
    twin.report({}, { rejected: { '/x': { code: 'busy' } } })
    twin.report({ x: 1 })
    expect(twin.state.desired.leaves['/x']).toEqual({ version: 1, at: 1_001, by: 'ann', status: 'converged', since: 1_003 })
  })

  test('has words that are short and that every store takes', () => {
    const twin = new AskedTwin()
    twin.wish({ x: 1 })
    twin.report({}, { rejected: { '/x': { code: `a\0\ud800${'x'.repeat(1_000)}`, message: 'y'.repeat(10_000) } } })
    const { code = '', message = '' } = twin.state.desired.leaves['/x'] ?? {}
    expect([code.slice(0, 4), code.length, message.length]).toEqual(['a\ufffd\ufffdx', 100, 500])
  })
})

describe('a device that goes its own way', () => {
  const settle = (rule?: WishRule) => {
    const twin = new AskedTwin(rule ? { wishes: { x: rule } } : {})
    twin.wish({ x: { a: 21 }, y: 1 })
    twin.report({ x: { a: 21 }, y: 1 }, { version: 1 })
    return twin
  }

  test('from what had come true is told again, under a new version, unless the model says else', () => {
    for (const twin of [settle(), settle({ wins: 'desired' })]) {
      const { events, effects } = twin.report({ x: { a: 25 } })
      expect(events.at(-1)).toEqual({
        kind: 'desired-conflict',
        at: 1_003,
        path: '/x/a',
        desired: 21,
        reported: 25,
        winner: 'desired',
        version: 2,
        cause: { by: 'message' },
      })
      expect(twin.state.desired.leaves['/x/a']).toEqual({ version: 2, at: 1_001, by: 'ann', status: 'pending', since: 1_003 })
      expect(effects?.wish).toMatchObject({ version: 2, body: { version: 2, state: { x: { a: 21 } } }, answered: false })
    }
  })

  test('wins where the model says so: it is wished no longer, under a new version, and that it was stays known', () => {
    const twin = settle({ wins: 'device' })
    const { events, effects } = twin.report({ x: { a: 25 } })
    expect(brief(events)).toEqual(['reported-changed: /x/a=25', 'desired-conflict /x/a device 2', 'desired-diverged /x/a device'])
    expect(twin.state.desired.state).toEqual({ y: 1 })
    expect([twin.status('/x/a'), twin.delta]).toEqual(['diverged (device)', {}])
    expect(effects?.wish).toMatchObject({ version: 2, body: null })
  })

  test('has what it won taken back by a wish for it, for what it is in, or for what is in it', () => {
    for (const patch of [{ x: { a: 21 } }, { x: 1 }, { x: { a: { b: 1 } } }]) {
      const twin = settle({ wins: 'device' })
      twin.report({ x: { a: 25 } })
      twin.wish(patch)
      expect(Object.values(twin.state.desired.leaves).filter(({ reason }) => reason !== undefined)).toEqual([])
      expect(Object.keys(twin.state.desired.leaves)).toHaveLength(2)
    }
  })

  test('wins by being later than the wish where the newest wins', () => {
    const later = settle({ wins: 'newest' })
    later.report({ x: { a: 25 } }, { ts: 1_003 })
    expect(later.status('/x/a')).toBe('diverged (device)')
    const earlier = new AskedTwin({ wishes: { x: { wins: 'newest' } } })
    earlier.report({ x: 20 }, { ts: 900 })
    earlier.wish({ x: 21 })
    expect(brief(earlier.report({ x: 25 }, { ts: 1_002 }).events).at(-1)).toBe('desired-conflict /x desired 1')
    expect(earlier.status('/x')).toBe('pending')
  })

  test('before it was told: a third value is a conflict, its first word and its old value are none', () => {
    const twin = new AskedTwin({ wishes: { x: { wins: 'device' } } })
    twin.wish({ x: 21 })
    expect(brief(twin.report({ x: 18 }).events)).toEqual(['reported-changed: /x=18'])
    expect(brief(twin.report({ x: 18, y: 2 }).events)).toEqual(['reported-changed: /y=2'])
    expect(brief(twin.report({ x: 25 }).events)).toEqual([
      'reported-changed: /x=25',
      'desired-conflict /x device 2',
      'desired-diverged /x device',
    ])
  })

  test('before it was told, where the wish wins: the wish goes on as it was', () => {
    const twin = new AskedTwin()
    twin.report({ x: 18 })
    twin.wish({ x: 21 })
    const { desired } = twin.state
    expect(brief(twin.report({ x: 25 }).events)).toEqual(['reported-changed: /x=25', 'desired-conflict /x desired 1'])
    expect(twin.state.desired).toEqual(desired)
  })

  test('is not one that answers a version on its way to the wished value', () => {
    const twin = new AskedTwin({ wishes: { x: { wins: 'device' } } })
    twin.report({ x: 18 })
    twin.wish({ x: 21 })
    expect(brief(twin.report({ x: 19 }, { version: 1 }).events)).toEqual(['reported-changed: /x=19', 'desired-acknowledged 1 /x'])
  })

  test('is not one that does what an older wish told it: it is told again, whoever wins', () => {
    const twin = new AskedTwin({ wishes: { x: { wins: 'device' } } })
    twin.report({ x: 20 })
    twin.wish({ x: 21 })
    twin.wish({ x: 20 })
    const { effects } = twin.report({ x: 21 }, { version: 1 })
    expect(twin.status('/x')).toBe('pending')
    expect(effects?.wish?.body).toEqual({ version: 3, state: { x: 20 } })
  })

  test('may say that it has the property no longer', () => {
    const twin = settle()
    expect(twin.report({ x: null }).events.at(-1)).toMatchObject({ kind: 'desired-conflict', desired: 21, reported: null, version: 2 })
    expect(twin.delta).toEqual({ x: { a: 21 } })
  })

  test('in many leaves at once makes one new version', () => {
    const twin = settle()
    twin.report({ x: { a: 1 }, y: 2 })
    expect([twin.state.desired.version, twin.state.desired.leaves['/y']?.version]).toEqual([2, 2])
  })

  test('and refuses what had come true is one that refuses', () => {
    const twin = settle()
    expect(brief(twin.report({ y: 2 }, { version: 1, rejected: { '/y': { code: 'worn' } } }).events)).toEqual([
      'reported-changed: /y=2',
      'desired-diverged /y refused',
    ])
  })

  test('from what had diverged decides nothing more', () => {
    const twin = settle()
    twin.report({ y: 2 }, { rejected: { '/y': { code: 'worn' } } })
    expect(brief(twin.report({ y: 3 }).events)).toEqual(['reported-changed: /y=3'])
  })

  test('wins no more than 200 leaves that stay known', () => {
    const twin = new AskedTwin({ wishes: { x: { wins: 'device' } } })
    for (let n = 0; n < 210; n++) {
      twin.wish({ x: { [`k${n}`]: 1 } })
      twin.report({ x: { [`k${n}`]: 1 } })
      twin.report({ x: { [`k${n}`]: 2 } })
    }
    const known = Object.keys(twin.state.desired.leaves)
    expect([known.length, known[0], known.at(-1)]).toEqual([200, '/x/k10', '/x/k209'])
  })
})
