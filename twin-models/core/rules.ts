/**
 * Rules: what the readings and the decided parts of a twin mean for its alarms.
 *
 * A *moment* is what one message says with one time: its readings are judged together. Between messages time passes (`elapse`), by what is known.
 *
 *   no alarm ── when, for `forMs` ──► alarm ── clear, for `clearForMs` ──► no alarm
 *
 * - "Held" counts from the time (ts) of the reading that began it, through readings that did not end it, whether merged or not; it comes true
 *   at the moment at which it has held for long enough, however late that is noticed.
 * - What was older than `lateMs` when it was received raises nothing by itself, neither does time that passes after it: it is history. The
 *   next reading of the rule that is not late confirms it, and then it counts from where it began.
 * - An alarm that was cleared while `when` held (by a person, or since `clear` overlaps it) comes back when `when` has been false in between.
 * - The fourth alarm of a rule within ten minutes is flapping: it goes only when its condition stayed away for five minutes.
 *
 * Everything is exact as long as each reading that changes the truth of a comparison comes as an input of its own, in order: wake.ts and
 * rule-bounds.ts see to that.
 */
import { BY_TIMER } from './causes.ts'
import { own } from './plain.ts'
import { holdMs, type Judged, RuleDraft } from './rule-draft.ts'
import { namesOf } from './rule-names.ts'
import type { TwinRule } from './rule-types.ts'
import { holds } from './rule-view.ts'
import { nextChange } from './schedule.ts'
import type { Cause, TwinState } from './types.ts'

export interface Moment {
  /** Receipt. */
  at: number
  /** What it is of: ts of its readings. */
  ts: number
  /** Names of its readings. */
  names: ReadonlySet<string>
  /** It is more than readings: every rule is judged. */
  isMore: boolean
  /** It is not in order with messages: others that come after it may be older. No time has passed with it. */
  isAhead: boolean
  cause: Cause
}

/** All that has held for long enough by `until` comes true, in order. `receivedAt`: of the readings that tell so, where they do and not time alone. */
export function elapse(state: TwinState, until: number, receivedAt?: number): Judged {
  const draft = new RuleDraft(state)
  for (;;) {
    const at = dueAt(draft.state)
    if (at === undefined || at > until) break
    // All of that very moment: schedules count from the clock.
    const due = Object.values(draft.state.rules).filter((rule) => dueOf(draft.state, rule) === at)
    draft.clockTo(at)
    for (const rule of due)
      draft.judge(rule, {
        ts: at,
        isLate: receivedAt !== undefined && receivedAt - at > rule.lateMs,
        isFresh: false,
        cause: BY_TIMER,
      })
    draft.expire(at)
  }
  if (Object.keys(state.rules).length > 0) draft.clockTo(until)
  return draft.judged()
}

/** What a moment means, after its inputs were decided and noted. */
export function judge(state: TwinState, { at, ts, names, isMore, isAhead, cause }: Moment): Judged {
  const draft = new RuleDraft(state)
  for (const rule of Object.values(state.rules)) {
    const isRead = namesOf(rule).some((name) => names.has(name))
    if (!isRead && !isMore) continue
    // What comes true by then is for the next moment in order to find.
    if (isAhead && (dueOf(state, rule) ?? Infinity) <= ts) continue
    const isLate = at - ts > rule.lateMs
    // What time alone made of a function of readings confirms nothing.
    draft.judge(rule, { ts, isLate, isFresh: isRead && !isLate && cause.by !== 'timer', cause })
  }
  return draft.judged()
}

/** When something comes true by time alone, or a shelf or a maintenance ends. Undefined: nothing will. */
export function dueAt(state: TwinState): number | undefined {
  let next: number | undefined
  const consider = (at: number | undefined): void => {
    if (at !== undefined && (next === undefined || at < next)) next = at
  }
  for (const rule of Object.values(state.rules)) consider(dueOf(state, rule))
  for (const { shelvedUntil } of Object.values(state.alarms)) consider(shelvedUntil)
  consider(state.maintenance?.until)
  return next
}

/** When time alone may make something of it. */
function dueOf(state: TwinState, rule: TwinRule): number | undefined {
  const memory = own(state.memory, rule.id)
  const alarm = own(state.alarms, rule.id)
  const isHeld = memory?.heldSince !== undefined && (alarm || !memory.late)
  const held = isHeld ? memory.heldSince! + holdMs(rule, alarm) : undefined
  const counts = rule.schedule && (alarm || holds(state, rule, rule.when))
  const changes = counts ? nextChange(rule.schedule!, state.ruleClock) : undefined
  return held === undefined || changes! < held ? changes : held
}
