/** All signals, updates and queries, once: imported by workflows, activities, processes and tests. Types only at run time names. */
import type { DecidedPart } from '../twin-models/core/decided.ts'
import type { Pace, Progress } from '../twin-models/core/pacing.ts'
import type { Batch, TwinState } from '../twin-models/core/types.ts'

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

/** Updates, for operators in the UI. */
export const BULK_UPDATES = { pause: 'pause', resume: 'resume', cancel: 'cancel' } as const

/** Signal `asked`: the same, asked over REST. */
export const BULK_ASKED_SIGNAL = 'asked'
export interface BulkAsked {
  wanted: 'pause' | 'resume' | 'cancel'
}

export interface BulkEnd extends Progress {
  id: string
  status: 'cancelled' | 'completed'
}
