/** Times of devices: RFC 3339 with zone, epoch milliseconds, or an age. */
import { addProblem, type Draft, isUnset, noteOwnTime, shown, trustedTime } from './draft.ts'

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
  const taken = recent(draft, time, `${path}/${aged ? 'ageMs' : 'ts'}`, messageId)
  if (own !== undefined && !Number.isNaN(taken)) noteOwnTime(draft, own)
  return taken
}

/** The same time, or NaN and a problem when it lies before the model's backfill limit. */
export function recent(draft: Draft<unknown>, time: number, path: string, messageId?: string): number {
  if (time >= draft.message.receivedAt - draft.model.backfillLimitMs) return time
  const days = draft.model.backfillLimitMs / 86_400_000
  addProblem(draft, 'too-old', path, `${isoOrAge(time)} lies before the backfill limit of ${Number(days.toFixed(2))} days`, messageId)
  return Number.NaN
}

/**
 * RFC 3339 §5.6, by hand: a regular expression and Date take six times as long, and many devices say each time so. `T` and `Z` may be small,
 * and a space may stand for the `T`.
 */
function parseRfc3339(text: string): number | undefined {
  const [year, month, day] = [digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2)]
  const [hour, minute, second] = [digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2)]
  if (text[4] !== '-' || text[7] !== '-' || !isOneOf(text[10], 'Tt ') || text[13] !== ':' || text[16] !== ':') return undefined
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return undefined
  // 60 is a leap second.
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return undefined
  let at = 19
  let ms = 0
  if (text[at] === '.') {
    const end = endOfDigits(text, at + 1)
    if (end === at + 1) return undefined
    ms = end > at + 3 ? digits(text, at + 1, 3) : digits(text.slice(at + 1, end).padEnd(3, '0'), 0, 3)
    at = end
  }
  const zone = zoneMinutes(text, at)
  return zone === undefined ? undefined : (((daysSinceEpoch(year, month, day) * 24 + hour) * 60 + minute - zone) * 60 + second) * 1000 + ms
}

/** Undefined unless the text ends with it. */
function zoneMinutes(text: string, at: number): number | undefined {
  if (text.length === at + 1) return isOneOf(text[at], 'Zz') ? 0 : undefined
  if (text.length !== at + 6 || !isOneOf(text[at], '+-') || text[at + 3] !== ':') return undefined
  const [hours, minutes] = [digits(text, at + 1, 2), digits(text, at + 4, 2)]
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined
  return (text[at] === '-' ? -1 : 1) * (hours * 60 + minutes)
}

/** -1 when one of them is no digit. */
function digits(text: string, at: number, count: number): number {
  let number = 0
  for (let n = at; n < at + count; n++) {
    const digit = text.charCodeAt(n) - 48
    // NaN, behind the end, is not in the range either.
    if (!(digit >= 0 && digit <= 9)) return -1
    number = number * 10 + digit
  }
  return number
}

function endOfDigits(text: string, at: number): number {
  let end = at
  while (digits(text, end, 1) >= 0) end++
  return end
}

function isOneOf(character: string | undefined, all: string): boolean {
  return character !== undefined && all.includes(character)
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** In the Gregorian calendar. Years begin in March here, so that the day to leap is their last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468
}

function isoOrAge(time: number): string {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : 'the time'
}

function written(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shown(value))
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return value === undefined ? 'missing' : String(value)
}
