/** Hellos of two bridges in a full inbox: one may be told of after what was received later (tests/core/simulation/ found what goes wrong then). */
import { beforeEach, expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import type { Hello } from '../../twin-models/core/hellos.ts'
import { addHello, addLife, addMessage, answered, emptyInbox, type Inbox, seal } from '../../twin-models/core/inbox.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinEvent, TwinInput, TwinState } from '../../twin-models/core/types.ts'
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

function hello(at: number, more: Partial<Hello> = {}): void {
  addMessage(inbox, at, true)
  addHello(inbox, { kind: 'hello', at, status: 'online', ...more })
}

/** What its twin makes of it: kind, time, and what is so now. */
function decided(): unknown[] {
  const all: TwinEvent[] = []
  while (inbox.pending !== null) {
    const { seq, batch } = seal(inbox, 0)
    const { state: next, events } = consume(state, { seq, batch: JSON.parse(batch) }, 0)
    state = next
    all.push(...events)
    answered(inbox, seq, wakeOf(state))
  }
  return all.map((event) => [event.kind, event.at, 'after' in event && event.after])
}
