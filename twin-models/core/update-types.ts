/**
 * A device's firmware update, as its twin carries it. Plain JSON, as in types.ts.
 *
 *   scheduled ──► notified ──► downloading ──► verifying ──► installing ──► rebooting ──► soaking ──► healthy
 *       └──────────────┴── failed | rolled-back | timed-out | rejected | cancelled | skipped ◄──┴────────┘
 *
 * Decided by the twin are `scheduled`, `soaking` and the end. What lies between the bridge and the processor note in the row of the update
 * (table updates): they decide nothing. That it installs or reboots the twin is told besides, without hurry (update-returns.ts).
 */
import type { Firmware, PresenceStatus } from './types.ts'

/** Body of a request of kind `update` (table twin_requests). Times are epoch milliseconds. */
export interface UpdateRequest {
  /** Of the row in `updates`. */
  id: string
  /** Absent: somebody asked for this device alone. */
  rollout?: string
  /** `rollback`: to an older one, which the signed manifest of the newer one allows. */
  kind: 'install' | 'rollback'
  firmware: { version: string; sha256: string }
  /** Versions that it may start from. Absent: any. */
  fromVersions?: string[]
  /** Percent. */
  minBattery?: number
  /** When it may be told: [from, until), in order, in UTC. Absent: at any time. */
  windows?: Array<[from: number, until: number]>
  /** A device that was not told by then has timed out: it was away. */
  offerUntil: number
  /** From when it was told until it says hello with the new firmware. */
  installMs: number
  /** How long it has to be healthy. 0: it is healthy when it says so once. */
  soakMs: number
  /** A device that was updated and is away for longer has fallen silent. */
  silenceMs: number
  attempts: number
  /** Before the second attempt; doubled each time. */
  retryMs: number
  /** Of two requests for a device the greater may take the place of one that was not told yet. Epoch ms of the order that it comes from. */
  precedence: number
  by: string
}

export interface OpenUpdate extends UpdateRequest {
  requestedAt: number
  /** What ran when it was requested, or let go. */
  from: Firmware | null
  /** From 1. */
  attempt: number
  /** How often this attempt was put off because the device could not just then. Absent: never. */
  waits?: number
  /** `waiting`: for its window, or for its next attempt. `released`: the device may be told. */
  phase: 'waiting' | 'released' | 'soaking'
  /** When the twin looks at it next; one timer. */
  deadlineAt: number
  /** Of `released`: not told by then, it is not told any more. */
  until?: number
  /** Of `released`: its device said this of it, last, at this time. Kept by the way, without an event. */
  said?: 'installing' | 'rebooting'
  saidAt?: number
  /** Of `released`: after that its device came with what it had before. If it is there then, and still runs that, it has returned. */
  returnsBy?: number
  /** Of `soaking`: when it came with the new firmware. */
  bootedAt?: number
  /** Of `soaking`: since when it is there without a break; absent while it is away. */
  soakingSince?: number
  /** Of `soaking`: critical alarms that were there when it came; they are none of its. Absent: none. */
  criticalBefore?: number[]
  /** Of `soaking`: what is not healthy by then never will be. */
  giveUpAt?: number
  /** Why the attempt before failed, or why it waits. */
  code?: string
  message?: string
}

export type UpdateEnd = 'healthy' | 'failed' | 'rolled-back' | 'timed-out' | 'rejected' | 'cancelled' | 'skipped'

/** How the row of a released update stands, for a deadline that has come. */
export interface ToldUpdate {
  id: string
  /** When the device was first told. Null: it was not. Of this attempt. */
  sentAt: number | null
  /** Why no device is told of its firmware any more. Absent: they may be. */
  unusable?: { code: string; message: string }
  /** As the device said last. */
  status: string
  /** Since when it says so, and when anything was received of it last. Absent: not known. */
  statusAt?: number | null
  lastSeenAt?: number | null
  /** What its twin will take it for once it has consumed all that waits for it. Absent: not known. */
  presence?: PresenceStatus
}

/** A device's last word on an update. */
export interface UpdateAnswer {
  status: 'failed' | 'rejected'
  code: string
  message?: string
}
