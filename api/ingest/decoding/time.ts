/** Times of devices: RFC 3339 with zone, epoch milliseconds, or an age. */
import { addProblem, type Draft, isUnset, shown, trustedTime } from './draft.ts'

/** RFC 3339 §5.6; `T` and `Z` may be small, and a space may stand for the `T`. */
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

/** Epoch milliseconds; undefined when it is no time. */
export function parseTime(ts: unknown): number | undefined {
  if (typeof ts === 'number') return Number.isFinite(ts) ? Math.floor(ts) : undefined
  return typeof ts === 'string' ? parseRfc3339(ts) : undefined
}

/**
 * The time to store; NaN when the time is refused, and the problem is then noted. Without any, receipt. A device whose clock was never
 * set may know an age all the same.
 */
export function timeOf(draft: Draft<unknown>, ts: unknown, ageMs: unknown, path: string, messageId?: string): number {
  const { receivedAt } = draft.message
  if (ts === undefined && ageMs === undefined) return receivedAt
  const own = ts === undefined ? undefined : parseTime(ts)
  if (ts !== undefined && own === undefined) {
    addProblem(draft, 'invalid-time', `${path}/ts`, `ts must be RFC 3339 with a zone or epoch milliseconds, is ${written(ts)}`, messageId)
    return Number.NaN
  }
  const aged = own === undefined || (ageMs !== undefined && isUnset(own))
  if (aged && !(typeof ageMs === 'number' && ageMs >= 0)) {
    addProblem(draft, 'invalid-time', `${path}/ageMs`, `ageMs must be a number from 0, is ${written(ageMs)}`, messageId)
    return Number.NaN
  }
  const time = aged ? receivedAt - Math.round(ageMs as number) : trustedTime(draft, own as number)
  return recent(draft, time, `${path}/${aged ? 'ageMs' : 'ts'}`, messageId)
}

/** The same time, or NaN and a problem when it lies before the model's backfill limit. */
export function recent(draft: Draft<unknown>, time: number, path: string, messageId?: string): number {
  if (time >= draft.message.receivedAt - draft.model.backfillLimitMs) return time
  const days = draft.model.backfillLimitMs / 86_400_000
  addProblem(draft, 'too-old', path, `${isoOrAge(time)} lies before the backfill limit of ${Number(days.toFixed(2))} days`, messageId)
  return Number.NaN
}

function parseRfc3339(text: string): number | undefined {
  const match = RFC3339.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = [match[1], match[2], match[3], match[4], match[5], match[6]].map(Number) as Six
  if (hour > 23 || minute > 59 || second > 60 || day === 0) return undefined
  const ms = match[7] === undefined ? 0 : Number(match[7].slice(0, 3).padEnd(3, '0'))
  // Not Date.UTC: it takes the years 0 to 99 for 1900 to 1999.
  const midnight = new Date(0).setUTCFullYear(year, month - 1, day)
  // 30 February and month 13 roll over into another month.
  if (new Date(midnight).getUTCMonth() !== month - 1) return undefined
  const zone = match[8] === undefined ? 0 : zoneMinutes(match[8], Number(match[9]), Number(match[10]))
  return zone === undefined ? undefined : midnight + ((hour * 60 + minute - zone) * 60 + second) * 1000 + ms
}

type Six = [number, number, number, number, number, number]

function zoneMinutes(sign: string, hours: number, minutes: number): number | undefined {
  if (hours > 23 || minutes > 59) return undefined
  return (sign === '-' ? -1 : 1) * (hours * 60 + minutes)
}

function isoOrAge(time: number): string {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : 'the time'
}

function written(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shown(value))
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return value === undefined ? 'missing' : String(value)
}
