/**
 * How far a reader of the live stream has come: the `id` of each event, and `Last-Event-ID` when it comes back.
 *
 *   1764189719123-18231                     time, and position in the outbox
 *   1764189719123-18231-7-5.120-8.411.3     and in the ingest log: streams up to 7 are read to their end but for those named; of
 *                                           stream 5 all entries to 120, of stream 8 those to 411 and three messages of the next
 *
 * It comes from outside, so it is parsed strictly. The time is only for telling what was missed.
 */
import { CastorError } from '../../twin-models/errors.ts'

export interface Position {
  /** Epoch ms of the newest event before it. */
  at: number
  outbox: number
  /** Absent: it says nothing of readings. */
  log?: LogPosition
}

export interface LogPosition {
  /** Streams up to this number that are not named are read to their end; later ones that are not named are not begun. */
  floor: number
  streams: Map<number, Place>
}

export interface Place {
  /** Entries up to this one, and so many messages of the next. */
  seq: number
  messages: number
}

/** More bridges than anybody runs at once. */
const MOST_STREAMS = 200
const FORM = /^\d{1,15}-\d{1,15}(?:-\d{1,10}((?:-\d{1,10}\.\d{1,15}(?:\.\d{1,7})?)*))?$/
const MOST_CHARACTERS = 6_000

export function positionText({ at, outbox, log }: Position): string {
  if (log === undefined) return `${at}-${outbox}`
  let text = `${at}-${outbox}-${log.floor}`
  for (const [stream, { seq, messages }] of log.streams) text += `-${stream}.${seq}${messages > 0 ? `.${messages}` : ''}`
  return text
}

export function parsePosition(text: string): Position {
  if (text.length > MOST_CHARACTERS || !FORM.test(text)) throw invalid()
  const [at, outbox, floor, ...places] = text.split('-') as [string, string, string | undefined, ...string[]]
  if (floor === undefined) return { at: Number(at), outbox: Number(outbox) }
  const streams = new Map<number, Place>()
  for (const place of places) {
    const [stream, seq, messages = 0] = place.split('.').map(Number) as [number, number, number?]
    if (streams.has(stream)) throw invalid()
    streams.set(stream, { seq, messages })
  }
  if (streams.size > MOST_STREAMS) throw invalid()
  return { at: Number(at), outbox: Number(outbox), log: { floor: Number(floor), streams } }
}

function invalid(): CastorError {
  return new CastorError('invalid', 'Last-Event-ID is not the id of an event of this stream: send it as it came, or leave it out.', {
    errors: [{ path: 'header:Last-Event-ID', detail: 'is not valid' }],
  })
}
