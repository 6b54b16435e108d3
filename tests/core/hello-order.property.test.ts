/**
 * Two bridges tell of a device in whatever order: what a hello says of firmware and health counts by when it was received, so a twin ends as one
 * that was told in order, and so does its update.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { consume, consumeOwn } from '../../twin-models/core/consume.ts'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { addHello, addInput, addMessage, addUpdateStep, answered, emptyInbox, presenceAfter, seal } from '../../twin-models/core/inbox.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { Batch, Firmware, Health, TwinInput, TwinSettings, TwinState, UpdateRequest } from '../../twin-models/core/types.ts'
import { firstWake, wakeOf } from '../../twin-models/core/wake.ts'
import { updateRequest } from '../support/asked-twin.ts'
import { NEW, OLD } from '../support/updating-twin.ts'

const SETTINGS: TwinSettings = { model: 'm', modelVersion: '1', presenceTimeoutMs: 60_000, ranges: {} }
const BEGIN = 1_000
/** What was received so much earlier may be told of after. */
const DISORDER_MS = 50

type Words = { status: 'online' | 'offline'; will?: true; firmware?: Firmware; health?: Health }
type Hello = Extract<TwinInput, { kind: 'hello' }>
/** An input, when it is told of, and what becomes of the inbox afterwards. */
interface Told {
  input: Hello | Extract<TwinInput, { kind: 'update-step' }>
  toldAt: number
  turn: Turn
}
type Turn = 'none' | 'seal' | 'answer' | 'reload'

const turn = fc.constantFrom<Turn>('none', 'none', 'none', 'seal', 'answer', 'answer', 'reload')
const lateMs = fc.oneof(fc.constant(0), fc.nat(DISORDER_MS))
/** A device tells the hash of a version always, or never. */
const firmware = fc.constantFrom<Firmware>(OLD, NEW, { version: '2', sha256: 'other' }, { version: '3' })
const health = fc.record(
  { ok: fc.boolean(), battery: fc.nat(100), errors: fc.constant<string[]>(['fan']) },
  { requiredKeys: ['ok'], noNullPrototype: true },
)
const words: fc.Arbitrary<Words> = fc
  .record(
    { how: fc.constantFrom('online', 'online', 'online', 'goodbye', 'will'), firmware, health },
    { requiredKeys: ['how'], noNullPrototype: true },
  )
  .map(({ how, ...said }) => ({
    status: how === 'online' ? 'online' : 'offline',
    ...(how === 'will' && { will: true as const }),
    ...said,
  }))

test('firmware and health are those of the hello that was received last, whichever is told of last', () => {
  const hello = fc.record({ gapMs: fc.integer({ min: 1, max: 20 }), words, lateMs, turn })
  fc.assert(
    fc.property(fc.constantFrom(1, 3, 2_000), fc.array(hello, { maxLength: 40, size: 'max' }), turn, (limit, hellos, last) => {
      let at = BEGIN
      const told = hellos.map(({ gapMs, words, lateMs, turn }): Told => {
        at += gapMs
        // A goodbye that is told of after what was received later is left out before.
        return { input: { kind: 'hello', at, ...words }, toldAt: words.status === 'offline' ? at : at + lateMs, turn }
      })
      const inOrder = new Twin(limit).take(told)
      const disordered = new Twin(limit).take(told.toSorted(byTime))
      if (last === 'reload') disordered.reload()
      expect(said(disordered.state)).toEqual(said(inOrder.state))
      expect(said(disordered.state)).toEqual(lastSaid(told))
    }),
    { numRuns: 2_000 },
  )
})

/** What it runs and how it is, for a while: said at once, and repeated. Of the repetitions some are told of late. */
const phase = fc.record({
  says: fc.record({ firmware: fc.constantFrom<Firmware>(OLD, NEW, NEW), health: fc.record({ ok: fc.constantFrom(true, true, false) }) }),
  isHere: fc.constantFrom<Words['status']>('online', 'online', 'online', 'offline'),
  step: fc.option(fc.constantFrom('installing' as const, 'rebooting' as const)),
  again: fc.array(
    fc.record({ gapMs: fc.integer({ min: 1, max: 20 }), says: fc.constantFrom('firmware', 'health', 'both', 'none'), lateMs, turn }),
    {
      maxLength: 5,
    },
  ),
  turn,
})

test('an update ends as it would in order, where what a device says several times is told of out of order', () => {
  const ends = new Map<string, number>()
  fc.assert(
    fc.property(fc.array(phase, { minLength: 1, maxLength: 8 }), fc.constantFrom(0, 30, 10_000), (phases, soakMs) => {
      const told: Told[] = []
      let at = BEGIN + 10
      for (const { says, isHere, step, again, turn } of phases) {
        at += 10
        if (step) told.push({ input: { kind: 'update-step', at, id: 'u', status: step }, toldAt: at, turn: 'none' })
        told.push({ input: { kind: 'hello', at, status: isHere, ...says }, toldAt: at, turn })
        for (const { gapMs, says: what, lateMs, turn } of isHere === 'online' ? again : []) {
          at += gapMs
          const repeated = {
            ...((what === 'firmware' || what === 'both') && { firmware: says.firmware }),
            ...((what === 'health' || what === 'both') && { health: says.health }),
          }
          told.push({ input: { kind: 'hello', at, status: 'online', ...repeated }, toldAt: at + lateMs, turn })
        }
      }
      const update = updateRequest('u', { offerUntil: 1_000_000, installMs: 100_000, soakMs, silenceMs: 100_000 })
      const inOrder = new Twin(2_000).ask(update).take(told)
      const disordered = new Twin(2_000).ask(update).take(told.toSorted(byTime))
      expect(said(disordered.state)).toEqual(said(inOrder.state))
      expect(disordered.end()).toEqual(inOrder.end())
      const [end = ''] = inOrder.ends
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }),
    { numRuns: 2_000 },
  )
  // It must come to these to show anything.
  expect([...ends.keys()]).toEqual(expect.arrayContaining(['healthy ', 'failed unhealthy', 'rolled-back returned', 'timed-out too-slow']))
})

/** With its inbox; its device runs the old firmware and is well. */
class Twin {
  state: TwinState = initialState()
  readonly ends: string[] = []
  readonly #inbox
  /** Of its update, the last. */
  #word = 'downloading'

  constructor(limit: number) {
    this.#inbox = emptyInbox(firstWake(SETTINGS), limit)
    addInput(this.#inbox, { kind: 'configured', at: BEGIN, settings: SETTINGS })
    addHello(this.#inbox, { kind: 'hello', at: BEGIN, status: 'online', firmware: OLD, health: { ok: true } })
    this.settle()
  }

  ask(update: UpdateRequest): this {
    addInput(this.#inbox, { kind: 'update', at: BEGIN + 1, request: 'r', update })
    this.settle()
    return this
  }

  take(told: Told[]): this {
    for (const { input, turn } of told) {
      if (input.kind === 'update-step') {
        addUpdateStep(this.#inbox, input)
        this.#word = input.status
      } else {
        if (!input.will) addMessage(this.#inbox, input.at, true)
        addHello(this.#inbox, input)
      }
      if (turn === 'seal' && !this.#inbox.sealed && this.#inbox.pending) seal(this.#inbox, 0)
      if (turn === 'answer') this.answer()
      if (turn === 'reload') this.reload()
    }
    this.settle()
    return this
  }

  answer(): void {
    const { sealed, pending } = this.#inbox
    if (!sealed && !pending) return
    const { seq, batch } = sealed ?? seal(this.#inbox, 0)
    this.#note(consume(this.state, { seq, batch: JSON.parse(batch) }, 0))
    answered(this.#inbox, seq, JSON.parse(JSON.stringify(wakeOf(this.state))))
  }

  /** Another processor goes on from what stands in the row. */
  reload(): void {
    const { sealed, pending, wake } = this.#inbox
    const inputs = sealed === null ? [] : (JSON.parse(sealed.batch) as Batch).inputs
    Object.assign(this.#inbox, presenceAfter([...inputs, ...(pending?.inputs ?? [])], wake))
  }

  settle(): void {
    while (this.#inbox.sealed || this.#inbox.pending) this.answer()
  }

  /** Time goes on, and nothing else happens: its device was told of it at once. */
  end(): string[] {
    for (let at = nextDeadline(this.state); at !== undefined; at = nextDeadline(this.state)) {
      const told = { id: 'u', sentAt: BEGIN + 2, status: this.#word, presence: this.state.presence.status }
      this.#note(consumeOwn(this.state, { kind: 'due', at, sent: [], update: told }, at))
    }
    return this.ends
  }

  #note({ state, events }: ReturnType<typeof consume>): void {
    this.state = JSON.parse(JSON.stringify(state))
    for (const event of events) if (event.kind === 'update-ended') this.ends.push(`${event.status} ${event.code ?? ''}`)
  }
}

function byTime(a: Told, b: Told): number {
  return a.toldAt - b.toldAt || a.input.at - b.input.at
}

function said({ firmware, health }: Pick<TwinState, 'firmware' | 'health'>): Pick<TwinState, 'firmware' | 'health'> {
  return { firmware, health }
}

function lastSaid(told: Told[]): Pick<TwinState, 'firmware' | 'health'> {
  const hellos = told.map(({ input }) => input).filter((input) => input.kind === 'hello')
  return {
    firmware: hellos.findLast(({ firmware }) => firmware)?.firmware ?? OLD,
    health: hellos.findLast(({ health }) => health)?.health ?? { ok: true },
  }
}
