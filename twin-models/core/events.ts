/** What a twin decides: its history, and what evolve.ts makes its state of. Plain JSON, as in types.ts. */
import type { AlarmEvent } from './rule-types.ts'
import type {
  CommandEnd,
  CommandRequest,
  DeviceAnswer,
  Firmware,
  Health,
  PresenceStatus,
  RangeStatus,
  TwinSettings,
  UpdateEnd,
  UpdateRequest,
  Value,
} from './types.ts'

/** What a twin decided. `cause` says by what. */
export type TwinEvent =
  | { kind: 'configured'; at: number; settings: TwinSettings; cause: Cause }
  | { kind: 'presence-changed'; at: number; before: PresenceStatus; after: PresenceStatus; reason: PresenceReason; cause: Cause }
  | { kind: 'range-changed'; at: number; name: string; before: RangeStatus; after: RangeStatus; value: number; ts: number; cause: Cause }
  | { kind: 'firmware-changed'; at: number; before: Firmware | null; after: Firmware; cause: Cause }
  | { kind: 'health-changed'; at: number; before: Health | null; after: Health; cause: Cause }
  | { kind: 'device-event'; at: number; name: string; ts: number; data: Value; cause: Cause }
  | {
      kind: 'desired-changed'
      at: number
      version: number
      changes: Change[]
      by: string
      /** Of these changes: when they count as diverged. */
      deadlineAt?: { [pointer: string]: number }
      retryMs?: number
      cause: Cause
    }
  /** The device answered this version, for the first time; `paths` are what it has not done (yet), perhaps none. */
  | { kind: 'desired-acknowledged'; at: number; version: number; paths: string[]; cause: Cause }
  /** The device is as it was wished at `paths`. */
  | { kind: 'desired-converged'; at: number; version: number; paths: string[]; cause: Cause }
  /** `version` is that of the wish. */
  | {
      kind: 'desired-diverged'
      at: number
      version: number
      path: string
      reason: DivergedReason
      code?: string
      message?: string
      /** Who changed it, where another writer did. */
      by?: string
      cause: Cause
    }
  /** The device changed by itself what was wished. `version` is the desired version from then on: what converged before is wished again under it. */
  | {
      kind: 'desired-conflict'
      at: number
      path: string
      desired: Value
      reported: Value | null
      winner: 'desired' | 'device'
      version: number
      /** Of what is wished again. */
      deadlineAt?: number
      cause: Cause
    }
  | { kind: 'reported-changed'; at: number; ts: number; changes: Change[]; cause: Cause }
  | { kind: 'command-requested'; at: number; command: CommandRequest; cause: Cause }
  | { kind: 'command-released'; at: number; id: string; name: string; cause: Cause }
  | {
      kind: 'command-ended'
      at: number
      id: string
      name: string
      status: CommandEnd
      output?: Value
      code?: string
      message?: string
      cause: Cause
    }
  /** An answer that came after the end: kept, and changes nothing. */
  | ({ kind: 'command-late'; at: number; id: string; cause: Cause } & DeviceAnswer)
  /** It waits until `deadlineAt`, or is let go in the same decision. */
  | { kind: 'update-requested'; at: number; update: UpdateRequest; from: Firmware | null; deadlineAt: number; cause: Cause }
  /** The device may be told, until `until`; the twin looks again at `deadlineAt`. */
  | { kind: 'update-released'; at: number; id: string; attempt: number; until: number; deadlineAt: number; cause: Cause }
  /** It is not told any more, and again at `deadlineAt`: in its next window, or because an attempt failed. `attempt` is the next one. */
  | { kind: 'update-postponed'; at: number; id: string; attempt: number; deadlineAt: number; code: string; message?: string; cause: Cause }
  /** Nothing to decide yet: it looks again. `returnsBy`: its device came with what it had, and has until then to come with the new firmware. */
  | { kind: 'update-awaited'; at: number; id: string; deadlineAt: number; returnsBy?: number; cause: Cause }
  /** It runs the new firmware, and is to stay healthy from now on. */
  | { kind: 'update-soaking'; at: number; id: string; deadlineAt: number; giveUpAt: number; cause: Cause }
  | {
      kind: 'update-ended'
      at: number
      id: string
      rollout?: string
      status: UpdateEnd
      firmware: { version: string; sha256: string }
      from: Firmware | null
      code?: string
      message?: string
      cause: Cause
    }
  | AlarmEvent

/** Of one leaf, by JSON pointer. Without `before` it was not there; without `after` it is gone. */
export interface Change {
  path: string
  before?: Value
  after?: Value
}
/** `refused` by the device; `deadline` passed; `other-writer` wished something else before; the `device` changed it and wins. */
export type DivergedReason = 'refused' | 'deadline' | 'other-writer' | 'device'

export type PresenceReason = 'message' | 'hello' | 'silence' | 'goodbye' | 'will' | 'backstop'
/** messageId may be absent: many devices send none. */
export type Cause =
  | { by: 'message'; messageId?: string }
  | { by: 'lane' }
  | { by: 'request'; request?: string; who?: string }
  | { by: 'timer' }
