/** A message on its way from a simulated device: what it says, and how its bytes look on the wire. */
import type { DeviceAnswer, JsonObject, Rejections, Value } from '../../twin-models/core/types.ts'
import type { UpdateAnswer } from '../../twin-models/core/update-types.ts'

export interface Outgoing {
  kind: 'telemetry' | 'event' | 'presence' | 'reported' | 'response' | 'update' | 'garbage'
  /** Name of the device event, id of the command or of the update. */
  name?: string
  id?: string
  /** When it was measured. A wrong clock says something else on the wire (`claimedTs`). */
  ts: number
  claimedTs?: number
  /** Values of telemetry, data of an event, body of any other. */
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

export function reported(ts: number, id: string, report: { version?: number; state: JsonObject; rejected?: Rejections }): Outgoing {
  return { kind: 'reported', id, ts, values: { ...report }, attempts: 0, sentAt: 0 }
}

/** What it says of a command twice has the same id: so it is told once. */
export function response(ts: number, command: string, id: string, word: Underway | DeviceAnswer): Outgoing {
  return { kind: 'response', name: command, id, ts, values: { ...word }, attempts: 0, sentAt: 0 }
}
export type Underway = { status: 'acknowledged' } | { status: 'running'; progress: number }

export function updateWord(ts: number, update: string, id: string, word: UpdateWord): Outgoing {
  return { kind: 'update', name: update, id, ts, values: { ...word }, attempts: 0, sentAt: 0 }
}
export type UpdateWord = { status: 'downloading'; progress: number } | { status: 'verifying' | 'installing' | 'rebooting' } | UpdateAnswer

export function garbage(ts: number, mark: string, raw: Uint8Array): Outgoing {
  return { kind: 'garbage', ts, values: {}, mark, raw, attempts: 0, sentAt: 0 }
}

/** Below castor/v1/{tenant}/{device}/ and /device/v1/ alike. */
export function pathOf(message: Outgoing): string {
  switch (message.kind) {
    case 'event':
      return `events/${message.name}`
    case 'response':
      return `commands/${message.name}/response`
    case 'update':
      return `updates/${message.name}/status`
    case 'presence':
    case 'reported':
      return message.kind
  }
  return 'telemetry'
}

export function payloadOf(message: Outgoing): Buffer {
  if (message.raw) return Buffer.from(message.raw)
  if (message.kind === 'presence') return Buffer.from(JSON.stringify(message.values))
  const ts = message.claimedTs ?? message.ts
  const body = message.kind === 'telemetry' ? { values: message.values } : message.values
  return Buffer.from(JSON.stringify({ id: message.id, ts: new Date(ts).toISOString(), ...body }))
}
