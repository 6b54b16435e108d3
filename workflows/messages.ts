/** All signals, updates and queries, once: imported by workflows, activities, processes and tests. Types only at run time names. */
import type { DecidedPart } from '../twin-models/core/decided.ts'
import type { EndpointStatus, StoredAttempt } from '../twin-models/core/delivery.ts'
import type { Pace, Progress } from '../twin-models/core/pacing.ts'
import type { RolloutAsk, RolloutPlan, RolloutState, WaveCounts } from '../twin-models/core/rollout-types.ts'
import type { TicketAsk, TicketOrigin, TicketPlan, TicketState, TicketStatus } from '../twin-models/core/ticket-types.ts'
import type { Batch, TwinState } from '../twin-models/core/types.ts'
import type { Prediction } from '../twin-models/prediction/types.ts'

export const TWIN_WORKFLOW = 'deviceTwin'

/** The only argument of `deviceTwin`. `carried` is set by continue-as-new alone. */
export interface TwinStart {
  tenant: string
  device: string
  incarnation: number
  carried?: TwinState
}

/** Signal `inbox`: one seal of the twin inbox. The twin ignores a seq that it has consumed. */
export const INBOX_SIGNAL = 'inbox'
export interface InboxSignal {
  seq: number
  batch: Batch
}

/** Signal `removed`: the device's registration ended; the twin completes. */
export const REMOVED_SIGNAL = 'removed'
export type RemovedSignal = Record<string, never>

/** Query `twin`: the decided part of the twin document, and how far it has decided. */
export const TWIN_QUERY = 'twin'
export interface TwinAnswer {
  decided: DecidedPart
  /** Newest seal consumed. */
  seq: number
  /** Counts decisions. */
  revision: number
}

/** How a twin ends. */
export interface TwinEnd {
  ended: 'removed' | 'gone'
  detail: string
}

export const BULK_WORKFLOW = 'bulkChange'

/**
 * The only argument of `bulkChange`. REST gives `tenant` and `id` of what it has registered; an operator in the UI gives `tenant` and the
 * request itself (twin-models/schemas/bulk-change.ts): {"tenant": "demo", "filter": "attributes.site = 'north'", "wish": {"targetTemperature": 21}}
 */
export interface BulkStart {
  tenant: string
  id?: string
  /** Set by continue-as-new alone. */
  carried?: BulkCarried
  [request: string]: unknown
}

export interface BulkCarried {
  id: string
  tenant: string
  /** What it does, in words. */
  title: string
  pace: Pace
  status: 'running' | 'paused' | 'halted'
  /** Why it halted. */
  reason?: string
  /** So many devices may have been asked in all. */
  upTo: number
  /** Epoch ms of the last start. */
  startedAt: number
  /** Looks in a row that found nothing new. */
  idle: number
  /** Failures before somebody let a halted one go on. */
  forgiven: number
}

/** Signal `asked`: what was asked over REST. Operators in the UI ask the same by Updates of these names. */
export const BULK_ASKED_SIGNAL = 'asked'
export interface BulkAsked {
  wanted: 'pause' | 'resume' | 'cancel'
}

export interface BulkEnd extends Progress {
  id: string
  status: 'cancelled' | 'completed'
}

export const ROLLOUT_WORKFLOW = 'rollout'

/**
 * The only argument of `rollout`. REST gives `tenant` and `id` of what it has registered; an operator in the UI gives `tenant` and the request
 * itself (twin-models/schemas/rollout.ts): {"tenant": "demo", "name": "…", "firmware": {"name": "…", "version": "…"}, "filter": "…"}. One that has
 * ended is rolled back by {"tenant": "demo", "id": "…", "ask": {"action": "rollback"}}.
 */
export interface RolloutStart {
  tenant: string
  id?: string
  ask?: unknown
  /** Its workflow was ended from outside, and is started again: it is halted. */
  interrupted?: true
  /** Set by continue-as-new alone. */
  carried?: RolloutCarried
  [request: string]: unknown
}

export interface RolloutCarried {
  id: string
  tenant: string
  plan: RolloutPlan
  about: RolloutAbout
  /** Of the newest step that was done. */
  n: number
  state: RolloutState
  /** What it was asked last: what is told twice is done once. */
  heard: Heard[]
  /** What was asked last, by whom, and what became of it. */
  note?: string
}

/** Something that a rollout or a ticket was asked, by its id, and the answer. */
export interface Heard {
  id: string
  answer: string
  isRefused: boolean
}

/** What its report says of it besides. Times are epoch milliseconds. */
export interface RolloutAbout {
  name: string
  firmware: { name: string; version: string }
  /** Whom it is for: a group's name or a filter. */
  target: string
  isGroup: boolean
  createdAt: number
  soakMs: number
  /** In words: its maintenance window. Absent: none. */
  window?: string
  /** In words. */
  waves: string[]
  rollbackWaves: string[]
  /** Whom it would reach, while it is a draft; Markdown. */
  preview?: string
}

/** Signal `asked`: what was asked over REST. Operators in the UI ask the same by Updates of these names. */
export const ROLLOUT_ASKED_SIGNAL = 'asked'
export interface RolloutAsked {
  asks: Array<{ id: string; by: string; ask: RolloutAsk }>
}

export interface RolloutEnd {
  id: string
  status: 'completed' | 'cancelled'
  reason?: string
  /** Of its direction at the end. */
  devices: WaveCounts
}

export const TICKET_WORKFLOW = 'maintenanceTicket'

/**
 * The only argument of `maintenanceTicket`. Rules and REST give `tenant` and `id` of what they have registered; an operator in the UI gives `tenant` and
 * the request itself (twin-models/schemas/ticket.ts): {"tenant": "demo", "device": "p-1", "title": "…", "onCall": ["ann"]}
 */
export interface TicketStart {
  tenant: string
  id?: string
  /** Set by continue-as-new alone. */
  carried?: TicketCarried
  [request: string]: unknown
}

export interface TicketCarried {
  id: string
  tenant: string
  /** For people. */
  number: number
  text: string
  plan: TicketPlan
  /** Of the newest step that was done. */
  n: number
  state: TicketState
  /** What it was asked last: what is told twice is done once. */
  heard: Heard[]
  /** What was asked last, by whom, and what became of it. */
  note?: string
}

/** Signal `asked`: what was asked over REST, by links, and by other systems. Operators in the UI ask the same by Updates of these names. */
export const TICKET_ASKED_SIGNAL = 'asked'
export interface TicketAsked {
  asks: Array<{ id: string; ask: TicketAsk; origin: TicketOrigin }>
}

/** Signal `look`: an alarm of its device and rule was raised or cleared. */
export const TICKET_LOOK_SIGNAL = 'look'
export type TicketLookSignal = Record<string, never>

export interface TicketEnd {
  id: string
  status: TicketStatus
  reason?: string
}

export const WEBHOOK_WORKFLOW = 'webhookDelivery'

/** The only argument of `webhookDelivery`: an endpoint in trouble. */
export interface WebhookStart {
  tenant: string
  /** Of the webhook. */
  id: string
}

/** Signal `look`: something is due earlier than was known, or was asked for over REST. */
export const WEBHOOK_LOOK_SIGNAL = 'look'
export type WebhookLook = Record<string, never>

/** How it ended. */
export interface WebhookEnd {
  status: EndpointStatus | 'removed'
}

/** What the workflow of a webhook in trouble asks for. `wanted`: what an operator wants of it, by an Update of that name. */
export interface WebhookAsk {
  tenant: string
  id: string
  wanted?: 'retryNow' | 'skip' | 'stop'
  /** Nothing is sent before then, so that its rate holds from one piece of work to the next. Epoch milliseconds. */
  notBefore?: number
}

/** How an endpoint stands. Times are epoch milliseconds. */
export interface WebhookReport {
  status: EndpointStatus | 'removed'
  /** Nothing is left to be worked off. */
  done: boolean
  url?: string
  /** Why it is disabled. */
  reason?: string
  retrying?: number
  behind?: number
  failed?: number
  /** Failures in a row, and since when. */
  failures?: number
  failingSince?: number | null
  /** While the breaker is open. */
  probeAt?: number | null
  nextAt?: number
  /** For the next piece of work. */
  notBefore?: number
  last?: StoredAttempt
  /** Of those that wait: what their last attempt said. */
  reasons?: Array<{ reason: string; count: number }>
}

export const PREDICTION_WORKFLOW = 'prediction'

/**
 * The only argument of `prediction`. What was registered comes as `tenant` and `id`; an operator in the UI gives
 * {"tenant": "demo", "device": "p-1", "model": "pump-failure"}.
 */
export interface PredictionStart {
  tenant: string
  id?: string
  [request: string]: unknown
}

/** As it stands when the workflow has ended. */
export type PredictionEnd = Prediction
