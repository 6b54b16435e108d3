/**
 * Where memory stands, and what comes into it. What was read becomes visible in one step (`add`), after all that it needs was looked up:
 * so a reader that comes in between is either before all of it or behind all of it, and its filter was asked of all of it.
 */
import type { LogEntry } from '../ingest/lane-store.ts'
import { type LogMessage, takeMessages } from '../ingest/log-reader.ts'
import type { LiveDevices } from './devices.ts'
import type { Documents } from './documents.ts'
import type { Filters } from './filters.ts'
import { decidedEvent, type Gap, isShown, type LiveEvent, readingEvent } from './live-event.ts'
import type { LogTail, TailRead } from './log-tail.ts'
import type { OutboxRow } from './ports.ts'
import { type LogPosition, positionText } from './position.ts'
import type { LiveReader } from './reader.ts'
import type { Target } from './replay.ts'
import type { Ring } from './ring.ts'

/** Attributes and routine decisions change twins without an event. */
const TRUST_TWINS_MS = 5_000
/** What is newest goes one way for all readers (documents.ts). */
const SCOPE = 0

export interface IntakeDeps {
  ring: Ring
  devices: LiveDevices
  documents: Documents
  filters: Filters
}

/** Messages of telemetry, by entry. */
export type Entries = Array<{ entry: LogEntry; messages: LogMessage[] }>

export class Intake {
  readonly #deps: IntakeDeps
  #outbox = 0
  #at = 0
  #tail: LogTail | undefined
  #ids: { events: string; full: string } | undefined

  constructor(deps: IntakeDeps) {
    this.#deps = deps
  }

  get outbox(): number {
    return this.#outbox
  }

  get tail(): LogTail | undefined {
    return this.#tail
  }

  begin(outbox: number, at: number): void {
    this.#outbox = outbox
    this.#at = at
    this.#ids = undefined
  }

  follow(tail: LogTail | undefined): void {
    this.#tail = tail
    this.#ids = undefined
  }

  clear(): void {
    this.follow(undefined)
    this.#deps.ring.clear()
    this.#deps.documents.clear()
    this.#deps.devices.clear()
  }

  /** Position behind the newest item. */
  headId(full: boolean): string {
    this.#ids ??= { events: this.#idOf(undefined), full: this.#idOf(this.#tail?.place) }
    return full ? this.#ids.full : this.#ids.events
  }

  target(): Target {
    return {
      cursor: this.#deps.ring.end,
      outbox: this.#outbox,
      log: this.#tail?.place,
      eventsId: this.headId(false),
      fullId: this.headId(true),
    }
  }

  /** Whose messages they are, and the twins that filters will be asked of. */
  async lookUp(rows: OutboxRow[], entries: Entries): Promise<void> {
    const { documents, filters, devices } = this.#deps
    const senders = entries.flatMap(({ messages }) => messages.map(({ incarnation }) => incarnation))
    await devices.load(senders)
    const isFiltered = (tenant: string | undefined) => tenant !== undefined && filters.has(tenant)
    const decided = () => rows.filter((row) => isShown(row) && isFiltered(row.tenant)).map(({ incarnation }) => incarnation)
    const speaking = () => senders.filter((incarnation) => isFiltered(devices.get(incarnation)?.tenant))
    await documents.load(SCOPE, decided(), 0)
    await documents.load(SCOPE, speaking(), TRUST_TWINS_MS)
    // Filters that came meanwhile.
    for (;;) {
      const missing = [...decided(), ...speaking()].filter((incarnation) => !documents.has(SCOPE, incarnation))
      if (missing.length === 0) return
      await documents.load(SCOPE, missing)
    }
  }

  /** Nothing in here waits. Gives the time of the oldest event that was added; Infinity: none. `at`: all before it was read. */
  add(rows: OutboxRow[], entries: Entries, read: TailRead | undefined, readers: LiveReader[], at: number): number {
    const oldest = Math.min(this.#addRows(rows, readers), this.#addEntries(entries, read?.gaps ?? [], readers))
    read?.done()
    this.#at = Math.max(this.#at, at)
    this.#ids = undefined
    this.#deps.documents.trim()
    return oldest
  }

  #addRows(rows: OutboxRow[], readers: LiveReader[]): number {
    const tenants = new Set(readers.map(({ wants }) => wants.tenant))
    let oldest = Infinity
    for (const row of rows) {
      if (row.position > this.#outbox + 1) this.#addGap({ of: 'events', from: this.#at, to: row.at }, this.#tail?.place)
      this.#outbox = row.position
      if (row.kind === 'configured') this.#deps.devices.forget(row.incarnation)
      if (!isShown(row) || !tenants.has(row.tenant)) continue
      this.#addEvent(decidedEvent(row), this.#tail?.place)
      oldest = Math.min(oldest, row.at)
    }
    return oldest
  }

  #addEntries(entries: Entries, gaps: Gap[], readers: LiveReader[]): number {
    const tenants = new Set(readers.filter(({ full }) => full).map(({ wants }) => wants.tenant))
    const place = this.#tail?.place
    if (place === undefined) return Infinity
    let oldest = Infinity
    for (const gap of gaps) this.#addGap(gap, place)
    for (const { entry, messages } of entries) {
      for (const message of messages) {
        const owner = this.#deps.devices.get(message.incarnation)
        const event = owner && tenants.has(owner.tenant) ? readingEvent(message, owner) : undefined
        if (!event) continue
        place.streams.set(entry.stream, { seq: entry.seq - 1, messages: message.index + 1 })
        this.#addEvent(event, place)
        oldest = Math.min(oldest, event.at)
      }
      place.streams.set(entry.stream, { seq: entry.seq, messages: 0 })
    }
    return oldest
  }

  #addEvent(event: LiveEvent, log: LogPosition | undefined): void {
    const { filters, documents, ring } = this.#deps
    const met = filters.has(event.tenant) ? filters.met(event.tenant, documents.apply(SCOPE, event)) : undefined
    this.#at = Math.max(this.#at, event.at)
    ring.push({ event, met, eventsId: this.#idOf(undefined), fullId: log && this.#idOf(log) })
  }

  #addGap(gap: Gap, log: LogPosition | undefined): void {
    this.#deps.ring.push({ event: undefined, gap, met: undefined, eventsId: this.#idOf(undefined), fullId: log && this.#idOf(log) })
  }

  #idOf(log: LogPosition | undefined): string {
    return positionText({ at: this.#at, outbox: this.#outbox, ...(log && { log }) })
  }
}

export function entriesOf(read: TailRead | undefined): Entries {
  return (read?.entries ?? []).map((entry) => {
    const messages: LogMessage[] = []
    takeMessages(entry, messages)
    return { entry, messages: messages.filter(({ kind }) => kind === 'telemetry') }
  })
}
