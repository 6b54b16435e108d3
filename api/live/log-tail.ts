/**
 * The newest entries of the ingest log, of all its streams, each in order and without gaps (docs/architecture.md §3.4). It reads for
 * itself, beside the processors: what it costs is reads, and only while somebody wants readings.
 */
import type { LogEntry } from '../ingest/lane-store.ts'
import type { Gap } from './live-event.ts'
import type { LiveStore } from './ports.ts'
import type { LogPosition } from './position.ts'

const READ_BYTES = 1024 * 1024
const ENTRIES = { first: 200, least: 20, most: 2_000 } as const
/** A bridge that is new is noticed so late. */
const STREAMS_MS = 250

interface Cursor {
  seq: number
  /** Of that entry; 0 before the first. */
  at: number
  closed: boolean
}

export interface TailRead {
  entries: LogEntry[]
  gaps: Gap[]
  /** There is more: read again at once. */
  more: boolean
  /** The place behind what was read becomes that of the tail. */
  done(): void
}

export class LogTail {
  readonly #store: LiveStore
  #cursors = new Map<number, Cursor>()
  /** Read to their end, and above the floor: to which entry. */
  #finished = new Map<number, number>()
  #floor = 0
  #streamsAt = 0
  #entryBytes = READ_BYTES / ENTRIES.first

  private constructor(store: LiveStore) {
    this.#store = store
  }

  /** Begins behind all that is there. */
  static async begin(store: LiveStore): Promise<LogTail> {
    const tail = new LogTail(store)
    const streams = await store.streams()
    const ends = await store.lastEntries(streams.map(({ stream }) => stream))
    for (const { stream, closed } of streams) {
      if (closed) tail.#finished.set(stream, ends.get(stream) ?? 0)
      else tail.#cursors.set(stream, { seq: ends.get(stream) ?? 0, at: 0, closed })
    }
    tail.#raiseFloor(streams)
    return tail
  }

  /** Of each stream it has come so far, or there is no more. */
  hasReached({ streams }: LogPosition): boolean {
    return [...streams].every(([stream, { seq, messages }]) => {
      const cursor = this.#cursors.get(stream)
      if (cursor) return cursor.seq >= (messages > 0 ? seq + 1 : seq)
      return stream <= this.#floor || this.#finished.has(stream)
    })
  }

  get place(): LogPosition {
    const streams = new Map([...this.#finished].map(([stream, seq]) => [stream, { seq, messages: 0 }]))
    for (const [stream, { seq }] of this.#cursors) streams.set(stream, { seq, messages: 0 })
    return { floor: this.#floor, streams }
  }

  async read(now: number): Promise<TailRead> {
    if (performance.now() >= this.#streamsAt) await this.#lookForStreams()
    const asked = [...this.#cursors].map(([stream, { seq, at, closed }]) => ({ stream, after: seq, at, closed }))
    const limit = Math.min(ENTRIES.most, Math.max(ENTRIES.least, Math.floor(READ_BYTES / this.#entryBytes)))
    const entries = asked.length === 0 ? [] : await this.#store.entries(asked, limit)
    const read: TailRead = { entries, gaps: [], more: false, done: () => {} }
    const next = new Map<number, Cursor | number>()
    for (const { stream, after, at, closed } of asked) {
      const own = entries.filter((entry) => entry.stream === stream)
      const last = own.at(-1)
      if (own[0] && own[0].seq > after + 1) read.gaps.push({ of: 'readings', from: at || now, to: own[0].at })
      if (own.length === limit) read.more = true
      if (closed && own.length < limit) next.set(stream, last?.seq ?? after)
      else if (last) next.set(stream, { seq: last.seq, at: last.at, closed })
    }
    if (entries.length > 0) {
      const bytes = entries.reduce((sum, { heads, body }) => sum + heads.length + body.length, 0)
      this.#entryBytes = Math.max(1, (this.#entryBytes + bytes / entries.length) / 2)
    }
    read.done = () => {
      for (const [stream, cursor] of next) {
        if (typeof cursor !== 'number') this.#cursors.set(stream, { ...cursor, closed: this.#cursors.get(stream)?.closed ?? cursor.closed })
        else {
          this.#cursors.delete(stream)
          if (stream > this.#floor) this.#finished.set(stream, cursor)
        }
      }
    }
    return read
  }

  /** New ones are read from their first entry. */
  async #lookForStreams(): Promise<void> {
    const streams = await this.#store.streams()
    for (const { stream, closed } of streams) {
      const cursor = this.#cursors.get(stream)
      if (cursor) cursor.closed = closed
      else if (stream > this.#floor && !this.#finished.has(stream)) this.#cursors.set(stream, { seq: 0, at: 0, closed })
    }
    this.#raiseFloor(streams)
    this.#streamsAt = performance.now() + STREAMS_MS
  }

  /** Below it no stream can turn up any more. */
  #raiseFloor(streams: Array<{ stream: number; settled: boolean }>): void {
    for (const { stream, settled } of streams) if (settled && stream > this.#floor) this.#floor = stream
    for (const stream of this.#finished.keys()) if (stream <= this.#floor) this.#finished.delete(stream)
  }
}
