/** Routine readings of one property, merged so that no spike hides and their number does not matter: first, last, least, greatest. */
import type { Merged, Reading, Value } from './types.ts'

/**
 * `Merged`, packed, because it is written with every transaction: count, first and its ts, last, its ts and receivedAt, min, ts, max, ts.
 * All times are relative to the `since` of the pending: most of them have five digits instead of thirteen then.
 */
export type MergedTuple = [
  count: number,
  first: Value,
  firstTs: number,
  last: Value,
  lastTs: number,
  lastReceivedAt: number,
  min: number | null,
  minTs: number,
  max: number | null,
  maxTs: number,
]

/** By property; times relative to `since`. */
export interface MergedReadings {
  since: number
  merged: { [name: string]: MergedTuple }
}

/** A later reading than all before. */
export function merge({ merged, since }: MergedReadings, { name, value, ts: at, receivedAt }: Reading): void {
  const ts = at - since
  const number = typeof value === 'number' ? value : null
  const known = merged[name]
  if (known === undefined) {
    merged[name] = [1, value, ts, value, ts, receivedAt - since, number, ts, number, ts]
    return
  }
  known[0]++
  known[3] = value
  known[4] = ts
  known[5] = receivedAt - since
  if (number === null) return
  if (known[6] === null || number < known[6]) {
    known[6] = number
    known[7] = ts
  }
  if (known[8] === null || number > known[8]) {
    known[8] = number
    known[9] = ts
  }
}

/** As the twin gets it, with times since the epoch. */
export function unpack([count, first, firstTs, last, lastTs, lastReceivedAt, min, minTs, max, maxTs]: MergedTuple, since: number): Merged {
  const merged: Merged = { count, first: [first, firstTs + since], last: [last, lastTs + since, lastReceivedAt + since] }
  if (min !== null) merged.min = [min, minTs + since]
  if (max !== null) merged.max = [max, maxTs + since]
  return merged
}
