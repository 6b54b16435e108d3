/** What the live stream carries: rows of the outbox, readings of accepted messages, and the word of what is missing. */
import { isoTime } from '../../twin-models/core/times.ts'
import type { Reading, TwinSettings } from '../../twin-models/core/types.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { eventJson } from '../http/event-json.ts'
import { decode } from '../ingest/decode.ts'
import type { LogMessage } from '../ingest/log-reader.ts'
import type { OutboxRow } from './ports.ts'

export const LIVE_TYPES = ['decision', 'presence', 'command', 'device-event', 'reading'] as const
export type LiveType = (typeof LIVE_TYPES)[number]

export interface LiveEvent {
  type: LiveType
  tenant: string
  incarnation: number
  device: string
  /** Epoch ms: decided, or received. */
  at: number
  /** JSON, without the id. */
  json: string
  from: FromOutbox | FromLog
}

export interface FromOutbox {
  kind: string
  position: number
  revision: number
  event: StoredEvent
}

/** Without its kind and cause; times in epoch milliseconds. */
export interface StoredEvent {
  at: number
  ts?: number
  settings?: TwinSettings
  [member: string]: unknown
}

export interface FromLog {
  kind: 'reading'
  stream: number
  seq: number
  /** Place in the entry. */
  index: number
  readings: Reading[]
}

/** What is no longer kept. `from` and `to` are epoch ms. */
export interface Gap {
  of: 'events' | 'readings'
  from: number
  to: number
}

export function isReading(from: LiveEvent['from']): from is FromLog {
  return from.kind === 'reading'
}

/** Not of a twin, but of the registry, of the processor, of a webhook or target, a rollout, a rule, a prediction or a ticket: these are for webhooks alone. */
const NOT_SHOWN = [
  ...['registered', 'removed', 'dead-letter', 'webhook-disabled', 'target-failed', 'rollout-started', 'rollout-halted', 'rollout-ended'],
  ...['rule-event', 'rule-cut', 'prediction-made'],
  ...['ticket-opened', 'ticket-updated', 'ticket-closed'],
]

export function isShown({ kind }: { kind: string }): boolean {
  return !NOT_SHOWN.includes(kind)
}

export function typeOf(kind: string): LiveType {
  if (kind === 'presence-changed') return 'presence'
  if (kind === 'device-event') return 'device-event'
  return kind.startsWith('command-') ? 'command' : 'decision'
}

export function decidedEvent(row: OutboxRow): LiveEvent {
  const { kind, tenant, incarnation, device, at, position, revision } = row
  const type = typeOf(kind)
  const json = `{"type":"${type}","device":${JSON.stringify(device)},${eventJson({ ...row, time: at }).slice(1)}`
  return { type, tenant, incarnation, device, at, json, from: { kind, position, revision, event: JSON.parse(row.event) } }
}

/** What of a message is readings that fit the model: one event a message. Undefined where there is none. */
export function readingEvent(message: LogMessage, owner: { tenant: string; device: string; model: DeviceModel }): LiveEvent | undefined {
  const { tenant, device, model } = owner
  const readings = decode(message, model, device).parts.flatMap((part) => part.readings)
  if (readings.length === 0) return undefined
  const { incarnation, stream, seq, index, receivedAt: at } = message
  const shown = readings.map(({ name, value, ts, messageId }) => {
    const unit = model.properties.get(name)?.unit
    return { name, value, ...(unit !== undefined && { unit }), ts: isoTime(ts), ...(messageId !== undefined && { messageId }) }
  })
  const json = JSON.stringify({ type: 'reading', device, time: isoTime(at), readings: shown })
  return { type: 'reading', tenant, incarnation, device, at, json, from: { kind: 'reading', stream, seq, index, readings } }
}

/** Server-sent events: https://www.w3.org/TR/eventsource. JSON has no line breaks of its own. */
export function eventText(type: string, json: string, id: string): string {
  return `id: ${id}\nevent: ${type}\ndata: ${json}\n\n`
}

export function gapText({ of, from, to }: Gap, id: string): string {
  return eventText('gap', JSON.stringify({ type: 'gap', of, from: isoTime(from), to: isoTime(Math.max(from, to)) }), id)
}

/** Without data it is no event; it moves the id on, so that who waits long can come back to where nothing is missing. */
export function heartbeatText(id: string): string {
  return `:\nid: ${id}\n\n`
}

export const FIRST_TEXT = 'retry: 2000\n\n'
