/**
 * Epoch milliseconds as RFC 3339 in UTC: what Date.toISOString gives, several times as fast. A search shows thousands of twins a second,
 * each with two times a value, and nearly all of them are of few days.
 */

const DAY_MS = 86_400_000
const MINUTES = Array.from({ length: 1440 }, (_, n) => `${two(Math.floor(n / 60))}:${two(n % 60)}:`)
const SECONDS = Array.from({ length: 60 }, (_, n) => `${two(n)}.`)
const MILLISECONDS = Array.from({ length: 1000 }, (_, n) => `${String(n).padStart(3, '0')}Z`)

/** Date and `T` of the day last asked for. */
let day = Number.NaN
let date = ''

export function isoTime(ms: number): string {
  const asked = Math.floor(ms / DAY_MS)
  if (asked !== day) {
    date = new Date(ms).toISOString().slice(0, -13)
    day = asked
  }
  const rest = Math.floor(ms - asked * DAY_MS)
  const minute = Math.floor(rest / 60_000)
  const inMinute = rest - minute * 60_000
  const second = Math.floor(inMinute / 1000)
  return date + MINUTES[minute] + SECONDS[second] + MILLISECONDS[inMinute - second * 1000]
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}
