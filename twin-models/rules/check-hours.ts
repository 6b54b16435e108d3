/** Whether what a rule waits for can be within its hours. */
import { WEEKDAYS } from '../core/rollout-types.ts'
import { formatDuration } from '../durations.ts'
import type { RuleBody } from '../schemas/rule.ts'
import { minutesOf } from '../windows.ts'
import { spanMs } from './language.ts'
import type { RuleProblem } from './problem.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** What has to hold for longer than they last is never raised. (But in the one night in which clocks are set back: nobody means that.) */
export function hoursProblems({ for: held, schedule }: RuleBody): RuleProblem[] {
  const lasts = schedule && longestMs(schedule)
  if (lasts === undefined || spanMs(held) <= lasts) return []
  return [{ path: '/for', detail: `is longer than its hours last at a time, ${formatDuration(lasts)}: nothing would be raised` }]
}

/** Undefined: they do not end. */
function longestMs({ from, to, days = [...WEEKDAYS] }: NonNullable<RuleBody['schedule']>): number | undefined {
  const ms = (minutesOf(to) - minutesOf(from)) * MINUTE_MS
  // Only whole days follow each other without a break.
  if (ms !== DAY_MS) return ms > 0 ? ms : ms + DAY_MS
  if (days.length === WEEKDAYS.length) return undefined
  const twoWeeks = [...WEEKDAYS, ...WEEKDAYS].map((day) => (days.includes(day) ? 'x' : ' ')).join('')
  return Math.max(...twoWeeks.split(' ').map(({ length }) => length)) * DAY_MS
}
