/**
 * The schedule of a rule as a twin carries it: with a table of when its zone's clocks change, since the pure core has no time zone database. The
 * table is for ten years from when the version of the rule was written; after that its last offset goes on.
 */
import { IANAZone } from 'luxon'
import { WEEKDAYS } from '../core/rollout-types.ts'
import type { TwinSchedule } from '../core/types.ts'
import type { RuleBody } from '../schemas/rule.ts'

const DAY_MS = 86_400_000
const YEARS = 10
/** No zone changes its clocks there and back within this. */
const STEP_MS = 7 * DAY_MS
const MOST_KNOWN = 1_000

export function scheduleOf(
  { from, to, days = [...WEEKDAYS] }: NonNullable<RuleBody['schedule']>,
  zone: string,
  since: number,
): TwinSchedule {
  return {
    from: minutesOf(from),
    to: minutesOf(to),
    days: days.map((day) => WEEKDAYS.indexOf(day)).sort((a, b) => a - b),
    zone: tableOf(zone, since),
  }
}

export function tableOf(zone: string, since: number): TwinSchedule['zone'] {
  const until = since + YEARS * 366 * DAY_MS
  const changes = changesFrom(zone, new Date(since).getUTCFullYear())
  return [IANAZone.create(zone).offset(since), ...changes.filter(([at]) => at > since && at <= until)]
}

const known = new Map<string, Array<[since: number, offset: number]>>()

/** From the beginning of that year, and far enough for whatever begins within it. */
function changesFrom(zone: string, year: number): Array<[since: number, offset: number]> {
  const key = `${year} ${zone}`
  let changes = known.get(key)
  if (!changes) {
    changes = []
    const clock = IANAZone.create(zone)
    const end = Date.UTC(year + YEARS + 2, 0)
    for (let at = Date.UTC(year, 0); at < end; at += STEP_MS) {
      const after = clock.offset(at + STEP_MS)
      if (clock.offset(at) !== after) changes.push([changeIn(clock, at, at + STEP_MS), after])
    }
    if (known.size >= MOST_KNOWN) known.clear()
    known.set(key, changes)
  }
  return changes
}

/** By halving. */
function changeIn(clock: IANAZone, from: number, to: number): number {
  let [before, after] = [from, to]
  const old = clock.offset(before)
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (clock.offset(middle) === old) before = middle
    else after = middle
  }
  return after
}

export function minutesOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number) as [number, number]
  return hours * 60 + minutes
}
