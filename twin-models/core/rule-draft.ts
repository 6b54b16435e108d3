/**
 * Rules are judged, one after the other, at a time: what their memory makes of it, and which alarms are raised, grow worse and are cleared by it.
 * When that is, rules.ts says.
 */
import { BY_TIMER } from './causes.ts'
import { evolve } from './evolve.ts'
import { FLAPS, remember } from './evolve-alarms.ts'
import { maintenanceEnds } from './maintenance.ts'
import { own, same } from './plain.ts'
import { rendered } from './rule-text.ts'
import type { OpenAlarm, RuleMemory, TwinRule } from './rule-types.ts'
import { clearedEvent, holds, valuesOf, worst } from './rule-view.ts'
import { isWithin } from './schedule.ts'
import type { Cause, TwinEvent, TwinState } from './types.ts'

const FLAP_WINDOW_MS = 600_000
const FLAP_HOLD_MS = 300_000

export interface Judged {
  state: TwinState
  events: TwinEvent[]
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
export class RuleDraft {
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

/** How long the condition that would change something has to hold. */
export function holdMs(rule: TwinRule, alarm: OpenAlarm | undefined): number {
  if (!alarm) return rule.forMs
  return alarm.flapping ? Math.max(rule.clearForMs, FLAP_HOLD_MS) : rule.clearForMs
}
