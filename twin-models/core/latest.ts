/** Latest values: last-writer-wins per property by (ts, receivedAt, messageId). It commutes, and twice changes nothing (docs/architecture.md §3.3). */
import { own } from './plain.ts'
import type { Latest, LatestValue, Reading } from './types.ts'

/**
 * Merges a reading in place; true when it is the latest now. Its name is one that decoding lets through: none that every object has.
 * Of ids an absent one is the least, others go by code units.
 */
export function mergeLatest(latest: Latest, { name, value, ts, receivedAt, messageId }: Reading): boolean {
  const known = own(latest, name)
  if (known !== undefined && !isLater(ts, receivedAt, messageId, known)) return false
  latest[name] = messageId === undefined ? [value, ts, receivedAt] : [value, ts, receivedAt, messageId]
  return true
}

function isLater(ts: number, receivedAt: number, messageId: string | undefined, known: LatestValue): boolean {
  if (ts !== known[1]) return ts > known[1]
  if (receivedAt !== known[2]) return receivedAt > known[2]
  const knownId = known[3]
  return messageId !== undefined && (knownId === undefined || messageId > knownId)
}
