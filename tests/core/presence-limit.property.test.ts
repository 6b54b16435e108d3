/**
 * A device that comes and goes while nobody takes what waits for its twin: the inbox stays bounded, and its twin ends where one that was
 * fed with every message does, at the same time, and knows that it was otherwise in between.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import type { Hello } from '../../twin-models/core/hellos.ts'
import { addHello, addInput, addLife, addMessage, addSilence, answered, emptyInbox, seal } from '../../twin-models/core/inbox.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinEvent, TwinInput, TwinSettings } from '../../twin-models/core/types.ts'
import { firstWake, wakeOf } from '../../twin-models/core/wake.ts'

const settings: TwinSettings = { model: 'm', modelVersion: '1', presenceTimeoutMs: 100, ranges: {} }
/** Beyond its limit: some changes that are needed, or whose words have no other place. */
const MORE = 12

const hello = fc.record(
  {
    step: fc.constant('hello' as const),
    status: fc.constantFrom('online' as const, 'offline' as const),
    will: fc.boolean(),
    /** So much earlier it was received: another bridge had it. */
    late: fc.constantFrom(0, 0, 0, 1, 3, 10, 150),
    firmware: fc.record({ version: fc.constantFrom('1', '2') }, { noNullPrototype: true }),
    health: fc.record({ ok: fc.boolean(), battery: fc.nat(100) }, { noNullPrototype: true }),
  },
  { requiredKeys: ['step', 'status', 'will', 'late'], noNullPrototype: true },
)
const step = fc.oneof(
  { weight: 5, arbitrary: hello },
  { weight: 4, arbitrary: fc.constant({ step: 'message' as const }) },
  { weight: 2, arbitrary: fc.constant({ step: 'silence' as const }) },
  { weight: 1, arbitrary: fc.constant({ step: 'event' as const }) },
  { weight: 1, arbitrary: fc.constant({ step: 'seal' as const }) },
  { weight: 1, arbitrary: fc.constant({ step: 'answer' as const }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

test('coming and going fills no inbox, and the last of it is known with its time', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 6 }), fc.array(step, { maxLength: 100, size: 'max' }), (limit, steps) => {
      const [fed, woken] = run(limit, steps)
      const { status, since } = fed.state.presence
      expect(woken.state.presence).toMatchObject({ status, since })
      expect([woken.state.firmware, woken.state.health]).toEqual([fed.state.firmware, fed.state.health])
      expect(changes(woken.events).length).toBeLessThanOrEqual(changes(fed.events).length)
      expect(changes(woken.events).length > 0).toBe(changes(fed.events).length > 0)
      for (const event of woken.events) if (event.kind === 'firmware-changed') expect(event.at).toBeGreaterThanOrEqual(saidAt(fed, event))
    }),
    { numRuns: 2_000 },
  )
})

interface Twin {
  state: ReturnType<typeof initialState>
  events: TwinEvent[]
  hellos: Hello[]
}

/** When its device said so first. */
function saidAt({ hellos }: Twin, { after }: Extract<TwinEvent, { kind: 'firmware-changed' }>): number {
  return Math.min(...hellos.filter(({ firmware }) => firmware?.version === after.version).map(({ at }) => at))
}

function run(limit: number, steps: Step[]): [fed: Twin, woken: Twin] {
  const fed: Twin = { state: initialState(), events: [], hellos: [] }
  const woken: Twin = { state: initialState(), events: [], hellos: [] }
  const inbox = emptyInbox(firstWake(settings), limit)
  const feed = (input: TwinInput): void => decide(fed, fed.state.seq + 1, [input])
  const configured: TwinInput = { kind: 'configured', at: 0, settings }
  feed(configured)
  addInput(inbox, configured)
  let at = 1_000
  let lastSeen = 0
  let silentAt = 0

  for (const one of steps) {
    at++
    if (one.step === 'hello') {
      const { step: _, will, late, ...said } = one
      const isOffline = said.status === 'offline'
      const isWill = will && isOffline
      // A goodbye that comes late is dropped before; and before a silence is found, all of its time has come.
      const receivedAt = isOffline ? at : Math.max(at - late, silentAt)
      const input = { kind: 'hello' as const, at: receivedAt, ...said, ...(isWill && { will }) }
      if (!isWill) addMessage(inbox, receivedAt, true)
      addHello(inbox, input)
      feed(input)
      if (!isWill) lastSeen = Math.max(lastSeen, receivedAt)
    } else if (one.step === 'silence') {
      at += 100
      silentAt = at
      addSilence(inbox, at, lastSeen)
      feed({ kind: 'silent', at, lastSeenAt: lastSeen })
    } else if (one.step === 'seal') {
      if (!inbox.sealed && inbox.pending) seal(inbox, at)
    } else if (one.step === 'answer') {
      if (inbox.sealed) answer()
    } else {
      addMessage(inbox, at, true)
      addLife(inbox, at)
      feed({ kind: 'life', at })
      const event: TwinInput = { kind: 'event', at, name: 'e', ts: at, data: null }
      if (one.step === 'event') addInput(inbox, event)
      lastSeen = at
    }
    expect(inbox.pending?.inputs.length ?? 0).toBeLessThanOrEqual(limit + MORE)
  }
  while (inbox.sealed || inbox.pending) answer()
  return [fed, woken]

  function answer(): void {
    const { seq, batch } = inbox.sealed ?? seal(inbox, at)
    decide(woken, seq, JSON.parse(batch).inputs)
    answered(inbox, seq, wakeOf(woken.state))
  }
}

function decide(twin: Twin, seq: number, inputs: TwinInput[]): void {
  twin.hellos.push(...inputs.filter((input) => input.kind === 'hello'))
  const { state, events } = consume(twin.state, { seq, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0)
  twin.state = state
  twin.events.push(...events)
}

function changes(events: TwinEvent[]): TwinEvent[] {
  return events.filter(({ kind }) => kind === 'presence-changed')
}
