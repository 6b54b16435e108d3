/** Commands: in which order they may be sent, and that each has one end (docs/architecture.md §1, §3.11). */
import { describe, expect, test } from 'vitest'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { AskedTwin, brief } from '../support/asked-twin.ts'

describe('a command', () => {
  test('is let go at once, with who asked for it', () => {
    const twin = new AskedTwin()
    const { events, effects, answers } = twin.command('c-1')
    const cause = { by: 'request', request: 'r-1', who: 'ann' }
    const command = { id: 'c-1', name: 'identify', expiresAt: 301_001, repeatable: true, by: 'ann' }
    expect(events).toEqual([
      { kind: 'command-requested', at: 1_001, command, cause },
      { kind: 'command-released', at: 1_001, id: 'c-1', name: 'identify', cause },
    ])
    expect(effects).toEqual({ released: ['c-1'], ended: [], late: [], updates: [], alarms: [] })
    expect(answers).toEqual([{ request: 'r-1', answer: { revision: 2, seq: 2, id: 'c-1' } }])
    expect(twin.state.commands).toEqual([{ ...command, released: true }])
  })

  test('that was asked for already is not asked for again', () => {
    const twin = new AskedTwin()
    twin.command('c-1')
    expect(twin.command('c-1').events).toEqual([])
    twin.answer('c-1')
    const { events, answers } = twin.command('c-1')
    expect([events, answers[0]?.answer]).toEqual([[], { revision: 5, seq: 5, id: 'c-1' }])
  })

  test('that expires before it is decided on is never let go', () => {
    const twin = new AskedTwin()
    const { events, effects } = twin.command('c-1', { expiresAt: twin.now, onlyLast: true })
    expect(brief(events)).toEqual(['command-requested c-1', 'command-ended c-1 expired'])
    expect(effects).toEqual({ released: [], ended: [{ id: 'c-1', status: 'expired', tell: false }], late: [], updates: [], alarms: [] })
    expect(twin.state).toMatchObject({ commands: [], endedCommands: [{ id: 'c-1', status: 'expired' }] })
  })

  test('beyond a hundred that have not ended is refused, and has ended with it', () => {
    const twin = new AskedTwin()
    for (let n = 0; n < 100; n++) twin.command(`c-${n}`)
    const { effects, answers, events } = twin.command('c-100', { name: 'other', onlyLast: true })
    const detail = 'The device has 100 commands that have not ended.'
    expect(brief(events)).toEqual(['command-requested c-100', 'command-ended c-100 failed too-many-commands'])
    expect(effects?.ended).toEqual([{ id: 'c-100', status: 'failed', code: 'too-many-commands', message: detail, tell: false }])
    expect(answers[0]?.answer).toEqual({ revision: 102, seq: 102, id: 'c-100', refused: 'too-many-commands', detail })
    expect(twin.state.commands).toHaveLength(100)
    expect(twin.command('c-101', { onlyLast: true }).answers[0]?.answer).not.toHaveProperty('refused')
    expect(twin.state.commands.map(({ id }) => id)).toEqual(['c-101'])
  })

  test('of which only the last counts cancels those of its name, and their device is told', () => {
    const twin = new AskedTwin()
    twin.command('c-1')
    twin.command('c-2', { name: 'other' })
    const { events, effects } = twin.command('c-3', { onlyLast: true })
    expect(brief(events)).toEqual(['command-requested c-3', 'command-ended c-1 cancelled superseded', 'command-released c-3'])
    expect(effects?.ended).toMatchObject([{ id: 'c-1', status: 'cancelled', code: 'superseded', tell: true }])
  })
})

describe('of commands that may not be under way at once', () => {
  const one = { concurrency: 1 }

  test('those that wait are let go in order, one as each before it ends, however it ends', () => {
    const twin = new AskedTwin()
    for (const id of ['a', 'b', 'c', 'd', 'e']) twin.command(id, { ...one, expiresAt: id === 'b' ? 2_000 : 9_000 })
    expect(twin.state.commands.filter(({ released }) => released).map(({ id }) => id)).toEqual(['a'])
    expect(twin.answer('a').effects?.released).toEqual(['b'])
    expect(twin.due(2_000).effects?.released).toEqual(['c'])
    expect(twin.cancel('c').effects).toMatchObject({ released: ['d'], ended: [{ id: 'c', tell: true }] })
    expect(twin.answer('d', { status: 'failed', code: 'stuck' }).effects?.released).toEqual(['e'])
  })

  test('one that ends while it waits lets nobody go, and nobody overtakes one that waits', () => {
    const twin = new AskedTwin()
    for (const id of ['a', 'b', 'c']) twin.command(id, one)
    expect(twin.command('d').effects).toBeUndefined()
    expect(twin.cancel('b').effects?.released).toEqual([])
    expect(twin.answer('a').effects?.released).toEqual(['c', 'd'])
  })

  test('other names do not wait, and two at once are two', () => {
    const twin = new AskedTwin()
    for (const id of ['a', 'b', 'c']) twin.command(id, { concurrency: 2 })
    expect(twin.state.commands.map(({ released }) => released)).toEqual([true, true, false])
    expect(twin.command('d', { name: 'other' }).effects?.released).toEqual(['d'])
  })

  test('one that ends in the decision that would let it go is not let go', () => {
    const twin = new AskedTwin()
    twin.command('a', one)
    twin.command('b', one)
    const at = twin.now
    const { effects } = twin.give(
      { kind: 'command-answer', at, id: 'a', status: 'succeeded' },
      { kind: 'cancel', at, request: 'r', id: 'b', by: 'bob' },
    )
    expect(effects).toMatchObject({ released: [], ended: [{ id: 'a' }, { id: 'b' }] })
  })
})

describe('an answer', () => {
  test('ends its command with what it says, and a device is not told of its own answer', () => {
    const twin = new AskedTwin()
    twin.command('a')
    twin.command('b')
    expect(twin.answer('a', { status: 'succeeded', output: { n: [1] } }).effects?.ended).toEqual([
      { id: 'a', status: 'succeeded', output: { n: [1] }, tell: false },
    ])
    expect(twin.answer('b', { status: 'failed', code: 'stuck', message: 'again', output: null }).effects?.ended).toEqual([
      { id: 'b', status: 'failed', code: 'stuck', message: 'again', output: null, tell: false },
    ])
    expect(twin.state).toMatchObject({
      commands: [],
      endedCommands: [
        { id: 'b', status: 'failed' },
        { id: 'a', status: 'succeeded' },
      ],
    })
  })

  test('that repeats how its command ended decides nothing; another one is kept as late and changes nothing', () => {
    const twin = new AskedTwin()
    twin.command('a')
    twin.answer('a')
    expect(twin.answer('a').events).toEqual([])
    const before = twin.state
    const { events, effects } = twin.answer('a', { status: 'failed', code: 'stuck' })
    expect(events).toEqual([{ kind: 'command-late', at: 1_004, id: 'a', status: 'failed', code: 'stuck', cause: { by: 'message' } }])
    expect(effects).toEqual({
      released: [],
      ended: [],
      late: [{ id: 'a', at: 1_004, status: 'failed', code: 'stuck' }],
      updates: [],
      alarms: [],
    })
    expect(twin.state).toMatchObject({ commands: before.commands, endedCommands: before.endedCommands })
  })

  test('after its command expired or was cancelled is late', () => {
    const twin = new AskedTwin()
    twin.command('a', { expiresAt: 2_000 })
    twin.command('b')
    twin.cancel('b')
    twin.due(2_000)
    expect(brief([...twin.answer('a').events, ...twin.answer('b').events])).toEqual([
      'command-late a succeeded',
      'command-late b succeeded',
    ])
  })

  test('to a command that the twin no longer knows is late', () => {
    const twin = new AskedTwin()
    for (let n = 0; n < 21; n++) {
      twin.command(`c-${n}`)
      twin.answer(`c-${n}`)
    }
    expect(twin.state.endedCommands).toHaveLength(20)
    expect(brief([...twin.answer('c-1').events, ...twin.answer('c-0').events])).toEqual(['command-late c-0 succeeded'])
  })

  test('has words that are short and that every store takes', () => {
    const twin = new AskedTwin()
    twin.command('a')
    twin.answer('a', { status: 'failed', code: `\0\udc00${'x'.repeat(1_000)}`, message: 'y'.repeat(10_000) })
    expect(twin.events.at(-1)).toMatchObject({ code: `\ufffd\ufffd${'x'.repeat(98)}`, message: 'y'.repeat(500) })
  })
})

describe('cancelling', () => {
  test('ends a command, tells its device, and says by whom', () => {
    const twin = new AskedTwin()
    twin.command('a')
    const { effects, answers, events } = twin.cancel('a')
    expect(effects?.ended).toEqual([{ id: 'a', status: 'cancelled', code: 'cancelled', message: 'Cancelled by bob.', tell: true }])
    expect(answers).toEqual([{ request: 'r-2', answer: { revision: 3, seq: 3, id: 'a', cancelled: true } }])
    expect(events[0]?.cause).toEqual({ by: 'request', request: 'r-2', who: 'bob' })
  })

  test('what has ended changes nothing, and says so', () => {
    const twin = new AskedTwin()
    twin.command('a')
    twin.answer('a')
    for (const id of ['a', 'unknown']) {
      const { events, effects, answers } = twin.cancel(id)
      expect([events, effects, answers[0]?.answer]).toMatchObject([[], undefined, { id, cancelled: false }])
    }
  })

  test('in the decision in which the answer came before it finds it ended', () => {
    const twin = new AskedTwin()
    twin.command('a')
    const at = twin.now
    const { answers, effects } = twin.give(
      { kind: 'command-answer', at, id: 'a', status: 'succeeded' },
      { kind: 'cancel', at, request: 'r', id: 'a', by: 'bob' },
    )
    expect(answers[0]?.answer).toMatchObject({ cancelled: false })
    expect(effects?.ended).toEqual([{ id: 'a', status: 'succeeded', tell: false }])
  })
})

describe('time', () => {
  test('that is over expires a command, and no device is told', () => {
    const twin = new AskedTwin()
    twin.command('a', { expiresAt: 3_000 })
    twin.command('b', { expiresAt: 2_000 })
    expect(nextDeadline(twin.state)).toBe(2_000)
    expect(twin.due(1_999, ['a', 'b']).events).toEqual([])
    const { events, effects } = twin.due(2_000, ['a', 'b'])
    expect(events).toEqual([{ kind: 'command-ended', at: 2_000, id: 'b', name: 'identify', status: 'expired', cause: { by: 'timer' } }])
    expect(effects?.ended).toEqual([{ id: 'b', status: 'expired', tell: false }])
    expect(nextDeadline(twin.state)).toBe(3_000)
    expect(brief(twin.due(99_000).events)).toEqual(['command-ended a expired'])
    expect(nextDeadline(twin.state)).toBeUndefined()
  })

  test('that is over leaves unknown what became of one that could be sent only once, and was', () => {
    const twin = new AskedTwin()
    for (const id of ['sent', 'kept']) twin.command(id, { expiresAt: 2_000, repeatable: false })
    expect(brief(twin.due(2_000, ['sent']).events)).toEqual(['command-ended sent failed unknown', 'command-ended kept expired'])
  })
})
