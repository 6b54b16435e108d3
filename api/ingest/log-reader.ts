/**
 * Reads the ingest log for the lanes that this processor owns, without gaps (docs/architecture.md §3.4), and computes how far time has
 * come in it: the watermark, before which everything that any bridge accepted is processed (§3.7).
 */
import { FINISHED, type Lane, type LaneStore, type LogEntry } from './lane-store.ts'
import { HEARTBEAT_LANE, type Head, type Message } from './log.ts'

/**
 * Bytes that one read aims at. A tick that took long reads less the next time: on a machine that is busy with other things it would else
 * outlast its transaction's time, for ever with the same batch.
 */
const READ_BYTES = { first: 1024 * 1024, least: 32 * 1024, most: 4 * 1024 * 1024 } as const
const TICK_MS = { quick: 300, slow: 1_000 } as const
const ENTRIES = { first: 200, least: 20, most: 3_000 } as const
/** A watermark that jumps so far went over a time in which nothing was accepted: an outage of ours, not of the devices. */
export const OUTAGE_MS = 10_000

export interface LogMessage extends Message {
  stream: number
  /** Entry, and place in it. */
  seq: number
  index: number
}

export interface Read {
  messages: LogMessage[]
  entries: number
  /** The lanes as they stand once these messages are processed. */
  lanes: Lane[]
  /** Streams of dead bridges that are read to their end now. */
  finished: number[]
  /** The log goes on: read again at once. */
  more: boolean
  /** Accept time of the oldest entry, for the lag. Null when there was none. */
  oldest: number | null
  /** Accept time of the last entry read, per stream that is not finished. */
  streamAt: Map<number, number>
}

export class LogReader {
  readonly #store: LaneStore
  #readBytes: number = READ_BYTES.first
  #entryBytes = READ_BYTES.first / ENTRIES.first
  #streamAt = new Map<number, number>()

  constructor(store: LaneStore) {
    this.#store = store
  }

  async read(lanes: Lane[]): Promise<Read> {
    const next = lanes.map((lane) => ({ ...lane, cursors: { ...lane.cursors } }))
    const read: Read = { messages: [], entries: 0, lanes: next, finished: [], more: false, oldest: null, streamAt: new Map() }
    const streams = await this.#store.streams()
    forgetStreams(next, new Set(streams.map(({ stream }) => String(stream))))
    const open = streams.filter(({ stream }) => lanes.some((lane) => lane.cursors[stream] !== FINISHED))
    for (const { stream, closed } of open) {
      const at = await this.#readStream(stream, closed, read)
      if (!read.finished.includes(stream)) read.streamAt.set(stream, at ?? this.#streamAt.get(stream) ?? 0)
    }
    moveWatermarks(read, this.#streamAt)
    return read
  }

  /** The transaction that the read belongs to is committed, so long after it began. */
  committed(read: Read, tookMs: number): void {
    this.#streamAt = read.streamAt
    if (tookMs > TICK_MS.slow) this.failed()
    else if (read.more && tookMs < TICK_MS.quick) this.#readBytes = Math.min(READ_BYTES.most, this.#readBytes * 1.5)
  }

  /** It was not committed, perhaps because it was too much. */
  failed(): void {
    this.#readBytes = Math.max(READ_BYTES.least, this.#readBytes / 2)
  }

  /** Accept time of the last entry read. */
  async #readStream(stream: number, closed: boolean, read: Read): Promise<number | undefined> {
    const lanes = read.lanes.filter((lane) => lane.cursors[stream] !== FINISHED)
    const after = Math.min(...lanes.map((lane) => lane.cursors[stream] ?? 0))
    const limit = Math.min(ENTRIES.most, Math.max(ENTRIES.least, Math.floor(this.#readBytes / this.#entryBytes)))
    const numbers = lanes.map((lane) => lane.lane)
    const entries = await this.#store.read(stream, after, numbers, limit)
    const last = entries[entries.length - 1]
    const laneOf = new Map(lanes.map((lane) => [lane.lane, lane]))
    for (const entry of entries) if (entry.seq > (laneOf.get(entry.lane)?.cursors[stream] ?? 0)) take(entry, read)
    if (last !== undefined) {
      // Every lane moves with the range that was scanned, quiet ones too, else retention would wait for them for ever.
      for (const lane of lanes) lane.cursors[stream] = Math.max(lane.cursors[stream] ?? 0, last.seq)
      const bytes = entries.reduce((sum, entry) => sum + entry.body.length + entry.heads.length, 0)
      this.#entryBytes = Math.max(1, (this.#entryBytes + bytes / entries.length) / 2)
    }
    if (entries.length === limit) read.more = true
    else if (closed) {
      for (const lane of lanes) lane.cursors[stream] = FINISHED
      read.finished.push(stream)
    }
    return last?.at
  }
}

/** Streams that were read to their end and that retention has deleted since. */
function forgetStreams(lanes: Lane[], known: ReadonlySet<string>): void {
  for (const { cursors } of lanes) {
    for (const stream of Object.keys(cursors)) if (cursors[stream] === FINISHED && !known.has(stream)) delete cursors[stream]
  }
}

function take(entry: LogEntry, read: Read): void {
  read.entries++
  if (read.oldest === null || entry.at < read.oldest) read.oldest = entry.at
  takeMessages(entry, read.messages)
}

/** Its messages, in order. A heartbeat has none. */
export function takeMessages(entry: LogEntry, into: LogMessage[]): void {
  if (entry.lane === HEARTBEAT_LANE) return
  let offset = 0
  let index = 0
  for (const [incarnation, kind, receivedAt, length, name, connection, id, contentType, trace, size] of JSON.parse(entry.heads) as Head[]) {
    const message: LogMessage = {
      incarnation,
      kind,
      receivedAt,
      payload: entry.body.subarray(offset, offset + length),
      size: size ?? length,
      stream: entry.stream,
      seq: entry.seq,
      index: index++,
    }
    if (name != null) message.name = name
    if (connection != null) message.connection = connection
    if (id != null) message.id = id
    if (contentType != null) message.contentType = contentType
    if (trace != null) message.trace = trace
    into.push(message)
    offset += length
  }
}

/**
 * The watermark is where the slowest stream was at the read before: a stream that was opened while this read was under way is not among
 * those that it asked for, and may hold what is older than the newest entries of the others; it is newer than all that was read before.
 * While no bridge accepts anything, or nothing is processed, the watermark stands still.
 */
function moveWatermarks({ lanes, streamAt }: Read, before: ReadonlyMap<number, number>): void {
  if (streamAt.size === 0) return
  let watermark = Infinity
  for (const [stream, at] of streamAt) watermark = Math.min(watermark, at, before.get(stream) ?? 0)
  for (const lane of lanes) {
    if (watermark <= lane.watermark) continue
    if (watermark - lane.watermark > OUTAGE_MS) lane.graceSince = watermark
    lane.watermark = watermark
  }
}
