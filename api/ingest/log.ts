/**
 * The ingest log: the durable, ordered store of accepted messages, and the form of its entries.
 *
 * A bridge appends, a processor reads. One entry holds the messages of one lane in one group commit (docs/architecture.md §3.4);
 * its key is (stream, seq). An entry of lane HEARTBEAT_LANE holds no messages: it says that the bridge lived at `at`.
 */

import type { CastorError } from '../../twin-models/errors.ts'

export const LANES = 16
export const HEARTBEAT_LANE = -1
/** No bridge's: streams are numbered from 1. */
export const NO_STREAM = 0

/** The lane of a device. Never changes: lanes are a fixed number, incarnations are never reused. */
export function laneOf(incarnation: number): number {
  return incarnation % LANES
}

/**
 * What a message is. `event` names it in `name`; `response` has the id of the command there, `update` that of the update. `get` asks for what is pending: to the processor
 * a sign of life. `unknown` came on a topic of the device's own that means nothing (its `name` is the
 * topic below castor/v1/{tenant}/{device}/): a dead letter. connect and disconnect are written by the bridge itself; a connect with the
 * number of a connection that is already known says that it lives on, in a new stream.
 */
export type MessageKind =
  | 'telemetry'
  | 'event'
  | 'presence'
  | 'will'
  | 'reported'
  | 'response'
  | 'update'
  | 'get'
  | 'connect'
  | 'disconnect'
  | 'unknown'

/**
 * One accepted message. `payload` is what the device sent, untouched; over 256 kB only its first 4 kB, `size` says how long it was.
 * `receivedAt` never falls along a stream: the writer raises it where the clock stepped back.
 */
export interface Message {
  incarnation: number
  kind: MessageKind
  receivedAt: number
  payload: Uint8Array
  /** Whole size in bytes; differs from payload.length only when it was cut. */
  size: number
  /** Device event name, or id of the command or update; of an unknown topic its part below the device. */
  name?: string
  /** Number of the MQTT connection that it came over; absent for HTTP. */
  connection?: number
  /** Message-Id header of HTTP. */
  id?: string
  /** Content type, where it is not JSON by the topic (HTTP, telemetry/senml). */
  contentType?: string
  /** W3C traceparent, for sampled messages. */
  trace?: string
}

/** A message's head as it stands in an entry: short, because there are thirty thousand a second. Trailing absent fields are left out. */
export type Head = [
  incarnation: number,
  kind: MessageKind,
  receivedAt: number,
  length: number,
  name?: string | null,
  connection?: number | null,
  id?: string | null,
  contentType?: string | null,
  trace?: string | null,
  size?: number | null,
]

/** The bridge's side. Conformance: tests/conformance/ingest-log.ts. */
export interface IngestLogWriter {
  /** Resolves when the message is durable. Rejects with CastorError `too-many-requests` or `unavailable` when it is not and will not be. */
  append(message: Message): Promise<void>
  /** The same without a promise, for thirty thousand a second. `done` is called in the order of the pushes, never from within push. */
  push(message: Message, done: Done): void
  /** Writes what waits and closes the stream. What is not written by `deadlineMs` from now is rejected. */
  close(deadlineMs?: number): Promise<void>
}

export type Done = (error?: CastorError) => void

/**
 * The entries of one group commit, as columns: entry i has the number seq + i, lanes[i], heads[i], and the next lengths[i] bytes of
 * body. All share `at`, which is not before the receipt of anything in it, and not after that of anything later.
 */
export interface Commit {
  stream: number
  seq: number
  at: number
  lanes: number[]
  heads: string[]
  lengths: number[]
  body: Buffer
}

/** What the writer (writer.ts) needs of the store behind it. */
export interface IngestLogStore {
  /** Opens a stream: one run of one bridge as a writer. */
  open(): Promise<number>
  /**
   * All of the commit or nothing. The same commit may come again after a throw, which may mean anything: it is then written once.
   * `closed`: somebody closed the stream, and the commit is not in it.
   */
  write(commit: Commit): Promise<'written' | 'closed'>
  /** No entry can be written to it any more. */
  close(stream: number): Promise<void>
  /** Lets go of connections. */
  end(): Promise<void>
}

export function headOf(m: Message): Head {
  const head: Head = [m.incarnation, m.kind, m.receivedAt, m.payload.length]
  const cut = m.size === m.payload.length ? null : m.size
  const rest = [m.name ?? null, m.connection ?? null, m.id ?? null, m.contentType ?? null, m.trace ?? null, cut]
  while (rest.length > 0 && rest[rest.length - 1] === null) rest.pop()
  return head.concat(rest as never) as Head
}
