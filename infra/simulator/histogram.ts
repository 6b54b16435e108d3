/** Percentiles of durations in constant memory: buckets that grow by 5 %, so that is the error. */

export interface Histogram {
  add(ms: number): void
  /** 0 when nothing was added. */
  percentile(p: number): number
  readonly count: number
}

const GROWTH = Math.log(1.05)
const SMALLEST_MS = 0.05
const BUCKETS = 400

export function createHistogram(): Histogram {
  const buckets = new Float64Array(BUCKETS)
  let count = 0
  return {
    add(ms) {
      const bucket = Math.ceil(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) / GROWTH)
      buckets[Math.min(bucket, BUCKETS - 1)]! += 1
      count += 1
    },
    percentile(p) {
      let rest = (count * p) / 100
      for (let i = 0; i < BUCKETS && count > 0; i += 1) {
        rest -= buckets[i]!
        if (rest <= 0) return SMALLEST_MS * Math.exp(i * GROWTH)
      }
      return 0
    },
    get count() {
      return count
    },
  }
}
