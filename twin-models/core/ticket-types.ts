/**
 * A maintenance ticket: one repair, from the alarm that asked for it until it is verified. What its workflow carries, what it sees and what it is
 * to do. Plain JSON, as in types.ts; how it goes on stands in ticket.ts. Times are epoch milliseconds.
 */
import type { Severity } from './rule-types.ts'

/** Bounds that REST, links, the Temporal UI and the workflow hold an argument to. */
export const TICKET_LIMITS = {
  title: 200,
  text: 2_000,
  note: 1_000,
  /** Characters of who does something, and of a target's name. */
  by: 200,
  onCall: 10,
  acceptMs: { least: 1_000, most: 30 * 86_400_000 },
  doneMs: { least: 1_000, most: 366 * 86_400_000 },
  verifyForMs: { least: 1_000, most: 30 * 86_400_000 },
  /** How long a device may be in maintenance before somebody says so again. */
  maintenanceMs: { least: 1_000, most: 30 * 86_400_000 },
  /** How far ahead a repair may be planned. */
  plannedMs: 366 * 86_400_000,
  /** Lines of its story, after which nobody comments any more. */
  story: 1_000,
} as const

/** Where a rule does not say for how long its condition has to stay away. */
export const DEFAULT_VERIFY_MS = 30 * 60_000

export const TICKET_STATUSES = [
  ...(['open', 'notified', 'reassigned', 'escalated', 'accepted', 'scheduled'] as const),
  ...(['in-progress', 'done', 'verifying', 'reopened', 'closed', 'cancelled'] as const),
] as const
/**
 * - open:        nobody was told yet
 * - notified:    the first on call was told, and is to accept it
 * - reassigned:  another is to accept it: the one before said nothing, or somebody passed it on
 * - escalated:   nobody accepted it in a whole round, or it relapsed too often: told to all on call
 * - accepted, scheduled, in-progress: somebody has it; planned; at it, its device is in maintenance
 * - done:        said to be done
 * - verifying:   watched, whether that is so
 * - reopened:    it was not: somebody is to accept it again
 * - closed, cancelled: over
 */
export type TicketStatus = (typeof TICKET_STATUSES)[number]

export interface Deadline {
  /** From when somebody is told until the next one is. */
  acceptMs: number
  /** From when it is opened, or reopened, until it is to be done. */
  doneMs: number
}
export type Deadlines = Record<Severity, Deadline>
export const DEFAULT_DEADLINES: Deadlines = {
  critical: { acceptMs: 15 * 60_000, doneMs: 4 * 3_600_000 },
  major: { acceptMs: 3_600_000, doneMs: 24 * 3_600_000 },
  minor: { acceptMs: 8 * 3_600_000, doneMs: 7 * 86_400_000 },
  warning: { acceptMs: 24 * 3_600_000, doneMs: 14 * 86_400_000 },
}

/** What stands fast of it. */
export interface TicketPlan {
  title: string
  device: string
  /** Null: none asked for it, so no alarms are looked at. */
  rule: string | null
  /** Targets, in the order in which they are told. */
  onCall: string[]
  /** When it was opened. */
  severity: Severity
  deadlines: Deadlines
  /** For how long its condition has to stay away. */
  verifyForMs: number
  /** Name of a prediction model: asked before anybody is told, and again when it is done, when its risk has to be low, too. */
  predict?: string
  createdAt: number
  /** Who opened it: a rule, or the name of an API key. */
  by: string
}

/** Carried from run to run; its size is bounded. */
export interface TicketState {
  v: 1
  status: TicketStatus
  severity: Severity
  /** It was opened, or reopened last: its deadlines count from here. */
  since: number
  /** It is to be done by then. */
  dueAt: number
  /** How often it was said that it was not, */
  missed: number
  /** and when that is said again. */
  remindAt?: number
  /** Who is to accept it, and until when the next one is told. Null: nobody is on call. */
  asked?: { target: string | null; until: number }
  /** Place in the on-call list of who is told next. */
  turn: number
  /** How many were told in vain since `since`. */
  waits: number
  assignee?: string
  planned?: { at: number; isSaid?: true }
  maintenanceUntil?: number
  doneAt?: number
  /** While its prediction is waited for: how often it was asked for, and when last. */
  prediction?: { tries: number; askedAt: number }
  /** As it was predicted last. */
  risk?: TicketRisk
  relapses: number
  /** Its rule was removed, and that was said. */
  isRuleGone?: true
  /** Those of its rule that its story tells of. */
  alarms: number
  /** Targets that were told of it and not yet that it is settled. */
  told: string[]
  /** When another system said something last, by that one's clock. */
  heardAt?: number
  /** Why it is as it is: the evidence of a relapse, how it ended. */
  reason?: string
  /** The newest last, at most ten. */
  story: TicketStory[]
  /** Lines of its story in all. */
  stories: number
}

export interface TicketRisk {
  probability: number
  /** From which on it is high. */
  threshold: number
  at: number
}

/** A line of its story. */
export interface TicketStory {
  at: number
  /** `accepted`, `overdue`, …: for programs. */
  what: string
  by?: string
  via?: TicketVia
  /** In words. */
  text: string
}

/** How somebody came to do something. */
export type TicketVia = 'rest' | 'ui' | 'link' | 'system'
export interface TicketOrigin {
  via: TicketVia
  /** Of another system: its name, its message, and when it was so there. */
  system?: string
  messageId?: string
  at?: number
}

/** What a person, or another system, asks of it. */
export type TicketAsk = { by: string; note?: string } & (
  | { action: 'accept' | 'done' | 'cancel' }
  /** Absent: the next one on call. */
  | { action: 'reassign'; to?: string }
  /** Absent: another system did not say for when. */
  | { action: 'schedule'; at?: number }
  /** How long its device is to be in maintenance. */
  | { action: 'start'; forMs?: number }
  | { action: 'comment' | 'reopen'; note: string }
)
export type TicketAction = TicketAsk['action']
export const TICKET_ACTIONS = [
  'accept',
  'reassign',
  'schedule',
  'start',
  'done',
  'comment',
  'cancel',
  'reopen',
] as const satisfies TicketAction[]

/** What Postgres says of its surroundings. */
export interface TicketSight {
  /** Its device is registered. */
  isThere: boolean
  /** Alarms of its rule, since the one that it was opened for. */
  alarms: number
  /** The worst of them. */
  worst?: Severity
  /** The newest first, at most ten. One at most is not cleared: the first. */
  recent: SeenAlarm[]
  /** Changes with all of that. */
  seen: string
  /** Its rule is not live any more: nothing raises an alarm. */
  isUnwatched?: true
  /** That is since it was removed. */
  isRuleGone?: true
  /** It is not connected, and was heard last then; 0: never. */
  silentSince?: number
  /** News of its device wait for the twin to decide them: alarms may have been raised or cleared that nobody knows yet. */
  isBehind?: true
  /** The newest that was asked for. */
  prediction?: SeenPrediction
  external?: SeenExternal
}

export interface SeenAlarm {
  n: number
  severity: Severity
  text: string
  raisedAt: number
  /** Absent: it is still there. */
  clearedAt?: number
  /** By something else than that its condition was over. */
  clearedBy?: 'person' | 'removed' | 'changed'
}

export interface SeenPrediction {
  status: 'waiting' | 'answered' | 'failed'
  probability?: number
  threshold?: number
  /** Why it failed, or what explains it. */
  detail?: string
}

/** As another system knows it. */
export interface SeenExternal {
  system: string
  key: string
  url?: string
  /** In its words. */
  status?: string
}

/** A step of it: what it carries then, and what is to be done of that, once, in one transaction. */
export interface TicketChange {
  state: TicketState
  /** New lines of its story. */
  story: TicketStory[]
  notices: TicketNotice[]
  /** Its device is in maintenance until then; null: no longer. */
  maintenance?: number | null
  /** Its prediction is to be asked for. */
  predict?: true
  /** Of readings since then alone: what was measured before a repair says nothing of it. Absent: of all. */
  predictSince?: number
  /** Which event tells other systems of it. */
  event?: 'opened' | 'updated' | 'closed'
  origin?: TicketOrigin
}

/** One message to a target. */
export interface TicketNotice {
  target: string
  /** `resolved`: it has nothing to do any more. */
  status: 'firing' | 'resolved'
  subject: string
  text: string
}

/** What its workflow does next. What is waited for has always an end. */
export type TicketStep = { kind: 'change'; change: TicketChange } | { kind: 'wait'; until: number } | { kind: 'over' }

export type TicketSteered = { change: TicketChange; answer: string; refused?: undefined } | { refused: string }
