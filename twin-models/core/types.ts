/**
 * The types of the pure core: what reaches a twin, what it decides, what it carries.
 *
 * Everything here is plain JSON (it is stored, signalled and replayed): no Map, Set, Date or undefined values that matter.
 * Times are epoch milliseconds, UTC. Nothing in core imports anything at run time.
 */
import type { AlarmAsk, Repair, TwinRule } from './rule-types.ts'
import type { HelloWords, ToldAt } from './state.ts'
import type { ToldUpdate, UpdateAnswer, UpdateRequest } from './update-types.ts'

export type * from './events.ts'
export type * from './rule-types.ts'
export type * from './state.ts'
export type * from './update-types.ts'

export type Scalar = number | string | boolean
/** A reading's value: a scalar, or a JSON object or array where the model's schema says so. */
export type Value = Scalar | null | Value[] | { [key: string]: Value }
export type JsonObject = { [key: string]: Value }

/** One measured value with its times, as the processor hands it on after normalising (`ts` is never after `receivedAt`). */
export interface Reading {
  name: string
  value: Value
  ts: number
  receivedAt: number
  messageId?: string
  /** A function of readings, that time alone has changed: no message says so. */
  timed?: true
}

/** Latest values of one device, newest per property by (ts, receivedAt, messageId): [value, ts, receivedAt, messageId?]. */
export type Latest = { [name: string]: LatestValue }
export type LatestValue = [value: Value, ts: number, receivedAt: number, messageId?: string]

export type PresenceStatus = 'online' | 'offline' | 'never'

/** What the twin needs to know of its model. It comes with a `configured` input and is carried in the state. */
export interface TwinSettings {
  model: string
  modelVersion: string
  /** Silence for longer than this, while not connected, is offline. */
  presenceTimeoutMs: number
  /** Numeric properties with a normal range: outside it the twin notices. `hysteresis` is how far back inside counts as normal again. */
  ranges: { [name: string]: NormalRange }
  /** How wishes for its writable properties are pursued; a property that is not named here: `desired` wins, without a deadline. */
  wishes?: { [property: string]: WishRule }
  /** First wait before an unanswered desired state is sent again. Absent: 30 s. */
  retryMs?: number
}
/** Who wins when a device changes by itself what we had wished: our wish, the device, or whoever changed it later. */
export interface WishRule {
  wins: 'desired' | 'device' | 'newest'
  /** A wish that has not converged for so long has diverged. */
  deadlineMs?: number
}
export interface NormalRange {
  minimum?: number
  maximum?: number
  hysteresis?: number
}
export type RangeStatus = 'normal' | 'low' | 'high'

/** Device health as its hello reports it. */
export interface Health {
  ok: boolean
  battery?: number
  rssi?: number
  errors?: string[]
}
export interface Firmware {
  version: string
  sha256?: string
}

/** `ahead`: its times lie after their receipt, and are replaced by it. `unset`: they lie before 2000. */
export type ClockStatus = 'ok' | 'ahead' | 'unset'
/** A device's clock, by the times that it told. */
export interface DeviceClock {
  status: ClockStatus
  /** How far it is ahead of ours; below zero it is behind, or its messages are late. Absent when it is not set. */
  driftMs?: number
}

/**
 * What a twin is given, in the order in which it became so. `at` is receipt time (the lane's time for `silent`).
 * - configured: settings of the model, first input of every twin's first batch, again when the model changes
 * - life:   a sign of life that matters (it was not online)
 * - silent: nothing was received since `lastSeenAt` for the presence timeout, and it is not connected
 * - hello:  the device's own word on `presence`; a will counts only for the newest connection (the lane checks that)
 * - event:  a device event
 * - reading: one reading of an opened property (§3.6), in order of receipt
 * - deliver: somebody waits for everything before to be decided (?consistency=strong); carries a request id to answer
 * - backstop: the twin's own long timer asked Postgres; `lastSeenAt` and `connected` are what stands there
 * - wish: somebody wants a desired state; `patch` (RFC 7396) or `replace` (all of it)
 * - reported: the device says how it is configured, a merge patch; `version` is the desired version that it answers
 * - command, cancel: somebody wants the device to do something, or no longer
 * - command-answer: the device's last word on a command
 * - update, cancel-update: somebody wants its firmware updated, or no longer
 * - update-answer: the device's last word on an update
 * - rules: which rules are for it from now on: those of `set` in these versions, and no longer those of `removed`; `all`: those of `set` alone
 * - tick: time has come for what its rules wait for; sent by the lane, in order with messages
 * - alarm: somebody does something with an open alarm
 * - maintenance: a repair begins, or ends
 * - update-step: the device installs, or reboots; it waits for whatever comes next
 * - due: the twin's own timer: a deadline has come. `sent` are those of its open commands that were sent; `update` is how a released update stands
 */
export type TwinInput =
  | { kind: 'configured'; at: number; settings: TwinSettings }
  | { kind: 'life'; at: number; messageId?: string }
  | { kind: 'silent'; at: number; lastSeenAt: number }
  | ({ kind: 'hello'; at: number; status: 'online' | 'offline'; will?: boolean; messageId?: string } & HelloWords)
  | { kind: 'event'; at: number; name: string; ts: number; data: Value; messageId?: string }
  | { kind: 'reading'; at: number; name: string; value: Value; ts: number; messageId?: string; timed?: true }
  | { kind: 'deliver'; at: number; request: string }
  | { kind: 'backstop'; at: number; lastSeenAt: number; connected: boolean }
  | ({ kind: 'wish'; at: number; request: string } & WishRequest)
  | { kind: 'reported'; at: number; ts: number; state: JsonObject; version?: number; rejected?: Rejections; messageId?: string }
  | { kind: 'command'; at: number; request: string; command: CommandRequest }
  | { kind: 'cancel'; at: number; request: string; id: string; by: string }
  | ({ kind: 'command-answer'; at: number; id: string; messageId?: string } & DeviceAnswer)
  | { kind: 'update'; at: number; request: string; update: UpdateRequest }
  | { kind: 'cancel-update'; at: number; request: string; id: string; by: string }
  | ({ kind: 'update-answer'; at: number; id: string; messageId?: string } & UpdateAnswer)
  | { kind: 'rules'; at: number; set: TwinRule[]; removed: string[]; all?: boolean }
  | { kind: 'tick'; at: number }
  | ({ kind: 'alarm'; at: number; request: string } & AlarmAsk)
  | ({ kind: 'maintenance'; at: number; request: string } & MaintenanceAsk)
  | { kind: 'update-step'; at: number; id: string; status: 'installing' | 'rebooting' }
  | { kind: 'due'; at: number; sent: string[]; update?: ToldUpdate }

/** Body of a request of kind `wish` (table twin_requests). One of `patch` and `replace`. */
export interface WishRequest {
  patch?: JsonObject
  replace?: JsonObject
  /** Only when the desired version is this one. */
  ifVersion?: number
  deadlineMs?: number
  retryMs?: number
  /** Who: the name of the API key, or of the bulk change. */
  by: string
}
/** Body of a request of kind `maintenance`. `until` null: this repair is over. */
export interface MaintenanceAsk extends Omit<Repair, 'until'> {
  until: number | null
}
/** By JSON pointer into the desired state. */
export type Rejections = { [pointer: string]: { code: string; message?: string } }

/** Body of a request of kind `command`. Its input and all else stand in the row of `commands`. */
export interface CommandRequest {
  id: string
  name: string
  /** Epoch ms. */
  expiresAt: number
  /** False: it may be sent only once. */
  repeatable: boolean
  /** So many of its name may be under way at once. Absent: any number. */
  concurrency?: number
  /** Only the last of its name counts: it cancels those before it. */
  onlyLast?: boolean
  by: string
}
export type DeviceAnswer = { status: 'succeeded'; output?: Value } | { status: 'failed'; code: string; message?: string; output?: Value }
export type CommandEnd = 'succeeded' | 'failed' | 'expired' | 'cancelled'

/** Values of which nothing would be decided. */
export interface WakeBounds {
  /** Of numbers, both inside. Absent: unbounded. */
  low?: number
  high?: number
  /** What is no number wakes, too: but this very value, where there is one. */
  typed?: true
  same?: Scalar | null
  /** One that wakes and is older than this at its receipt opens everything: what confirms it may be of another name. */
  lateMs?: number
  /** Any reading that is no older than this at its receipt wakes. */
  freshMs?: number
  /** The time (ts) of the newest reading evaluated: older ones never wake. */
  newest?: number
}

/** Merged routine readings of one property since the last seal; none of them met a wake condition. */
export interface Merged {
  count: number
  first: [value: Value, ts: number]
  last: [value: Value, ts: number, receivedAt: number]
  /** Only for numbers. */
  min?: [value: number, ts: number]
  max?: [value: number, ts: number]
}

/** What a seal carries. `merged` is older news than `inputs` of the same property: once opened, a property is no longer merged. */
export interface Batch {
  /** Messages counted in it. */
  messages: number
  /** Greatest receipt time in it, 0 if it holds no message. */
  lastSeenAt: number
  merged: { [name: string]: Merged }
  inputs: TwinInput[]
  /** W3C traceparent of one sampled message in it. */
  trace?: string
}

/**
 * What a twin wants to be woken for at once (DESIGN §3.6). Pure function of its state.
 * A reading wakes when it is not older than `newest` of its property and lies outside [low, high] (bounds included inside).
 */
export interface Wake extends ToldAt {
  /** Any sign of life matters (it is offline, or was never seen). */
  life: boolean
  presence: PresenceStatus
  /** It is offline since then. */
  offlineSince?: number
  /** It is offline because its device said so, or its own timer found out: what was received before is no sign of life. */
  goodbye?: boolean
  /** Silence after which `silent` is due. */
  presenceTimeoutMs: number
  /** Its device is on an update and will restart: that it goes away can wait for its return, which is decided with it. What it runs then is news. */
  mayRestart?: boolean
  /** It came back from there with what it had before, and is given a moment: whatever it says of its update then wakes, and so does that it goes away. */
  isBack?: boolean
  /** Firmware version, its hash, and health as known: a hello that differs wakes. */
  firmware?: string
  firmwareSha256?: string
  healthOk?: boolean
  /** Per watched property, and function of readings. */
  bounds: { [name: string]: WakeBounds }
  /** Its rules wait for this time. */
  dueAt?: number
  /** Newest desired version, and the newest that the device answered. Absent: nothing was ever wished, or answered. */
  wished?: number
  answered?: number
  /** A wish is outstanding: only then does a rejection decide something. */
  outstanding?: boolean
  /**
   * What it has reported: a report that changes nothing of it, and answers nothing, decides nothing. Absent when it is long or empty: then
   * every report that says something wakes.
   */
  reported?: JsonObject
}
