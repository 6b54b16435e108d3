/** Last-writer-wins per property, by (ts, receivedAt, messageId): it commutes, and twice changes nothing (docs/architecture.md §3.3). */
import type { Latest, LatestValue, Reading } from './types.ts'

/** True when the reading is the latest now. Changes `latest` in place: it runs for every value of every message. */
export function mergeLatest(latest: Latest, reading: Reading): boolean {
  const { name, value, ts, receivedAt, messageId } = reading
  const known = latest[name]
  if (known !== undefined && !isLater(ts, receivedAt, messageId, known)) return false
  latest[name] = messageId === undefined ? [value, ts, receivedAt] : [value, ts, receivedAt, messageId]
  return true
}

/** No id comes before every id; ids compare by code units. */
function isLater(ts: number, receivedAt: number, messageId: string | undefined, [, knownTs, knownReceivedAt, knownId]: LatestValue): boolean {
  if (ts !== knownTs) return ts > knownTs
  if (receivedAt !== knownReceivedAt) return receivedAt > knownReceivedAt
  return (messageId ?? '') > (knownId ?? '')
}
