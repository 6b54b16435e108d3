/** What carrying out the actions of rules needs: of the store (infra/postgres/rule-action-*.ts), and of who opens tickets and who predicts. */
import type { ActingAlarm, CutBy, Deed } from '../../twin-models/core/action-guard.ts'
import type { OpenAlarm, Severity } from '../../twin-models/core/types.ts'
import type { RuleEvent } from '../../twin-models/webhook-events/rule-events.ts'
import type { NewCommand } from '../command-ports.ts'
import type { TwinRequests } from '../ports.ts'
import type { ActionKind, Turn } from './rule-action.ts'

/**
 * `Tx` is a transaction of the store: what is written in it is there when the action is done, and never twice. Both give an id. What they throw is
 * tried again, but for a CastorError that is not to be.
 */
export interface ActionPorts<Tx> {
  /** Absent: no tickets can be opened here. Undefined: there is no such device. */
  openTicket?: (sql: Tx, ticket: TicketAsk) => Promise<string | undefined>
  /** Absent: nothing predicts here. */
  requestPrediction?: (sql: Tx, prediction: PredictionAsk) => Promise<string>
}

export interface TicketAsk {
  /** Of the ticket, where none is open already: the same for the same alarm. */
  id: string
  tenant: string
  incarnation: number
  device: string
  rule: string
  ruleVersion: number
  /** With the incarnation: which alarm. */
  n: number
  severity: Severity
  title: string
  text: string
  onCall: string[]
  /** Name of the model that is asked how the device is, first. */
  predict?: string
  /** How long the condition has to stay away. Undefined: the rule does not say. */
  verifyForMs: number | undefined
}

export interface PredictionAsk {
  /** Of the prediction: the same for the same alarm. */
  id: string
  tenant: string
  incarnation: number
  device: string
  model: string
  requestedBy: { kind: 'rule'; name: string }
}

/** What an alarm says, at one of its turns. */
export interface AlarmWords {
  severity: Severity
  text: string
  values: OpenAlarm['values']
}

/** A turn of an alarm, from the outbox, with the actions of its rule. */
export interface AlarmTurn extends AlarmWords {
  /** Epoch ms: decided. */
  at: number
  tenant: string
  incarnation: number
  device: string
  turn: Turn
  n: number
  rule: string
  version: number
  /** Its device is in maintenance. */
  muted: boolean
  /** Its device was in maintenance when it was raised, and that is over: now what was left out is to be done. */
  isHeard?: boolean
  /** How long its condition had held before. */
  heldMs: number
  /** As stored with the rule. */
  actions: unknown[]
}

/** What was before these turns. */
export interface Past {
  /** Alarms of the rule on the device that had commands or wishes, in the window or with one of these numbers. */
  acting(incarnation: number, rule: string): ActingAlarm[]
  /** Depth that was noted for the alarm. */
  depth(incarnation: number, n: number): number | undefined
  deeds(incarnation: number): Deed[]
  /** Places of those that were left out when the alarm was raised, since its device was in maintenance. */
  heldPlaces(incarnation: number, n: number): number[]
  /** Actions of the tenant that wait. */
  waiting(tenant: string): number
}

export interface NewAction extends Omit<AlarmTurn, 'heldMs' | 'actions' | 'muted' | 'isHeard' | 'severity' | 'text' | 'values'> {
  id: string
  place: number
  kind: string
  name: string | null
  alarm: AlarmWords
  depth: number
  state: 'waiting' | 'failed' | 'cut'
  cutBy?: CutReason
  error?: string
}

/** `crowd`: too many of the tenant wait. */
export type CutReason = CutBy | 'crowd'

/** Something to be told, of a device. */
export interface Told {
  tenant: string
  incarnation: number
  device: string
  event: RuleEvent
}

export interface Planned {
  actions: NewAction[]
  told: Told[]
}

/** Whose turn it is. Those of one line are done one after the other. */
export interface DueAction {
  id: string
  kind: ActionKind
  /** Of its rule and its device. */
  line: string
}

/** An action that is carried out now. */
export interface ActionAtWork {
  id: string
  tenant: string
  incarnation: number
  device: string
  n: number
  rule: string
  version: number
  turn: Turn
  place: number
  /** Epoch ms: when the alarm's turn was decided. */
  at: number
  alarm: AlarmWords
  /** As stored with the rule; undefined: it is not there. */
  action: unknown
  /** `verifyFor` of the rule. */
  verifyFor: string | null
}

/** What an action can do: all of it in one transaction, with the word that it is done. */
export interface ActionHands {
  twin(tenant: string, device: string): Promise<{ incarnation: number; device: string; model: string; decided: string } | undefined>
  /** Whether its twin can take one more command now, as far as is known here. `replaced`: those of that name make room for it. */
  hasRoom(incarnation: number, replaced: string | undefined): Promise<boolean>
  /** False: the device is gone. */
  command(command: NewCommand): Promise<boolean>
  request: TwinRequests['insert']
  tell(told: Told): Promise<void>
  /** Undefined: not available. */
  openTicket: ((ticket: TicketAsk) => Promise<string | undefined>) | undefined
  requestPrediction: ((prediction: PredictionAsk) => Promise<string>) | undefined
}

/** A refusal that stays so is `failed`, with what to tell. `target`: on which registration it acted. */
export type Outcome = { result: string | null; target?: number } | { failed: string }
export type CarryOut = (action: ActionAtWork, hands: ActionHands) => Promise<Outcome>

/** `waiting`: it did not work out, and is tried again. `passed`: somebody else has it, or it is not its turn. */
export interface Carried {
  outcome: 'done' | 'failed' | 'waiting' | 'passed'
  /** Since the alarm's turn was decided; only where it is done. */
  delayMs?: number
}

export interface ActionStore {
  /** In one transaction: the next events of the outbox become actions. */
  take(plan: (turns: AlarmTurn[], past: Past) => Planned): Promise<{ actions: number; more: boolean }>
  /** Fair over tenants. */
  due(): Promise<DueAction[]>
  carryOut(id: string, act: CarryOut): Promise<Carried>
}
