/** What REST needs of the outside for alarms (infra/postgres/alarms.ts). Times are epoch milliseconds. */
import type { AlarmChange } from '../twin-models/core/alarm-effects.ts'
import type { Severity } from '../twin-models/core/rule-types.ts'
import type { DecidedEvent, Page } from './ports.ts'

export const ALARM_STATUSES = ['raised', 'acknowledged', 'cleared'] as const
export type AlarmStatus = (typeof ALARM_STATUSES)[number]

export interface AlarmKey {
  incarnation: number
  n: number
}

/** An alarm as stored. */
export interface AlarmRow extends Omit<AlarmChange, 'values'> {
  incarnation: number
  device: string
  /** Rises with every alarm. */
  number: number
  /** JSON. */
  values: string
}

export interface AlarmQuery {
  tenant: string
  /** Of its present registration. */
  device: string | undefined
  statuses: readonly AlarmStatus[]
  severities: readonly Severity[]
  rule: string | undefined
  assignee: string | undefined
  /** By `raisedAt`. */
  from: number | undefined
  /** Exclusive. */
  to: number | undefined
  page: Page<{ raisedAt: number; number: number }>
}

/** Of those that are open. */
export interface AlarmCounts {
  severities: Array<{ severity: Severity; status: 'raised' | 'acknowledged'; count: number }>
  /** Those with the most. `severity`: the greatest of its alarms. */
  rules: Array<{ rule: string; severity: Severity; raised: number; acknowledged: number }>
}

export interface Alarms {
  /** Those of `keys` that are the tenant's, in no order. */
  find(tenant: string, keys: AlarmKey[]): Promise<AlarmRow[]>
  /** Newest first. Undefined: there is no such device. */
  list(query: AlarmQuery): Promise<AlarmRow[] | undefined>
  counts(tenant: string, mostRules: number): Promise<AlarmCounts>
  /** What was decided of it, in order. Undefined: there is no such alarm. */
  history(tenant: string, key: AlarmKey, page: Page<{ revision: number; n: number }>): Promise<DecidedEvent[] | undefined>
  /** Requests to twins, each with its id. Those that were written: not those of registrations that ended. */
  ask(tenant: string, requests: Array<{ id: string; incarnation: number; body: string }>): Promise<string[]>
}
