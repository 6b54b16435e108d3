/** What REST needs of the outside for rules (infra/postgres/rules.ts, rule-history.ts). Times are epoch milliseconds. */
import type { TwinEvent } from '../twin-models/core/types.ts'
import type { StoredRule } from '../twin-models/rules/ready.ts'
import type { Recorded, Standing } from '../twin-models/rules/simulate.ts'
import type { RULE_STATUSES } from '../twin-models/schemas/rule.ts'
import type { Page } from './ports.ts'

export type RuleStatus = (typeof RULE_STATUSES)[number]

/** As it is now: its newest version. */
export interface RuleRow {
  name: string
  version: number
  status: RuleStatus
  model: string | null
  filter: string | null
  /** JSON of a RuleBody. */
  body: string
  createdAt: number
  createdBy: string
  /** When this version was written. */
  changedAt: number
}

export interface RuleVersion {
  version: number
  /** JSON of a RuleBody. */
  body: string
  createdAt: number
  createdBy: string
}

export interface NewRuleVersion extends Pick<RuleRow, 'name' | 'status' | 'model' | 'filter' | 'body'> {
  by: string
  /** Only when its newest version is this one. */
  ifVersion?: number
}

export interface Rules {
  /** What says the same as the newest version makes none ('same'). Any other text: nothing was written. */
  put(
    tenant: string,
    rule: NewRuleVersion,
  ): Promise<
    { rule: RuleRow; outcome: 'made' | 'changed' | 'same' } | 'other-version' | 'too-many-rules' | 'too-many-live' | 'too-many-versions'
  >
  find(tenant: string, name: string): Promise<RuleRow | undefined>
  /** By name. */
  list(tenant: string, query: { status: RuleStatus | undefined; model: string | undefined; page: Page<string> }): Promise<RuleRow[]>
  /** The newest first; also of a rule that was removed. */
  versions(tenant: string, name: string, page: Page<number>): Promise<RuleVersion[]>
  version(tenant: string, name: string, version: number): Promise<RuleVersion | undefined>
  /** False: there is none. */
  remove(tenant: string, name: string): Promise<boolean>
  /** All that are live. */
  live(tenant: string): Promise<StoredRule[]>
}

/** What is stored of one device for a time, from (inclusive) to (exclusive). */
export interface RuleHistory {
  /** The newest reading of each name before that, then those of it in the order of receipt, at most `most`; undefined: there are more. */
  readings(query: {
    tenant: string
    incarnation: number
    names: string[]
    from: number
    to: number
    most: number
  }): Promise<Pick<Recorded, 'known' | 'readings'> | undefined>
  /**
   * What its twin decided from then on until now, of these kinds, and how it stands now; `reason`: of the last change of its presence before.
   * Device events: those of these names. Undefined: there are more than `most`.
   */
  decisions(query: {
    incarnation: number
    kinds: string[]
    deviceEvents: string[]
    from: number
    most: number
  }): Promise<{ events: TwinEvent[]; now: Standing; reason: Standing['presence']['reason'] | undefined } | undefined>
}
