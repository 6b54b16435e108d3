/**
 * The newest events, once for all readers: each reader only has a place in it. A reader whose place was pushed out reads on from Postgres,
 * so a thousand that are stuck cost no memory, and nothing is thinned. Numbers are those of this process and never fall.
 */
import type { LiveFilter } from './filters.ts'
import { eventText, type Gap, gapText, type LiveEvent } from './live-event.ts'

export interface RingItem {
  /** Undefined: a gap, for everybody whom it concerns. */
  event: LiveEvent | undefined
  gap?: Gap
  /** Filters of its tenant that it met. */
  met: ReadonlySet<LiveFilter> | undefined
  /** Position after it: of who reads events only, and of who reads readings, too (undefined while nobody does). */
  eventsId: string
  fullId: string | undefined
  eventsBytes?: Buffer
  fullBytes?: Buffer
}

export interface RingLimits {
  bytes: number
  items: number
}

export const RING_LIMITS: RingLimits = { bytes: 32 * 2 ** 20, items: 100_000 }
/** Both texts of it, and the objects around them. */
const OVERHEAD_BYTES = 600

export class Ring {
  readonly #limits: RingLimits
  #items: RingItem[] = []
  #first = 0
  #bytes = 0

  constructor(limits: RingLimits = RING_LIMITS) {
    this.#limits = limits
  }

  /** Number of the oldest item that is there. */
  get first(): number {
    return this.#first
  }

  /** Number of the next item. */
  get end(): number {
    return this.#first + this.#items.length
  }

  at(number: number): RingItem {
    return this.#items[number - this.#first]!
  }

  push(item: RingItem): void {
    this.#items.push(item)
    this.#bytes += bytesOf(item)
    if (this.#bytes > this.#limits.bytes || this.#items.length > this.#limits.items) this.#shrink()
  }

  clear(): void {
    this.#first = this.end
    this.#items = []
    this.#bytes = 0
  }

  /** A tenth at once, since taking from the front moves all the rest. */
  #shrink(): void {
    const { bytes, items } = this.#limits
    let gone = 0
    while (gone < this.#items.length && (this.#bytes > bytes * 0.9 || this.#items.length - gone > items * 0.9)) {
      this.#bytes -= bytesOf(this.#items[gone]!)
      gone++
    }
    this.#items.splice(0, gone)
    this.#first += gone
  }
}

function bytesOf({ event }: RingItem): number {
  return (event?.json.length ?? 0) * 3 + OVERHEAD_BYTES
}

/** The bytes are made once for all readers. */
export function bytesFor(item: RingItem, full: boolean): Buffer {
  if (full) {
    item.fullBytes ??= Buffer.from(textOf(item, item.fullId!))
    return item.fullBytes
  }
  item.eventsBytes ??= Buffer.from(textOf(item, item.eventsId))
  return item.eventsBytes
}

function textOf({ event, gap }: RingItem, id: string): string {
  return event ? eventText(event.type, event.json, id) : gapText(gap!, id)
}
