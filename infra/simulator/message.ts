/** A message on its way from a simulated device: what it says, and how its bytes look on the wire. */
import type { Value } from '../../twin-models/core/types.ts'

export interface Outgoing {
  kind: 'telemetry' | 'event' | 'presence' | 'garbage'
  /** Name of the device event. */
  name?: string
  id?: string
  /** When it was measured. A wrong clock says something else on the wire (`claimedTs`). */
  ts: number
  claimedTs?: number
  /** Values of telemetry, data of an event, body of a presence message. */
  values: Record<string, Value>
  /** Garbage only: its bytes, and a text inside them by which its dead letter can be found. */
  raw?: Uint8Array
  mark?: string
  /** Sent again on purpose, though the first may have been acknowledged. */
  duplicate?: boolean
  /** How often it was put on the wire. */
  attempts: number
  /** When it was last put on the wire. */
  sentAt: number
}

export function telemetry(ts: number, values: Record<string, Value>, id?: string): Outgoing {
  return { kind: 'telemetry', ts, values, ...(id !== undefined && { id }), attempts: 0, sentAt: 0 }
}

export function deviceEvent(name: string, ts: number, data: Value, id: string): Outgoing {
  return { kind: 'event', name, id, ts, values: { data }, attempts: 0, sentAt: 0 }
}

export function presence(ts: number, values: Record<string, Value>): Outgoing {
  return { kind: 'presence', ts, values, attempts: 0, sentAt: 0 }
}

export function garbage(ts: number, mark: string, raw: Uint8Array): Outgoing {
  return { kind: 'garbage', ts, values: {}, mark, raw, attempts: 0, sentAt: 0 }
}

/** Below castor/v1/{tenant}/{device}/ and /device/v1/ alike. */
export function pathOf(message: Outgoing): string {
  if (message.kind === 'event') return `events/${message.name}`
  return message.kind === 'presence' ? 'presence' : 'telemetry'
}

export function payloadOf(message: Outgoing): Buffer {
  if (message.raw) return Buffer.from(message.raw)
  if (message.kind === 'presence') return Buffer.from(JSON.stringify(message.values))
  const ts = message.claimedTs ?? message.ts
  const body = message.kind === 'event' ? message.values : { values: message.values }
  return Buffer.from(JSON.stringify({ id: message.id, ts: new Date(ts).toISOString(), ...body }))
}
