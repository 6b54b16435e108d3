/** What the HTTP side needs to show the actions of rules, and to have them done again (infra/postgres/rule-actions.ts). */
import type { CutReason } from './alarms/ports.ts'
import type { Turn } from './alarms/rule-action.ts'
import type { CommandStatus } from './command-ports.ts'
import type { Page } from './ports.ts'

export interface RuleActionRow {
  id: string
  number: number
  incarnation: number
  device: string
  n: number
  rule: string
  version: number
  turn: Turn
  place: number
  kind: string
  name: string | null
  at: number
  depth: number
  state: ActionState
  due: number
  attempts: number
  target: string | null
  result: string | null
  cutBy: CutReason | null
  error: string | null
  endedAt: number | null
  /** Of what it commanded, as it stands now; null: it is no command, or that is not there any more. */
  commandStatus: CommandStatus | null
  commandCode: string | null
  commandMessage: string | null
  commandEndedAt: number | null
}
export const ACTION_STATES = ['waiting', 'done', 'failed', 'cut'] as const
export type ActionState = (typeof ACTION_STATES)[number]

export interface RuleActionQuery {
  rule: string | undefined
  device: string | undefined
  alarm: { incarnation: number; n: number } | undefined
  states: readonly ActionState[] | undefined
  page: Page<number>
}

export interface RuleActions {
  /** Newest first. */
  list(tenant: string, query: RuleActionQuery): Promise<RuleActionRow[]>
  find(tenant: string, id: string): Promise<RuleActionRow | undefined>
  /** Failed ones, and those that were cut, wait again. Undefined: it is in another state. */
  retry(tenant: string, id: string): Promise<RuleActionRow | undefined>
  /** Whether there is, or was, such a rule. */
  isRule(tenant: string, name: string): Promise<boolean>
}
