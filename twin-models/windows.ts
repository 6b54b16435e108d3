/**
 * When a device may be told of an update: the next maintenance windows in its own time zone, in UTC.
 *
 * The zone is the device's (`attributes.timeZone`, an IANA name); one that is absent or unknown is not an error, since a typing mistake in an
 * attribute must not keep a device from updates: then it is the rollout's, and without one UTC. `zoneFor` says which.
 *
 * Where clocks change: a time that the clock skips is the moment at which it skips; of a time that comes twice a window begins at the second and
 * ends at the first, or lies within the first hour as a whole. So it is never open while the clock on the wall says that it is not.
 */
import { IANAZone } from 'luxon'
import type { MaintenanceWindow } from './core/rollout-types.ts'
import { WEEKDAYS } from './core/rollout-types.ts'

/** Of a device: two months of nights. An offer that lasts longer ends with the last of them. */
export const MOST_WINDOWS = 62
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** 1970-01-01 was a Thursday. */
const FIRST_WEEKDAY = 3

/** [from, until), epoch milliseconds. */
export type Window = [from: number, until: number]

/**
 * For the devices of one chunk: asked once, each zone is computed once. The windows, in order, that are not over at `now` and begin before
 * `until`; the first may have begun already.
 */
export function windowsByZone(window: MaintenanceWindow, now: number, until: number): (deviceZone: string | undefined) => Window[] {
  const known = new Map<string, Window[]>()
  return (deviceZone) => {
    const zone = zoneFor(deviceZone, window)
    let windows = known.get(zone)
    if (!windows) {
      windows = nextWindows(window, zone, now, until)
      known.set(zone, windows)
    }
    return windows
  }
}

export function zoneFor(deviceZone: string | undefined, { timeZone }: Pick<MaintenanceWindow, 'timeZone'>): string {
  return [deviceZone, timeZone].find((zone) => zone !== undefined && zone.length <= 64 && IANAZone.isValidZone(zone)) ?? 'UTC'
}

function nextWindows({ from, to, days }: MaintenanceWindow, zone: string, now: number, until: number): Window[] {
  const clock = IANAZone.create(zone)
  const begin = minutesOf(from) * MINUTE_MS
  const length = (minutesOf(to) - minutesOf(from)) * MINUTE_MS
  const end = begin + (length > 0 ? length : length + DAY_MS)
  const found: Window[] = []
  // Days as the wall says them, written as if they were UTC; the one before may hold a window that is still open.
  const today = Math.floor((now + clock.offset(now) * MINUTE_MS) / DAY_MS) * DAY_MS
  for (let day = today - DAY_MS; day - DAY_MS < until && found.length < MOST_WINDOWS; day += DAY_MS) {
    if (days && !days.includes(WEEKDAYS[(day / DAY_MS + FIRST_WEEKDAY) % 7]!)) continue
    const [opens, closes] = [instants(clock, day + begin), instants(clock, day + end)]
    const closing = closes[0]!
    const opening = opens.findLast((at) => at < closing)
    if (opening !== undefined && closing > now && opening < until) found.push([opening, closing])
  }
  return found
}

/** When the clock on the wall says this: once, twice where it is set back, and where it skips this the moment at which it skips. */
function instants(clock: IANAZone, wall: number): number[] {
  const offsets = new Set([clock.offset(wall - DAY_MS), clock.offset(wall + DAY_MS)])
  const candidates = [...offsets].map((minutes) => ({ minutes, at: wall - minutes * MINUTE_MS }))
  const found = candidates.filter(({ minutes, at }) => clock.offset(at) === minutes).map(({ at }) => at)
  if (found.length > 0) return found.sort((a, b) => a - b)
  const around = candidates.map(({ at }) => at)
  return [changeBetween(clock, Math.min(...around), Math.max(...around))]
}

/** The change of the offset between them, by halving. */
export function changeBetween(clock: IANAZone, from: number, to: number): number {
  let [before, after] = [from, to]
  const old = clock.offset(before)
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (clock.offset(middle) === old) before = middle
    else after = middle
  }
  return after
}

/** Of the day, `08:30` say. */
export function minutesOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number) as [number, number]
  return hours * 60 + minutes
}
