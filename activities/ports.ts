/** What activities need of the outside. infra implements it, tests fake it; tests/conformance holds both to the same. */
import type { TwinEvent, TwinState, Wake } from '../twin-models/core/types.ts'
import type { TwinKey } from '../twin-models/ids.ts'

/** A decision as the workflow hands it to the decision write. */
export interface Decision {
  tenant: string
  device: string
  incarnation: number
  /** Revision before this decision; the write goes through only if Postgres stands there too. */
  expectedRevision: number
  /** The newest seal that it consumed, or the one before if a timer caused it. */
  seq: number
  state: TwinState
  events: TwinEvent[]
  wake: Wake
  /** Requests answered by it. */
  answers: Array<{ request: string; answer: unknown }>
  trace?: string
  /** Receipt of the oldest message that was decided on singly; absent when only routine was merged. For the latency histogram. */
  acceptedAt?: number
}

/**
 * - written: it is true now
 * - ahead: Postgres stands elsewhere (a task ran again, a run was reset, a backup was restored); adopt this state, null being the
 *   beginning, and decide anew what it has not consumed
 * - gone: there is no device of that incarnation; complete
 */
export type DecisionOutcome = { outcome: 'written' } | { outcome: 'ahead'; state: TwinState | null } | { outcome: 'gone' }

export interface DecisionStore {
  /** Compare-and-append: writes only when Postgres stands at `expectedRevision`. Whatever the outcome but `gone`, the seal is answered. */
  write(decision: Decision): Promise<DecisionOutcome>
  /** For a seal that comes again after its decision: answers it again. `written` when Postgres stands at `revision`, else `ahead`. */
  confirm(key: TwinKey, revision: number): Promise<DecisionOutcome>
  /** For the backstop timer: what Postgres knows of the device's last sign of life. Null when the device is gone. */
  lastSeen(key: TwinKey): Promise<LastSeen | null>
}

export interface LastSeen {
  lastSeenAt: number
  connected: boolean
  /** Everything received before this is in `lastSeenAt`: the watermark of the device's lane. 0: unknown. */
  watermark: number
}
