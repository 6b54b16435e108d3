/** Durations as people write them here: `500ms`, `60s`, `5m`, `24h`, `7d`. */

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const DURATION_PATTERN = /^(\d{1,9})(ms|s|m|h|d)$/

/** In milliseconds. Undefined when it is no duration, or none longer than zero. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION_PATTERN.exec(text)
  const ms = match ? Number(match[1]) * UNITS[match[2]!]! : 0
  return ms > 0 ? ms : undefined
}

/** In the largest unit that says it exactly. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const length = UNITS[unit]!
    if (ms >= length && ms % length === 0) return `${ms / length}${unit}`
  }
  return `${ms}ms`
}
