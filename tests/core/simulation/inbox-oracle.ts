/**
 * Watches that inboxes lose nothing: every reading that is news and every device event is given to the twin once, singly or merged,
 * and no more waits singly than the limit allows. A device event, a report or a last word beyond it is a dead letter instead.
 */
import type { InboxChange, TickChanges } from '../../../api/ingest/lane-store.ts'
import { isFeature } from '../../../twin-models/core/features.ts'
import type { Pending } from '../../../twin-models/core/inbox.ts'
import type { Batch, TwinInput } from '../../../twin-models/core/types.ts'
import type { ReferenceTwin } from './reference-twin.ts'
import type { World } from './world.ts'

interface Received {
  incarnation: number
  receivedAt: number
  payload: string
}

export class InboxOracle {
  readonly counts = { fullInboxes: 0, refusedEvents: 0 }
  /** Devices of which something may have been merged that one fed singly decides on. */
  readonly full = new Set<number>()
  readonly #world: World
  readonly #limit: number
  readonly #before = new Map<number, typeof NOTHING>()
  /** Messages of which this tick refuses something: how many by device, time and payload. */
  readonly #letters = new Map<string, number>()
  readonly #refusing = new Set<number>()

  constructor(world: World, limit: number) {
    this.#world = world
    this.#limit = limit
  }

  begin({ deadLetters }: TickChanges): void {
    if (this.#letters.size > 0) this.#world.fail('a dead letter is of a message that was processed', [...this.#letters.keys()].join())
    this.#refusing.clear()
    for (const { reason, incarnation, at, raw } of deadLetters) {
      if (reason !== 'inbox-full') continue
      const key = keyOf({ incarnation, receivedAt: at, payload: Buffer.from(raw).toString() })
      this.#letters.set(key, (this.#letters.get(key) ?? 0) + 1)
    }
  }

  /** The inbox had no room for the event, the report or the last word of this message. */
  refuses(message: Received): boolean {
    const key = keyOf(message)
    const letters = this.#letters.get(key)
    if (letters === undefined) return false
    if (letters === 1) this.#letters.delete(key)
    else this.#letters.set(key, letters - 1)
    this.counts.refusedEvents++
    this.#refusing.add(message.incarnation)
    return true
  }

  /** A row as it is to be written, after all messages of its tick. */
  take(twin: ReferenceTwin, { incarnation, pending: text, sealed, sealedSeq }: InboxChange, isSealed: boolean): void {
    const pending: Pending | null = text === null ? null : JSON.parse(text)
    const batch: Batch | null = isSealed ? JSON.parse(sealed!) : null
    const waiting = [...(batch?.inputs ?? []), ...(pending?.inputs ?? [])]
    // The settings that every first batch begins with come when it is sealed.
    const limit = this.#limit + (batch && sealedSeq === 1 ? 1 : 0) + begunIn(waiting)
    if (waiting.slice(limit).some(isBounded))
      this.#world.fail('an inbox is bounded', `device ${incarnation}: ${waiting.length} inputs, ${text}`)
    const before = this.#before.get(incarnation) ?? NOTHING
    // At most as many waited at any moment of the tick: what waited, what its messages said, a sign of life that an answer recalls, and a tick.
    const most = before.waiting + twin.given.inputs + twin.ruled.given - before.inputs + 2
    this.#noteFull(incarnation, most)
    const given = {
      readings: before.readings + readingsOf(batch?.inputs) + countOf(batch?.merged, ({ count }) => count),
      events: before.events + eventsOf(batch?.inputs),
    }
    this.#before.set(incarnation, { ...given, waiting: pending?.inputs.length ?? 0, inputs: twin.given.inputs + twin.ruled.given })
    this.#compare(twin, given, pending)
  }

  #noteFull(incarnation: number, most: number): void {
    if (most < this.#limit) {
      if (this.#refusing.has(incarnation))
        this.#world.fail('only a full inbox refuses', `device ${incarnation}: ${most} inputs, limit ${this.#limit}`)
      return
    }
    if (!this.full.has(incarnation)) this.counts.fullInboxes++
    this.full.add(incarnation)
  }

  #compare({ incarnation, given }: ReferenceTwin, sealed: { readings: number; events: number }, pending: Pending | null): void {
    const readings = sealed.readings + readingsOf(pending?.inputs) + countOf(pending?.merged, ([count]) => count)
    const events = sealed.events + eventsOf(pending?.inputs)
    if (readings === given.readings && events === given.events) return
    const counted = `${readings} readings and ${events} events, expected ${given.readings} and ${given.events}`
    this.#world.fail('each reading and event is given to the twin once', `device ${incarnation}: ${counted}`)
  }
}

/** Given to a twin in seals; what waited singly after its last tick, and all that its reference was fed by then. */
const NOTHING = { readings: 0, events: 0, waiting: 0, inputs: 0 }

function keyOf({ incarnation, receivedAt, payload }: Received): string {
  return `${incarnation} ${receivedAt} ${payload}`
}

/** Others are few, or needed whatever waits. */
function isBounded({ kind }: TwinInput): boolean {
  return kind === 'event' || kind === 'reading'
}

/** Not functions of readings, which rule-reference.ts computes, too. */
function readingsOf(inputs: TwinInput[] = []): number {
  return inputs.filter((input) => input.kind === 'reading' && !isFeature(input.name)).length
}

/** What rules of a first batch compare, as it begins: these are few. */
function begunIn(inputs: TwinInput[]): number {
  const rules = inputs.findIndex(({ kind }) => kind === 'rules')
  return inputs.slice(0, Math.max(0, rules)).filter((input) => input.kind === 'reading' && isFeature(input.name)).length
}

function eventsOf(inputs: TwinInput[] = []): number {
  return inputs.filter(({ kind }) => kind === 'event').length
}

function countOf<T>(merged: { [name: string]: T } = {}, count: (entry: T) => number): number {
  return Object.entries(merged).reduce((sum, [name, entry]) => sum + (isFeature(name) ? 0 : count(entry)), 0)
}
