/**
 * Rules and alarms as a twin carries them. Plain JSON, as in types.ts. What a rule means exactly stands in rules.ts; how one is written, and made
 * ready for one device, in twin-models/rules/.
 */
import type { Filter, Path } from '../filter/parse.ts'
import type { Cause } from './events.ts'
import type { Scalar } from './types.ts'

/** From the least to the most urgent (ITU-T X.733 without `indeterminate`). */
export const SEVERITIES = ['warning', 'minor', 'major', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

/** A rule, made ready for one device: what it reads of the device's attributes stands in it as values. */
export interface TwinRule {
  /** Its name: unique in the tenant. */
  id: string
  version: number
  severity: Severity
  /** What it says: words, and paths where a value goes. */
  text: Array<string | Path>
  when: Condition
  /** Absent: what is not `when`. */
  clear?: Condition
  /** How long each has to hold. */
  forMs: number
  clearForMs: number
  /** A reading that is older than this when it is received raises nothing. */
  lateMs: number
  /** While the alarm is there it has the greatest severity of those that hold, or held. */
  worse?: Array<{ when: Condition; severity: Severity }>
  schedule?: TwinSchedule
  /** What becomes of its alarm when another version of the rule comes: it goes on under that, or is cleared. */
  onChange: 'keep' | 'clear'
}

/**
 * A filter over the paths that a rule may read (`RulePart`). A function of readings (features.ts) stands in it as the value of a property whose
 * name is the function: `["telemetry", "rate(temperature,300000)", "value"]`.
 */
export type Condition = Filter
export const RULE_PARTS = ['telemetry', 'presence', 'ranges', 'reported', 'desired', 'firmware', 'health'] as const

/** When it counts, by the clock on the wall of the device's site. */
export interface TwinSchedule {
  /** Minutes of the day. Where `to` is not after `from`, it ends on the next day. */
  from: number
  to: number
  /** 0: Monday. On which it begins. */
  days: number[]
  /** Minutes to be added to UTC: from the beginning, and since these times. */
  zone: [offset: number, ...changes: Array<[since: number, offset: number]>]
}

/** What a twin keeps of a rule between decisions. Absent while there is nothing to say. */
export interface RuleMemory {
  /** Since when the condition that would change something holds: `when` without an alarm, `clear` with one. */
  heldSince?: number
  /** It is only known by readings that came late. */
  late?: true
  /** Its alarm was cleared while `when` held: that has to end before it counts again. */
  spent?: true
  /** When its last alarms were raised, the newest first. */
  raised?: number[]
}

/** An alarm that has not been cleared. One a rule. */
export interface OpenAlarm {
  /** Counts the alarms of the twin, from 1. */
  n: number
  rule: string
  version: number
  severity: Severity
  text: string
  /** Since when its condition held, and when it had held for long enough. */
  since: number
  raisedAt: number
  /** How often it was raised: more than once where it flaps. */
  count: number
  /** It came and went so often that it stays for a while now. */
  flapping?: true
  /** Its device is in maintenance: nobody is told. */
  muted?: true
  acknowledged?: { at: number; by: string; note?: string }
  /** Nobody is told until then. */
  shelvedUntil?: number
  assignee?: string
  /** What the rule read last, by the name of the reading. */
  values: { [name: string]: Scalar }
}

/** What people do with an alarm. Body of a request of kind `alarm`. `n`: with this one alone, and not with one that was raised since. */
export type AlarmAsk = { rule: string; n?: number; by: string; note?: string } & (
  | { action: 'acknowledge' | 'unshelve' | 'clear' | 'comment' }
  | { action: 'shelve'; until: number }
  /** Null: nobody. */
  | { action: 'assign'; assignee: string | null }
)

/** Somebody is at the device. */
export interface Repair {
  until: number
  /** The ticket, or who. */
  by: string
  /** It is a ticket's. */
  ticket?: true
  reason?: string
}

/** Repairs are going on: alarms are muted, and no rollout asks the device. It is as the one says that lasts longest. */
export interface Maintenance extends Repair {
  /** Since when there were any. */
  since: number
  /** The others, the longest first. */
  others?: Repair[]
}

/** Why an alarm is no longer there. `rule`: its condition; `removed`: the rule no longer is for this device, or that is gone; `changed`: it is another one now. */
export type ClearReason = 'rule' | 'person' | 'removed' | 'changed'

type Of<Kind extends string, More> = { kind: Kind; at: number; cause: Cause } & More
export type AlarmEvent =
  /** What each says stands with its version (REST: `/v1/rules`). */
  | Of<'rules-changed', { set: Array<{ id: string; version: number }>; removed: string[] }>
  | Of<'alarm-raised', { alarm: OpenAlarm }>
  /** What changed of it. */
  | Of<
      'alarm-updated',
      {
        n: number
        rule: string
        version?: number
        severity?: Severity
        text?: string
        count?: number
        flapping?: true
        values?: OpenAlarm['values']
        muted?: boolean
      }
    >
  | Of<'alarm-acknowledged', { n: number; rule: string; by: string; note?: string }>
  /** `until` null: no longer. */
  | Of<'alarm-shelved', { n: number; rule: string; until: number | null; by?: string; note?: string }>
  | Of<'alarm-assigned', { n: number; rule: string; assignee: string | null; by: string; note?: string }>
  | Of<'alarm-commented', { n: number; rule: string; by: string; note: string }>
  | Of<
      'alarm-cleared',
      {
        n: number
        rule: string
        severity: Severity
        text: string
        reason: ClearReason
        by?: string
        note?: string
        values: OpenAlarm['values']
      }
    >
  | Of<'maintenance-changed', { maintenance: Maintenance | null }>
