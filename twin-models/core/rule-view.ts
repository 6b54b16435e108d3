/** What a rule makes of a twin as it is known now: whether its conditions hold, how bad that is, and which values say so. */
import { matches } from '../filter/evaluate.ts'
import { own } from './plain.ts'
import { namesOf } from './rule-names.ts'
import { type ClearReason, type Condition, isWorse, type OpenAlarm, type Severity, type TwinRule } from './rule-types.ts'
import type { Cause, Scalar, TwinState } from './types.ts'

/** Whether a condition of a rule holds, with what the twin knows. */
export function holds(state: TwinState, rule: TwinRule, condition: Condition): boolean {
  return matches(condition, viewOf(state, rule))
}

/** At least `severity`. */
export function worst(state: TwinState, rule: TwinRule, severity: Severity): Severity {
  let found = severity
  for (const step of rule.worse ?? []) if (isWorse(step.severity, found) && holds(state, rule, step.when)) found = step.severity
  return found
}

export function valuesOf(state: TwinState, rule: TwinRule): OpenAlarm['values'] {
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
