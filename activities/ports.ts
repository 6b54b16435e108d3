/** What activities need of the outside. infra implements it, tests fake it; tests/conformance holds both to the same. */
import type { DecisionEffects } from '../twin-models/core/effects.ts'
import type { Progress } from '../twin-models/core/pacing.ts'
import type { ToldUpdate, TwinEvent, TwinState, Wake } from '../twin-models/core/types.ts'
import type { TwinKey } from '../twin-models/ids.ts'
import type { BulkRequest } from '../twin-models/schemas/bulk-change.ts'

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
  /** What it means for its device's wishes and commands; absent for nearly all decisions. */
  effects?: DecisionEffects
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
  /** For a deadline that has come: which of the device's open commands were sent. Null when the device is gone. */
  sentCommands(key: TwinKey): Promise<string[] | null>
  /** For a deadline of an update that was let go: how its row stands. One without a row was told nobody. Null when the device is gone. */
  sentUpdate(key: TwinKey, id: string): Promise<ToldUpdate | null>
}

/** Tells the bridges that something is to be sent to a device. They look themselves, too: it only makes them quick. */
export interface Announcer {
  announce(incarnation: number): void
}

export interface LastSeen {
  lastSeenAt: number
  connected: boolean
  /** Everything received before this is in `lastSeenAt`: the watermark of the device's lane. 0: unknown. */
  watermark: number
}

/** A bulk change as stored. */
export interface BulkChange extends BulkRequest {
  id: string
  tenant: string
  by: string
}

export interface BulkLook {
  progress: Progress
  /** Of those that failed or were skipped, the most frequent first; at most five devices each. */
  reasons: Array<{ status: 'failed' | 'skipped'; reason: string; count: number; devices: string[] }>
}

export type BulkStatus = 'running' | 'paused' | 'halted' | 'cancelled' | 'completed' | 'failed'

/** Where it stands. It is further than its beginning where its workflow was reset. */
export interface BulkStanding {
  status: Exclude<BulkStatus, 'failed'>
  reason?: string
  /** So many devices were asked. */
  upTo: number
}

export interface BulkStore {
  /** Makes it known, once. False: there is no such tenant. */
  register(change: BulkChange): Promise<boolean>
  find(tenant: string, id: string): Promise<BulkChange | undefined>
  /** Chooses its devices, once, and says where it stands. `problemOf`: why those of a model cannot take it. Throws `invalid` where they are too many. */
  select(change: BulkChange, workflow: string, problemOf: (model: string) => string | undefined): Promise<BulkStanding>
  /**
   * One step: sees how those under way fare, asks further devices until `upTo` were asked in all, and notes its status; with one that is
   * an end all that still wait are skipped. Twice is once. `rules` says how a command is sent to devices of a model.
   */
  advance(
    change: BulkChange,
    step: { upTo: number; status: BulkStatus; reason?: string },
    rules: (model: string) => CommandRules | undefined,
  ): Promise<BulkLook>
}

export interface CommandRules {
  repeatable: boolean
  retryMs: number
  attempts: number
  concurrency?: number
  onlyLast?: boolean
}
