/** What is remembered of a message, so that it counts once: 16 bytes in the form of a uuid. */
import { hash } from 'node:crypto'
import type { Value } from '../../twin-models/core/types.ts'

/**
 * Of its id. Kinds have ids of their own: a device may number its events and its telemetry apart. `index`: the place of an element in an
 * array, when the id is that of the whole array.
 */
export function messageDigest(kind: string, id: string, index: number | null = null): string {
  return digestOf(index === null ? `id ${kind} ${id}` : `id ${kind} ${id} ${index}`)
}

/** Of a device event without an id, by its own time. */
export function eventDigest(name: string, ownTs: number, data: Value): string {
  return digestOf(`event ${name} ${ownTs} ${JSON.stringify(data)}`)
}

/** Of an element without an id whose own time could not be used: by the bytes of the message. */
export function elementDigest(payload: Uint8Array, index: number | null = null): string {
  return digestOf(Buffer.concat([Buffer.from(`element ${index ?? ''} `), payload]))
}

function digestOf(content: string | Buffer): string {
  const hex = hash('sha256', content, 'hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}
