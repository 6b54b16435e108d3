/** What activities need of the outside. infra implements it, tests fake it; tests/conformance holds both to the same. */
import type { Cause, TwinEvent, TwinState, Wake } from '../twin-models/core/types.ts'

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
}

/**
 * - written: it is true now
 * - ahead: Postgres has a later revision (a task ran again, or a run was reset); adopt this state and decide anew what it has not consumed
 * - gone: there is no device of that incarnation; complete
 */
export type DecisionOutcome = { outcome: 'written' } | { outcome: 'ahead'; state: TwinState | null } | { outcome: 'gone' }

export interface DecisionStore {
  write(decision: Decision): Promise<DecisionOutcome>
  /** For the backstop timer: what Postgres knows of the device's last sign of life. Null when the device is gone. */
  lastSeen(incarnation: number): Promise<{ lastSeenAt: number; connected: boolean } | null>
}
export type { Cause }
