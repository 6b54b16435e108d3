/** Ids of actions, made of what they are: written twice, it is the same row, the same command, the same request. */
import { createHash } from 'node:crypto'
import type { Turn } from './rule-action.ts'

export interface ActionPlace {
  incarnation: number
  n: number
  turn: Turn
  place: number
}

/** Any UUID that nobody else takes for this. */
const NAMESPACE = '6f1d1c1e-7d0b-5b52-9a5e-3c0d2b8a4f11'

/** `of`: something else that belongs to it. */
export function actionId({ incarnation, n, turn, place }: ActionPlace, of = ''): string {
  return uuidOf(NAMESPACE, ['rule-action', incarnation, n, turn, place, ...(of === '' ? [] : [of])].join('/'))
}

/** A UUID of version 5 (RFC 9562). */
export function uuidOf(namespace: string, name: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
    .subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x50
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
