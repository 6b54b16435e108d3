/**
 * Hours of a week by the clock on the wall of a site, in UTC. Its zone comes as a table of changes, so that this needs no time zone database.
 *
 * Where clocks are set forward, a time that is skipped is the moment at which it is skipped; where they are set back, a time that comes twice
 * is the first of both.
 */
import type { TwinSchedule } from './rule-types.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** 1970-01-01 was a Thursday. */
const FIRST_WEEKDAY = 3

export function isWithin(schedule: TwinSchedule, at: number): boolean {
  const today = dayOf(schedule, at)
  return [today - DAY_MS, today].some((day) => {
    const [opens, closes] = hoursOf(schedule, day)
    return isDay(schedule, day) && opens <= at && at < closes
  })
}

/** The next moment at which `isWithin` may change. Undefined: never. */
export function nextChange(schedule: TwinSchedule, after: number): number | undefined {
  const today = dayOf(schedule, after)
  let next: number | undefined
  for (let day = today - DAY_MS; day <= today + 8 * DAY_MS; day += DAY_MS) {
    if (!isDay(schedule, day)) continue
    for (const at of hoursOf(schedule, day)) if (at > after && (next === undefined || at < next)) next = at
  }
  return next
}

/** The day of a moment as the wall says it, written as if it were UTC. */
function dayOf({ zone }: TwinSchedule, at: number): number {
  return Math.floor((at + offsetAt(zone, at) * MINUTE_MS) / DAY_MS) * DAY_MS
}

function isDay({ days }: TwinSchedule, day: number): boolean {
  return days.includes((((day / DAY_MS + FIRST_WEEKDAY) % 7) + 7) % 7)
}

function hoursOf({ zone, from, to }: TwinSchedule, day: number): [opens: number, closes: number] {
  const minutes = to > from ? to : to + DAY_MS / MINUTE_MS
  return [instantOf(zone, day + from * MINUTE_MS), instantOf(zone, day + minutes * MINUTE_MS)]
}

/** When the wall says this, written as if it were UTC. */
function instantOf(zone: TwinSchedule['zone'], wall: number): number {
  const [first, ...changes] = zone
  let offset = first
  for (const [since, next] of changes) {
    const at = wall - offset * MINUTE_MS
    if (at < since) return at
    // The clock skips this time, and goes on from where it skips.
    if (wall - next * MINUTE_MS < since) return since
    offset = next
  }
  return wall - offset * MINUTE_MS
}

function offsetAt([first, ...changes]: TwinSchedule['zone'], at: number): number {
  return changes.findLast(([since]) => since <= at)?.[1] ?? first
}
