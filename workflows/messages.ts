/** All signals, updates and queries, once: imported by workflows, activities, processes and tests. Types only at run time names. */
import type { DecidedPart } from '../twin-models/core/decided.ts'
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
