/**
 * The types of the pure core: what reaches a twin, what it decides, what it carries.
 *
 * Everything here is plain JSON (it is stored, signalled and replayed): no Map, Set, Date or undefined values that matter.
 * Times are epoch milliseconds, UTC. Nothing in core imports anything at run time.
 */

export type Scalar = number | string | boolean
/** A reading's value: a scalar, or a JSON object or array where the model's schema says so. */
export type Value = Scalar | null | Value[] | { [key: string]: Value }

/** One measured value with its times, as the processor hands it on after normalising (`ts` is never after `receivedAt`). */
export interface Reading {
  name: string
  value: Value
  ts: number
  receivedAt: number
  messageId?: string
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
 */
export type TwinInput =
  | { kind: 'configured'; at: number; settings: TwinSettings }
  | { kind: 'life'; at: number; messageId?: string }
  | { kind: 'silent'; at: number; lastSeenAt: number }
  | { kind: 'hello'; at: number; status: 'online' | 'offline'; will?: boolean; firmware?: Firmware; health?: Health; messageId?: string }
  | { kind: 'event'; at: number; name: string; ts: number; data: Value; messageId?: string }
  | { kind: 'reading'; at: number; name: string; value: Value; ts: number; messageId?: string }
  | { kind: 'deliver'; at: number; request: string }
  | { kind: 'backstop'; at: number; lastSeenAt: number; connected: boolean }

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
export interface Wake {
  /** Any sign of life matters (it is offline, or was never seen). */
  life: boolean
  presence: PresenceStatus
  /** It is offline since then. */
  offlineSince?: number
  /** It is offline because its device said so, or its own timer found out: what was received before is no sign of life. */
  goodbye?: boolean
  /** Silence after which `silent` is due. */
  presenceTimeoutMs: number
  /** Firmware version and health as known: a hello that differs wakes. */
  firmware?: string
  healthOk?: boolean
  /** Per watched property: bounds inside which nothing would be decided (absent: unbounded), and the time of the newest reading evaluated. */
  bounds: { [name: string]: { low?: number; high?: number; newest?: number } }
}

/** What a twin decided. `cause` says by what. */
export type TwinEvent =
  | { kind: 'configured'; at: number; settings: TwinSettings; cause: Cause }
  | { kind: 'presence-changed'; at: number; before: PresenceStatus; after: PresenceStatus; reason: PresenceReason; cause: Cause }
  | { kind: 'range-changed'; at: number; name: string; before: RangeStatus; after: RangeStatus; value: number; ts: number; cause: Cause }
  | { kind: 'firmware-changed'; at: number; before: Firmware | null; after: Firmware; cause: Cause }
  | { kind: 'health-changed'; at: number; before: Health | null; after: Health; cause: Cause }
  | { kind: 'device-event'; at: number; name: string; ts: number; data: Value; cause: Cause }

export type PresenceReason = 'message' | 'hello' | 'silence' | 'goodbye' | 'will' | 'backstop'
/** messageId may be absent: many devices send none. */
export type Cause = { by: 'message'; messageId?: string } | { by: 'lane' } | { by: 'request'; request?: string } | { by: 'timer' }

/** What a twin carries from decision to decision and through continue-as-new. Versioned: `upgrade` turns older ones into this. */
export interface TwinState {
  v: 1
  settings: TwinSettings
  revision: number
  /** Newest seal consumed. */
  seq: number
  presence: { status: PresenceStatus; since: number; reason: PresenceReason | 'registered'; lastSeenAt: number }
  /** Watched properties only: status, since when, the last number evaluated and the time (ts) of the newest reading; 0: none yet. */
  ranges: { [name: string]: { status: RangeStatus; since: number; value: number; newest: number } }
  /** Latest value the twin knows per property: [value, ts]. Bounded: 200 names, those beyond are only in the inbox row. */
  values: { [name: string]: [value: Value, ts: number] }
  firmware: Firmware | null
  health: Health | null
  /** Messages it was told of, in all. */
  messages: number
  /** Last device events, newest first, at most 10: name and ts. */
  recentEvents: Array<{ name: string; ts: number }>
}
