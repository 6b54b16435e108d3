/**
 * What one device's twin should know and decide: fed with every message singly, in processing order, by the simplest means. It knows
 * nothing of inboxes, seals or wake conditions. What is asked of it, and its rules, have references of their own (asked-reference.ts,
 * rule-reference.ts).
 */
import { consume } from '../../../twin-models/core/consume.ts'
import { initialState } from '../../../twin-models/core/initial.ts'
import type { TwinEvent, TwinInput, TwinSettings, TwinState } from '../../../twin-models/core/types.ts'
import type { DeviceModel } from '../../../twin-models/model.ts'
import type { AskedReference } from './asked-reference.ts'
import { type ExpectedReading, expectedParts } from './expected-decode.ts'
import { RuleReference } from './rule-reference.ts'

export interface ProcessedMessage {
  stream: number
  kind: string
  name?: string | undefined
  receivedAt: number
  connection: number | undefined
  payload: string
}

export class ReferenceTwin {
  readonly incarnation: number
  readonly asked: AskedReference
  readonly ruled = new RuleReference()
  /** Decided, by part of the twin: presence, each range, events, … The order within a part is what counts. */
  readonly decided = new Map<string, TwinEvent[]>()
  readonly telemetry = new Map<string, ExpectedReading>()
  readonly latest = new Map<string, ExpectedReading>()
  state: TwinState = initialState()
  lastSeen = 0
  /** What it runs and whether it is well by the hello that was received last, whenever it was processed. */
  readonly said = { firmware: { at: 0, version: '' }, health: { at: 0, ok: true } }
  connection: { number: number; stream: number } | null = null
  processed = 0
  /** When its own timer made the real twin offline, last. */
  backstopAt = 0
  /** Readings that were news, and device events that its inbox took: all of them are given to the real twin. And all that it was fed itself. */
  readonly given = { readings: 0, events: 0, inputs: 0 }
  readonly #seen = new Set<string>()
  /** Until its settings are known. */
  #early: TwinInput[][] | null = []

  constructor(incarnation: number, asked: AskedReference) {
    this.incarnation = incarnation
    this.asked = asked
  }

  get presenceTimeoutMs(): number {
    return this.state.settings.presenceTimeoutMs
  }

  /** Its first batch begins with these. */
  start(settings: TwinSettings, at: number): void {
    const early = this.#early ?? []
    this.#early = null
    this.feed([{ kind: 'configured', at, settings }])
    this.ruled.start({ kind: 'configured', at, settings })
    for (const inputs of early) {
      this.given.inputs -= inputs.length
      this.feed(inputs)
    }
  }

  get isStarted(): boolean {
    return this.#early === null
  }

  feed(inputs: TwinInput[]): void {
    this.given.inputs += inputs.length
    if (this.#early !== null) {
      this.#early.push(inputs)
      return
    }
    // A batch without a time of its own: only its inputs say when something was received.
    const { state, events } = consume(this.state, { seq: this.state.seq + 1, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0)
    this.state = state
    for (const event of events) {
      // What it knows of updates it has adopted: update-ledger.ts watches those.
      if (event.kind.startsWith('update-')) continue
      const part = partOf(event)
      const list = this.decided.get(part)
      if (list) list.push(event)
      else this.decided.set(part, [event])
    }
  }

  /**
   * `refused`: its inbox had no room for the device event, the report or the last word. False when there was none. `graceSince`: of its lane, as the
   * tick found it.
   */
  take(message: ProcessedMessage, model: DeviceModel, refused: boolean, graceSince: number): boolean {
    this.processed++
    const { kind, receivedAt: at, connection } = message
    if (kind === 'connect' || kind === 'disconnect') {
      this.#takeConnection(message, graceSince)
      return false
    }
    const isWill = kind === 'will'
    if (isWill && (this.connection?.number !== connection || at < this.lastSeen)) return false
    let parts = (expectedParts(message, model) ?? []).filter(({ key }) => {
      if (key === undefined) return true
      if (this.#seen.has(key)) return false
      this.#seen.add(key)
      return true
    })
    // A goodbye that was received before what is known already is old news.
    if (at < this.lastSeen) parts = parts.filter(({ hello }) => hello?.status !== 'offline')
    const news = parts.flatMap(({ readings }) => readings.filter((reading) => this.#store(reading)))
    this.given.readings += news.length
    if (!isWill) this.lastSeen = Math.max(this.lastSeen, at)
    const inputs: TwinInput[] = []
    if (!isWill && !parts.some(({ hello }) => hello)) inputs.push({ kind: 'life', at, ...idOf(parts[0]?.id) })
    for (const { name, value, ts, messageId } of news) inputs.push({ kind: 'reading', at, name, value, ts, ...idOf(messageId) })
    for (const part of parts) {
      const { id, hello, event, ending, step } = part
      if (!refused) this.given.inputs += this.asked.say(part, at) + (ending || step ? 1 : 0)
      if (hello?.firmware && at >= this.said.firmware.at) this.said.firmware = { at, version: hello.firmware.version }
      if (hello?.health && at >= this.said.health.at) this.said.health = { at, ok: hello.health.ok }
      if (hello) inputs.push({ kind: 'hello', at, ...hello, ...(isWill ? { will: true } : {}), ...idOf(id) })
      if (!event || refused) continue
      this.given.events++
      inputs.push({ kind: 'event', at, ...event, ...idOf(id) })
    }
    if (inputs.length > 0) this.feed(inputs)
    this.ruled.say(at, inputs, graceSince)
    return parts.some(({ event, report, response, ending }) => event ?? report ?? response ?? ending)
  }

  /** It knows what the real one knows now, and has decided as much. What it decided on every message it keeps. */
  adopt(state: TwinState, decided: ReadonlyMap<string, number>): void {
    this.state = { ...state, rules: {}, memory: {}, alarms: {}, maintenance: null }
    for (const part of new Set([...this.decided.keys(), ...decided.keys()])) {
      if (isOfSingles(part)) continue
      const events = this.decided.get(part) ?? []
      events.length = decided.get(part) ?? 0
      this.decided.set(part, events)
    }
  }

  #takeConnection({ kind, connection = 0, stream, receivedAt }: ProcessedMessage, graceSince: number): void {
    this.lastSeen = Math.max(this.lastSeen, receivedAt)
    this.ruled.time(receivedAt, graceSince)
    if (kind === 'disconnect') {
      if (this.connection?.number === connection) this.connection = null
      return
    }
    if (this.connection !== null && this.connection.number > connection) return
    this.connection = { number: connection, stream }
    this.feed([{ kind: 'life', at: receivedAt }])
    this.ruled.give([{ kind: 'life', at: receivedAt }])
  }

  /** Nothing was heard of it for its timeout. */
  fallSilent(at: number): void {
    const silent = { kind: 'silent' as const, at, lastSeenAt: this.lastSeen }
    this.feed([silent])
    this.ruled.give([silent])
  }

  /** Its bridge is dead, and everything of it is processed: it counts as there until now. */
  loseStream(stream: number, watermark: number): void {
    if (this.connection?.stream !== stream) return
    this.connection = null
    this.lastSeen = Math.max(this.lastSeen, watermark)
  }

  /** True when it is news: later than every earlier reading of its property. */
  #store(reading: ExpectedReading): boolean {
    const key = `${reading.name} ${reading.ts}`
    const same = this.telemetry.get(key)
    if (same === undefined || isLater(reading, same)) this.telemetry.set(key, reading)
    const before = this.latest.get(reading.name)
    if (before === undefined || isLater(reading, before)) this.latest.set(reading.name, reading)
    return before === undefined || reading.ts > before.ts
  }
}

/** Parts that are decided on inputs which are never merged. */
export function isOfSingles(part: string): boolean {
  return part === 'device-event' || part === 'configured'
}

export function partOf(event: { kind: string; name?: string }): string {
  if (event.kind === 'presence-changed') return 'presence'
  return event.kind === 'range-changed' ? `range of ${event.name}` : event.kind
}

function isLater(a: ExpectedReading, b: ExpectedReading): boolean {
  if (a.ts !== b.ts) return a.ts > b.ts
  if (a.receivedAt !== b.receivedAt) return a.receivedAt > b.receivedAt
  return (a.messageId ?? '') > (b.messageId ?? '')
}

function idOf(messageId: string | undefined): { messageId?: string } {
  return messageId === undefined ? {} : { messageId }
}
