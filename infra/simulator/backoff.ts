/** Exponential backoff with full jitter: after an outage a fleet comes back spread out, not as one wave. */
import type { Random } from './random.ts'

export interface Backoff {
  /** Milliseconds to wait before the next try; each failure doubles the ceiling. */
  next(): number
  reset(): void
}

export function createBackoff(random: Random, { firstMs = 500, maximumMs = 30_000 } = {}): Backoff {
  let ceiling = firstMs
  return {
    next() {
      const wait = random.next() * ceiling
      ceiling = Math.min(maximumMs, ceiling * 2)
      return wait
    },
    reset() {
      ceiling = firstMs
    },
  }
}
