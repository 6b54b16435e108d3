/** Hellos of two bridges: one may be told of after what was received later. In a full inbox tests/core/simulation/ found what goes wrong then. */
import { beforeEach, describe, expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import { decide } from '../../twin-models/core/decide.ts'
import type { Hello } from '../../twin-models/core/hellos.ts'
import { addHello, addLife, addMessage, answered, emptyInbox, type Inbox, presenceAfter, seal } from '../../twin-models/core/inbox.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinEvent, TwinInput, TwinState } from '../../twin-models/core/types.ts'
import { upgrade } from '../../twin-models/core/upgrade.ts'
import { firstWake, wakeOf } from '../../twin-models/core/wake.ts'

const settings = { model: 'm', modelVersion: '1', presenceTimeoutMs: 60_000, ranges: {} }
const NEW = { version: '2' }
let state: TwinState
let inbox: Inbox

beforeEach(() => {
  const inputs: TwinInput[] = [
    { kind: 'configured', at: 1_000, settings },
    { kind: 'life', at: 1_000 },
  ]
  state = consume(initialState(), { seq: 0, batch: { messages: 1, lastSeenAt: 1_000, merged: {}, inputs } }, 0).state
  inbox = { ...emptyInbox(firstWake(settings), 2), wake: wakeOf(state), expected: 'online' }
})

test('what a hello says is told at no earlier time than it was said, also where it goes on with one that was received before it', () => {
  hello(2_000)
  hello(2_002, { firmware: NEW })
  hello(2_001, { health: { ok: false } })
  expect(inbox.pending?.inputs.map(({ at }) => at)).toEqual([2_000, 2_002])
  expect(decided()).toEqual([
    ['firmware-changed', 2_002, NEW],
    ['health-changed', 2_002, { ok: false }],
  ])
})

test('a hello that was received before a goodbye is no return from it, and what it says is known', () => {
  hello(2_000, { status: 'offline' })
  hello(2_001)
  hello(2_003, { status: 'offline' })
  hello(2_002, { firmware: NEW })
  expect(decided()).toEqual([
    ['presence-changed', 2_000, 'offline'],
    ['presence-changed', 2_001, 'online'],
    ['presence-changed', 2_003, 'offline'],
    ['firmware-changed', 2_002, NEW],
  ])
})

test('a goodbye that said something stays where only a hello that was received before it would go on with that', () => {
  hello(2_000, { status: 'offline' })
  hello(2_001)
  hello(2_003, { status: 'offline', firmware: NEW })
  addMessage(inbox, 2_004, true)
  addLife(inbox, 2_004)
  hello(2_002)
  expect(decided()).toContainEqual(['firmware-changed', 2_003, NEW])
})

test('what two hellos in one said has the time of each, so that a third one that was received in between counts as it would alone', () => {
  hello(2_000)
  hello(2_001, { firmware: NEW })
  hello(2_005, { health: { ok: false } })
  hello(2_003, { firmware: { version: '3' }, health: { ok: true } })
  expect(decided().filter(([kind]) => kind !== 'presence-changed')).toEqual([
    ['firmware-changed', 2_005, { version: '3' }],
    ['health-changed', 2_005, { ok: false }],
  ])
  expect(state).toMatchObject({ firmwareAt: 2_003, healthAt: 2_005 })
})

describe('a hello that was received before what told of firmware and health last', () => {
  const OLD = { version: '1' }
  const well = { ok: true, battery: 80 }
  const old: Partial<Hello> = { firmware: OLD, health: { ok: false, battery: 20 } }
  beforeEach(() => {
    inbox = { ...inbox, inputLimit: 2_000 }
    hello(3_000, { firmware: NEW, health: well })
  })

  test.each([
    ['waits for its twin', () => {}],
    ['is on its way to it', () => void seal(inbox, 0)],
    ['was decided on', () => void decided()],
    ['is known by the row of its inbox alone', () => void Object.assign(inbox, presenceAfter(inbox.pending!.inputs, inbox.wake))],
  ])('says nothing of them where that %s', (_how, goOn) => {
    goOn()
    hello(2_999, old)
    expect(inbox.pending!.inputs.at(-1)).toEqual({ kind: 'hello', at: 2_999, status: 'online' })
    decided()
    expect(state).toMatchObject({ firmware: NEW, health: well, firmwareAt: 3_000, healthAt: 3_000 })
  })

  test('wakes nobody by what it says, only by its presence', () => {
    decided()
    hello(2_999, old)
    expect(inbox.pending?.urgent).toBe(false)
    hello(3_001, { status: 'offline' })
    expect(inbox.pending?.urgent).toBe(true)
  })

  test('still tells what that did not tell', () => {
    hello(3_001, { firmware: { version: '3' } })
    hello(3_000, { firmware: OLD, health: { ok: false } })
    decided()
    expect(state).toMatchObject({ firmware: { version: '3' }, health: { ok: false }, firmwareAt: 3_001, healthAt: 3_000 })
  })

  test('is none when it was received at the same time: of both the one that is told of later counts', () => {
    hello(3_000, old)
    expect(decided().filter(([kind]) => kind !== 'presence-changed')).toEqual([
      ['firmware-changed', 3_000, NEW],
      ['health-changed', 3_000, well],
      ['firmware-changed', 3_000, OLD],
      ['health-changed', 3_000, old.health],
    ])
  })

  test('counts as before for a twin of an older version, which does not know when it was told', () => {
    decided()
    const { firmwareAt: _firmwareAt, healthAt: _healthAt, ...carried } = state
    state = upgrade(JSON.parse(JSON.stringify(carried)))
    answered(inbox, inbox.sealedSeq, wakeOf(state))
    hello(2_999, old)
    expect(inbox.pending?.urgent).toBe(true)
    decided()
    expect(state).toMatchObject({ ...old, firmwareAt: 2_999, healthAt: 2_999 })
  })

  test.each<Partial<Hello>>([{ status: 'offline' }, { status: 'offline', will: true }])('is told as well by a goodbye (%o)', (how) => {
    hello(3_001, { ...how, ...old })
    hello(3_000, { firmware: NEW, health: well })
    decided()
    expect(state).toMatchObject({ presence: { status: 'offline', since: 3_001 }, ...old, firmwareAt: 3_001, healthAt: 3_001 })
  })

  test('is repeated to no effect: the last of those that say the same is the time that counts', () => {
    hello(3_010, { firmware: NEW })
    hello(3_020, { firmware: NEW })
    expect(inbox.pending?.inputs).toHaveLength(2)
    hello(3_015, old)
    decided()
    expect(state).toMatchObject({ firmware: NEW, health: { ok: false, battery: 20 }, firmwareAt: 3_020, healthAt: 3_015 })
  })
})

describe('to a twin', () => {
  const hello: Hello = { kind: 'hello', at: 2_000, status: 'online', firmware: NEW, health: { ok: true, battery: 80 } }
  const old: Hello = { kind: 'hello', at: 1_999, status: 'online', firmware: { version: '1' }, health: { ok: false } }
  const given = (...inputs: TwinInput[]): TwinState =>
    consume(state, { seq: 2, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0).state

  test('one that was received before what told of firmware and health last says nothing of them, and of presence what it said', () => {
    expect(decide(given(hello), old, 2_000)).toEqual([])
    expect(given(hello, old)).toMatchObject({ firmware: NEW, health: hello.health, firmwareAt: 2_000, healthAt: 2_000 })
    expect(decide(given(hello), { ...old, at: 2_000 }, 2_000)).toMatchObject([{ kind: 'firmware-changed' }, { kind: 'health-changed' }])
    const silent = given(hello, { kind: 'silent', at: 9_000, lastSeenAt: 2_000 })
    expect(decide(silent, old, 9_000)).toMatchObject([{ kind: 'presence-changed', after: 'online' }])
  })

  test('one that repeats what is known moves its time', () => {
    const repeated = given(hello, { ...hello, at: 3_000 }, { kind: 'hello', at: 4_000, status: 'online', health: { ok: true } })
    expect(repeated).toMatchObject({ firmwareAt: 3_000, healthAt: 4_000 })
    expect(decide(repeated, { ...old, at: 2_500 }, 4_000)).toEqual([])
  })
})

test('numbers of a health that is no longer told are no readings of it', () => {
  const known = { 'health(battery)': [null, []] as [null, []] }
  inbox = { ...inbox, inputLimit: 2_000, features: { rules: { r: ['hash', 'health(battery)'] }, known } }
  hello(3_000, { health: { ok: true, battery: 80 } })
  hello(2_999, { health: { ok: true, battery: 20 } })
  expect(inbox.features?.known['health(battery)']?.[0]).toBe(80)
})

function hello(at: number, more: Partial<Hello> = {}): void {
  addMessage(inbox, at, true)
  addHello(inbox, { kind: 'hello', at, status: 'online', ...more })
}

/** What its twin makes of it: kind, time, and what is so now. */
function decided(): unknown[][] {
  const all: TwinEvent[] = []
  while (inbox.sealed !== null || inbox.pending !== null) {
    const { seq, batch } = inbox.sealed ?? seal(inbox, 0)
    const { state: next, events } = consume(state, { seq, batch: JSON.parse(batch) }, 0)
    state = next
    all.push(...events)
    answered(inbox, seq, wakeOf(state))
  }
  return all.map((event) => [event.kind, event.at, 'after' in event && event.after])
}
