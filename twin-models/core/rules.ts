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
import { matches } from '../filter/evaluate.ts'
import { BY_TIMER } from './causes.ts'
import { evolve } from './evolve.ts'
import { FLAPS, remember } from './evolve-alarms.ts'
import { maintenanceEnds } from './maintenance.ts'
import { own, same } from './plain.ts'
import { namesOf } from './rule-names.ts'
import { rendered } from './rule-text.ts'
import type { ClearReason, Condition, OpenAlarm, RuleMemory, Severity, TwinRule } from './rule-types.ts'
import { isWithin, nextChange } from './schedule.ts'
import type { Cause, Scalar, TwinEvent, TwinState } from './types.ts'

const FLAP_WINDOW_MS = 600_000
const FLAP_HOLD_MS = 300_000

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

export interface Judged {
  state: TwinState
  events: TwinEvent[]
}

/** All that has held for long enough by `until` comes true, in order. `receivedAt`: of the readings that tell so, where they do and not time alone. */
export function elapse(state: TwinState, until: number, receivedAt?: number): Judged {
  const draft = new Draft(state)
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
  const draft = new Draft(state)
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

/** Whether a condition of a rule holds, with what the twin knows. */
export function holds(state: TwinState, rule: TwinRule, condition: Condition): boolean {
  return matches(condition, viewOf(state, rule))
}

/** How long the condition that would change something has to hold. */
function holdMs(rule: TwinRule, alarm: OpenAlarm | undefined): number {
  if (!alarm) return rule.forMs
  return alarm.flapping ? Math.max(rule.clearForMs, FLAP_HOLD_MS) : rule.clearForMs
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

interface Look {
  /** The moment that is looked at. */
  ts: number
  isLate: boolean
  /** It is a reading of this rule that is not late. */
  isFresh: boolean
  cause: Cause
}

/** A state that changes step by step. */
class Draft {
  state: TwinState
  readonly #events: TwinEvent[] = []

  constructor(state: TwinState) {
    this.state = state
  }

  judged(): Judged {
    return { state: this.state, events: this.#events }
  }

  clockTo(at: number): void {
    if (at > this.state.ruleClock) this.state = { ...this.state, ruleClock: at }
  }

  /** Shelves and maintenance that end now. */
  expire(at: number): void {
    for (const { rule, n, shelvedUntil } of Object.values(this.state.alarms)) {
      if (shelvedUntil !== undefined && shelvedUntil <= at) this.#emit({ kind: 'alarm-shelved', at, rule, n, until: null, cause: BY_TIMER })
    }
    const { maintenance } = this.state
    if (maintenance && maintenance.until <= at) for (const event of maintenanceEnds(this.state, at, BY_TIMER)) this.#emit(event)
  }

  judge(rule: TwinRule, look: Look): void {
    const alarm = own(this.state.alarms, rule.id)
    if (alarm) this.#judgeAlarm(rule, alarm, look)
    else this.#judgeNone(rule, look)
  }

  #judgeNone(rule: TwinRule, look: Look): void {
    const before = own(this.state.memory, rule.id) ?? {}
    const memory = this.#heldMemory(rule, before, look)
    if (memory.heldSince === undefined || memory.late || memory.heldSince + rule.forMs > look.ts) {
      this.#remember(rule.id, memory)
      return
    }
    const alarm = this.#newAlarm(rule, memory.heldSince, look.ts, before.raised ?? [])
    this.#emit({ kind: 'alarm-raised', at: look.ts, alarm, cause: rule.forMs > 0 ? BY_TIMER : look.cause })
    // What clears it may hold already, where a rule says so: it counts from here.
    this.#judgeAlarm(rule, alarm, look)
  }

  #heldMemory(rule: TwinRule, { heldSince, late, spent, ...rest }: RuleMemory, { ts, isLate, isFresh }: Look): RuleMemory {
    if (!this.#isOpen(rule, ts) || !holds(this.state, rule, rule.when)) return rest
    if (spent) return { ...rest, spent }
    const since = heldSince ?? ts
    const isDue = since + rule.forMs <= ts
    const isHistory = heldSince === undefined ? isLate : (late ?? false) && !isFresh
    return { ...rest, heldSince: since, ...((isHistory || (isDue && isLate)) && { late: true as const }) }
  }

  #judgeAlarm(rule: TwinRule, alarm: OpenAlarm, look: Look): void {
    const { ts, cause } = look
    const { heldSince, ...rest } = own(this.state.memory, rule.id) ?? {}
    const gone = !this.#isOpen(rule, ts) || (rule.clear ? holds(this.state, rule, rule.clear) : !holds(this.state, rule, rule.when))
    if (!gone) {
      this.#remember(rule.id, rest)
      const severity = worst(this.state, rule, alarm.severity)
      const count = alarm.count + (heldSince === undefined ? 0 : 1)
      if (severity === alarm.severity && count === alarm.count) return
      const more = severity === alarm.severity ? {} : { severity, text: rendered(this.state, rule), values: valuesOf(this.state, rule) }
      this.#emit({ kind: 'alarm-updated', at: ts, rule: rule.id, n: alarm.n, count, ...more, cause })
      return
    }
    const since = heldSince ?? ts
    if (since + holdMs(rule, alarm) > ts) {
      this.#remember(rule.id, { ...rest, heldSince: since })
      return
    }
    const by = holdMs(rule, alarm) > 0 ? BY_TIMER : cause
    this.#emit(clearedEvent(this.state, alarm, Math.max(ts, alarm.raisedAt), 'rule', by))
    // Whether `when` has to end first, before it counts again.
    this.#judgeNone(rule, look)
  }

  #newAlarm(rule: TwinRule, since: number, raisedAt: number, raised: number[]): OpenAlarm {
    const flaps = raisedAt - (raised[FLAPS - 2] ?? -Infinity) <= FLAP_WINDOW_MS
    return {
      n: this.state.alarmCount + 1,
      rule: rule.id,
      version: rule.version,
      severity: worst(this.state, rule, rule.severity),
      text: rendered(this.state, rule),
      since,
      raisedAt,
      count: 1,
      ...(flaps && { flapping: true as const }),
      ...(this.state.maintenance && { muted: true as const }),
      values: valuesOf(this.state, rule),
    }
  }

  /** By when it was received: what a reading of earlier says, it says still. */
  #isOpen({ schedule }: TwinRule, ts: number): boolean {
    return schedule === undefined || isWithin(schedule, Math.max(ts, this.state.ruleClock))
  }

  #remember(rule: string, memory: RuleMemory): void {
    if (!same(own(this.state.memory, rule) ?? {}, memory)) this.state = remember(this.state, rule, memory)
  }

  #emit(event: TwinEvent): void {
    this.#events.push(event)
    this.state = evolve(this.state, event)
  }
}

export function clearedEvent(state: TwinState, alarm: OpenAlarm, at: number, reason: ClearReason, cause: Cause) {
  const { n, rule, severity, text } = alarm
  const known = own(state.rules, rule)
  return {
    kind: 'alarm-cleared' as const,
    at,
    n,
    rule,
    severity,
    text,
    reason,
    values: known ? valuesOf(state, known) : alarm.values,
    cause,
  }
}

function worst(state: TwinState, rule: TwinRule, severity: Severity): Severity {
  let found = severity
  for (const step of rule.worse ?? []) if (RANK[step.severity] > RANK[found] && holds(state, rule, step.when)) found = step.severity
  return found
}

const RANK: Record<Severity, number> = { warning: 0, minor: 1, major: 2, critical: 3 }

function valuesOf(state: TwinState, rule: TwinRule): OpenAlarm['values'] {
  const values: OpenAlarm['values'] = {}
  for (const name of namesOf(rule)) {
    const value = own(state.values, name)?.[0]
    if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') values[name] = value as Scalar
  }
  return values
}

/** The parts of the twin document that a rule reads. */
function viewOf(state: TwinState, rule: TwinRule): object {
  const { presence, ranges, reported, desired, firmware, health } = state
  const telemetry: { [name: string]: { value: unknown } } = {}
  for (const name of namesOf(rule)) {
    const known = own(state.values, name)
    if (known) telemetry[name] = { value: known[0] }
  }
  return { telemetry, presence, ranges, reported, desired, firmware, health }
}
