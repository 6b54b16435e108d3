/** What activities of tickets need of the outside (infra/postgres/tickets.ts). Times are epoch milliseconds. */

import type { Severity } from '../twin-models/core/rule-types.ts'
import type { Deadlines, SeenPrediction, TicketChange, TicketPlan, TicketSight, TicketState } from '../twin-models/core/ticket-types.ts'
import type { Heard } from '../workflows/messages.ts'

/** What a rule, or a person, wants repaired. */
export interface NewTicket {
  /** Of the ticket, if another is not open already. Absent: any. */
  id?: string
  tenant: string
  incarnation: number
  device: string
  /** Null: no rule asked for it, or is to tell whether it is repaired. */
  rule: string | null
  ruleVersion?: number
  /** n of the alarm that asks for it: the same asks once. Absent: a person does. */
  alarm?: number
  severity: Severity
  /** Up to 200 characters in one line, and up to 2,000. */
  title: string
  text: string
  /** Targets, in the order in which they are told; up to 10. */
  onCall: string[]
  /** Name of a prediction model. */
  predict?: string
  verifyForMs: number
  /** Of the severities that others than the usual are for. */
  deadlines?: Partial<Deadlines>
  /** Who opens it. Absent: the rule. */
  by?: string
}

/** `known`: this very alarm asked for it before. */
export interface OpenedTicket {
  id: string
  outcome: 'opened' | 'joined' | 'known'
}

/** A ticket as stored. */
export interface Ticket {
  id: string
  number: number
  tenant: string
  incarnation: number
  text: string
  plan: TicketPlan
  /** After its newest step. Absent: none was done yet. */
  carried?: TicketStood & { n: number }
}

/** What its workflow carries, as far as Postgres knows it too. */
export interface TicketStood {
  state: TicketState
  /** What it was asked last: what is told twice is done once. */
  heard: Heard[]
}

/** One step of its workflow: what it carries from now on, and what is to be done of it. */
export interface TicketStoreStep {
  /** Counts up; one that was done is not done again. With the number of the last one nothing is done: it is a look. */
  n: number
  change?: TicketChange
  heard: Heard[]
  /** What it was decided by. One that ends it is not done when something was seen since. */
  seen: string
}

export interface TicketLook {
  /** The newest step that was done. */
  n: number
  /** It was not this one, but one of a run of the workflow that was further: what it carried. */
  ahead?: TicketStood
  /** Nothing was done: something was seen that the step did not know of. */
  isStale?: true
  sight: TicketSight
}

export interface TicketStore {
  /** Opens it, or joins the one that is open for its device and rule. Undefined: there is no such device. */
  open(ticket: NewTicket): Promise<OpenedTicket | undefined>
  /** The incarnation of a device that is registered. */
  incarnationOf(tenant: string, device: string): Promise<number | undefined>
  find(tenant: string, id: string): Promise<Ticket | undefined>
  /** This workflow works on it from now on. Throws `conflict` when another does. */
  claim(ticket: Ticket, workflow: string): Promise<void>
  /** Looks, and does what the step says. Twice is once. */
  step(ticket: Ticket, step: TicketStoreStep): Promise<TicketLook>
}

/** A message to a target, as the ticket wants it told. */
export interface TicketMessage {
  tenant: string
  target: string
  /** The same for all of a ticket, so that the resolved one belongs to the others. */
  key: string
  /** Which of those with this key and target: told again, it is told once. */
  step: string
  status: 'firing' | 'resolved'
  severity: Severity
  device: string
  subject: string
  text: string
  facts: { [name: string]: string }
  /** Since when there is what it is about, and when it was decided. */
  since: number
  dueAt: number
  links: Array<{ title: string; url: string }>
}

/** Tells people. `within` is the transaction of the step: the step and its messages are one. A target that is not there is no reason to fail. */
export interface TicketNotices<Within> {
  insert(within: Within, messages: TicketMessage[]): Promise<void>
}

/** Asks models for the risk, likewise. Throws a CastorError, without breaking the transaction, where a model cannot be asked as things stand. */
export interface TicketPredictions<Within> {
  request(within: Within, asked: TicketQuestion): Promise<string>
  result(within: Within, tenant: string, id: string): Promise<SeenPrediction>
}

export interface TicketQuestion {
  tenant: string
  incarnation: number
  device: string
  /** Name of the prediction model. */
  model: string
  /** Of the ticket. */
  requestedBy: string
  /** Of readings since then alone. Absent: of all. */
  since?: number
}
