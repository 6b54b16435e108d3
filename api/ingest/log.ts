/**
 * The ingest log: the durable, ordered store of accepted messages, and the form of its entries.
 *
 * A bridge appends, a processor reads. One entry holds the messages of one lane in one group commit (docs/architecture.md §3.4);
 * its key is (stream, seq). An entry of lane HEARTBEAT_LANE holds no messages: it says that the bridge lived at `at`.
 */

export const LANES = 16
export const HEARTBEAT_LANE = -1

/** The lane of a device. Never changes: lanes are a fixed number, incarnations are never reused. */
export function laneOf(incarnation: number): number {
  return incarnation % LANES
}

/** What a message is. `event` names it in `name`. connect and disconnect are written by the bridge itself. */
export type MessageKind = 'telemetry' | 'event' | 'presence' | 'will' | 'connect' | 'disconnect'

/** One accepted message. `payload` is what the device sent, untouched; over 256 kB only its first 4 kB, `size` says how long it was. */
export interface Message {
  incarnation: number
  kind: MessageKind
  receivedAt: number
  payload: Uint8Array
  /** Whole size in bytes; differs from payload.length only when it was cut. */
  size: number
  /** Device event name. */
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
  /** Resolves when the message is durable. Rejects with CastorError `overloaded` or `unavailable` when it is not and will not be. */
  append(message: Message): Promise<void>
  /** Writes what waits and closes the stream. */
  close(): Promise<void>
}

export function headOf(m: Message): Head {
  const head: Head = [m.incarnation, m.kind, m.receivedAt, m.payload.length]
  const cut = m.size === m.payload.length ? null : m.size
  const rest = [m.name ?? null, m.connection ?? null, m.id ?? null, m.contentType ?? null, m.trace ?? null, cut]
  while (rest.length > 0 && rest[rest.length - 1] === null) rest.pop()
  return head.concat(rest as never) as Head
}
