/**
 * Events that wait for the first attempt of one endpoint, by position: a bounded number of them here, the rest in Postgres until there is room.
 */
import type { EventRow, WantedEvent } from './ports.ts'

/** Bytes are those of the events. */
const MOST_QUEUED = 500
const MOST_BYTES = 4_000_000
/** Positions looked through at a time, wanted or not. */
const SPAN = 5_000

/** What the endpoint wants of (after, upTo], all of it up to `readTo`. */
export type ReadWanted = (after: number, upTo: number) => Promise<{ wanted: WantedEvent[]; readTo: number }>

export class Waiting {
  readonly #queue: EventRow[] = []
  readonly #read: ReadWanted
  #bytes = 0
  /** All wanted events up to it were queued. */
  #readTo: number
  /** Newest position that was fanned out. */
  #end: number
  #isReading = false

  /** `position`: nothing up to it waits. */
  constructor(position: number, read: ReadWanted) {
    this.#readTo = position
    this.#end = position
    this.#read = read
  }

  /** In memory. */
  get length(): number {
    return this.#queue.length
  }

  at(index: number): EventRow {
    return this.#queue[index]!
  }

  /** Nothing up to it waits, here or in Postgres. */
  get position(): number {
    return Math.min(this.#readTo, (this.#queue[0]?.position ?? Infinity) - 1)
  }

  get last(): number {
    return this.#queue.at(-1)?.position ?? 0
  }

  /** Half of what may wait here has gone, and Postgres has more. */
  get wantsMore(): boolean {
    return !this.#isReading && this.#queue.length < MOST_QUEUED / 2 && this.#bytes < MOST_BYTES && this.#readTo < this.#end
  }

  /** (from, end] was fanned out, and these of it are for this endpoint. What finds no room is read later. */
  offer(rows: EventRow[], from: number, end: number): void {
    this.#end = Math.max(this.#end, end)
    const hasRoom = this.#queue.length + rows.length <= MOST_QUEUED && this.#bytes < MOST_BYTES
    if (this.#isReading || this.#readTo < from || !hasRoom) return
    for (const row of rows) if (row.position > this.#readTo) this.#add(row)
    this.#readTo = Math.max(this.#readTo, end)
  }

  take(index: number): EventRow {
    const [row] = this.#queue.splice(index, 1) as [EventRow]
    this.#bytes -= row.event.length
    return row
  }

  /** Some more from Postgres. Gives how many of them are no longer kept. */
  async readOn(): Promise<number> {
    this.#isReading = true
    try {
      const { wanted, readTo } = await this.#read(this.#readTo, Math.min(this.#end, this.#readTo + SPAN))
      for (const { row } of wanted) if (row) this.#add(row)
      this.#readTo = readTo
      return wanted.filter(({ row }) => row === null).length
    } finally {
      this.#isReading = false
    }
  }

  #add(row: EventRow): void {
    this.#queue.push(row)
    this.#bytes += row.event.length
  }
}
