/** What REST and links need of the outside for tickets (infra/postgres/ticket-read.ts, ticket-external.ts, ticket-links.ts). Times are epoch milliseconds. */
import type { Severity } from '../twin-models/core/rule-types.ts'
import type {
  Deadlines,
  SeenExternal,
  TicketAsk,
  TicketOrigin,
  TicketPlan,
  TicketState,
  TicketStatus,
  TicketVia,
} from '../twin-models/core/ticket-types.ts'
import type { IdempotencyClaim, Page } from './ports.ts'

export interface TicketRow {
  id: string
  /** Rises with every ticket. */
  number: number
  incarnation: number
  device: string
  rule: string | null
  ruleVersion: number | null
  /** n of the alarm that it was opened for; of one that a person opened, of the first that may be its. */
  alarm: number | null
  text: string
  plan: TicketPlan
  changedAt: number
  endedAt: number | null
  /** As its workflow carried it last. */
  state: TicketState
  /** Alarms that it has seen. */
  alarms: number
  external: SeenExternal | undefined
  /** What its workflow is yet to be told. */
  asked: TicketAsked[]
}

/** Something that was asked of it. */
export interface TicketAsked {
  id: string
  ask: TicketAsk
  origin: TicketOrigin
}

export interface TicketLine {
  n: number
  at: number
  what: string
  by: string | null
  via: TicketVia | null
  text: string
}

export interface TicketAlarm {
  n: number
  severity: Severity
  text: string
  raisedAt: number
  clearedAt: number | null
}

export interface TicketQuery {
  statuses: readonly TicketStatus[] | undefined
  severities: readonly Severity[] | undefined
  device: string | undefined
  rule: string | undefined
  assignee: string | undefined
  /** Undefined: both. */
  isOpen: boolean | undefined
}

/** As a person opens one. */
export interface TicketByHand {
  id: string
  tenant: string
  incarnation: number
  device: string
  rule: string | null
  severity: Severity
  title: string
  text: string
  onCall: string[]
  predict?: string
  verifyForMs: number
  deadlines: Deadlines
  by: string
}

export type TicketTaken = { answer: string } | 'too-many' | undefined

/** Says what is answered, or throws why it is not taken. */
export type TicketJudge = (ticket: TicketRow) => string

export interface Tickets {
  /** With `claim`, and its id, under an Idempotency-Key; 'claimed': the key is taken. Undefined: there is no such device. */
  open(ticket: TicketByHand, claim?: IdempotencyClaim): Promise<{ id: string; isNew: boolean } | 'claimed' | undefined>
  find(tenant: string, id: string): Promise<TicketRow | undefined>
  /** The newest first. */
  list(tenant: string, query: TicketQuery, page: Page<number>): Promise<TicketRow[]>
  /** The newest lines, in order, and alarms, the newest first. */
  story(id: string): Promise<{ lines: TicketLine[]; alarms: TicketAlarm[] }>
  /** Undefined: there is none. 'too-many': too much waits for its workflow. */
  ask(tenant: string, id: string, asked: TicketAsked, judge: TicketJudge): Promise<TicketTaken>
  /** As another system knows it. 'taken': it knows another ticket so. Undefined: there is none. */
  setExternal(tenant: string, id: string, external: SeenExternal, by: string): Promise<'set' | 'taken' | undefined>
  /** What another system says, once a message; `answered` is what was answered to it the first time. Undefined: it knows no ticket so. */
  hear(
    tenant: string,
    message: SystemMessage,
    judge: HearingJudge,
  ): Promise<{ answered: HeardAnswer; isAgain: boolean } | 'too-many' | undefined>
}

export interface SystemMessage {
  system: string
  key: string
  messageId: string
}

/** What becomes of it: it is asked of the ticket, or ignored, and that stands in its story. */
export type HearingJudge = (ticket: TicketRow) => { asked?: TicketAsked; answer: HeardAnswer; by: string }
export interface HeardAnswer {
  ticket: string
  applied: boolean
  detail: string
}

/** What the token of a link stands for. */
export interface TicketLink {
  tenant: string
  ticket: string
  /** Who it was sent to. */
  target: string
  expiresAt: number
}

export interface TicketLinks {
  /** Undefined: there is none. */
  find(tokenHash: Uint8Array): Promise<TicketLink | undefined>
}
