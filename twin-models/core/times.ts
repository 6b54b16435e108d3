/** Epoch milliseconds as RFC 3339 in UTC: what Date.toISOString gives, several times as fast for times that lie close together. */

const MINUTE_MS = 60_000
const SECONDS = Array.from({ length: 60 }, (_, n) => `${String(n).padStart(2, '0')}.`)
const MILLISECONDS = Array.from({ length: 1000 }, (_, n) => `${String(n).padStart(3, '0')}Z`)

/** The part up to the minute of the last time asked for: readings of one moment are shown together. */
let minute = Number.NaN
let prefix = ''

export function isoTime(ms: number): string {
  const asked = Math.floor(ms / MINUTE_MS)
  if (asked !== minute) {
    prefix = new Date(ms).toISOString().slice(0, -7)
    minute = asked
  }
  const rest = Math.floor(ms - asked * MINUTE_MS)
  const second = Math.floor(rest / 1000)
  return prefix + SECONDS[second] + MILLISECONDS[rest - second * 1000]
}
