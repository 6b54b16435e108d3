/**
 * Normal ranges with hysteresis.
 *
 * `boundsOf` is the one truth: a value inside its bounds decides nothing, one outside always does. The wake conditions carry the same
 * bounds, so what wakes a twin and what the twin decides cannot disagree (docs/architecture.md §3.6).
 */
import type { NormalRange, RangeStatus, Value } from './types.ts'

/** Both ends are inside; an absent one is unbounded. */
export interface Bounds {
  low?: number
  high?: number
}

/** The values inside which a property of this status keeps it. */
export function boundsOf(range: NormalRange, status: RangeStatus): Bounds {
  const { minimum, maximum } = range
  const back = Math.max(range.hysteresis ?? 0, 0)
  if (status === 'low' && minimum !== undefined) return { high: Math.min(minimum + back, maximum ?? Infinity) }
  if (status === 'high' && maximum !== undefined) return { low: Math.max(maximum - back, minimum ?? -Infinity) }
  return { ...(minimum === undefined ? {} : { low: minimum }), ...(maximum === undefined ? {} : { high: maximum }) }
}

/** Only numbers are ever outside. */
export function outside(bounds: Bounds, value: Value): value is number {
  if (typeof value !== 'number') return false
  return value < (bounds.low ?? -Infinity) || value > (bounds.high ?? Infinity)
}

/** The status after a value, for one that was `before`. */
export function statusAfter(range: NormalRange, before: RangeStatus, value: number): RangeStatus {
  const held = isPossible(range, before) ? before : 'normal'
  if (!outside(boundsOf(range, held), value)) return held
  return outside(range.minimum === undefined ? {} : { low: range.minimum }, value)
    ? 'low'
    : outside(range.maximum === undefined ? {} : { high: range.maximum }, value)
      ? 'high'
      : 'normal'
}

/** A range whose minimum was taken away by a new model has no `low` any more. */
function isPossible(range: NormalRange, status: RangeStatus): boolean {
  if (status === 'low') return range.minimum !== undefined
  if (status === 'high') return range.maximum !== undefined
  return true
}
