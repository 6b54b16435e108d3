/**
 * What the processor needs of the store. infra/postgres/lane-store.ts keeps it in Postgres, tests/support/memory-store.ts in memory;
 * tests/conformance/lane-store.ts holds both to the same.
 *
 * Everything but `commit` only reads. `commit` is the one transaction of a tick: all of it becomes true, or nothing. Because a lane has one
 * owner, and `commit` fails with `LeaseLost` when that is somebody else now, what was read before it still holds in it.
 */
import type { PresenceStatus, Reading } from '../../twin-models/core/types.ts'
import type { StoredRule } from '../../twin-models/rules/ready.ts'
import type { UpdateStepStatus } from './decoding/update-status.ts'

export class LeaseLost extends Error {
  constructor() {
    super('another processor owns the lane now')
    this.name = 'LeaseLost'
  }
}

/** Stream → seq of the last entry processed; FINISHED: closed and read to its end. */
export type Cursors = { [stream: string]: number }
export const FINISHED = -1

export interface Lane {
  lane: number
  epoch: number
  cursors: Cursors
  /** Epoch ms, 0 before the first entry. */
  watermark: number
  graceSince: number
  /** The cursors as they stand in the store: `commit` compares, so that a commit of unknown outcome cannot be made twice. */
  stored: string
}

export interface LogEntry {
  stream: number
  seq: number
  lane: number
  at: number
  heads: string
  body: Uint8Array
}

export interface StreamState {
  stream: number
  closed: boolean
}

/** A device as stored: registry part, and its inbox row if there is one. Texts are JSON. */
export interface DeviceRow {
  incarnation: number
  tenant: string
  device: string
  model: string
  modelVersion: string
  inbox: InboxRow | null
}

export interface InboxRow {
  lastSeen: number
  connection: string | null
  latest: string
  pending: string | null
  sealed: string | null
  sealedSeq: number
  sealedAt: number
  wake: string
  /** What is known of the device's clock (clock.ts). */
  clock: string | null
  /** The newest change of rules that was looked at for it. */
  rules: number
  /** Rules that its twin was told of, and what they compare (feature-texts.ts). */
  features: string | null
  featureStates: string | null
  featureValues: string | null
}

/** What a new owner of a lane must know of each device of it to go on: what is due, unanswered, or may fall silent. */
export interface LaneDevice {
  incarnation: number
  /** Empty: its registration has ended, and its row will go. */
  tenant: string
  lastSeen: number
  connected: boolean
  presence: PresenceStatus
  presenceTimeoutMs: number
  pendingSince: number | null
  urgent: boolean
  /** The unanswered seal. */
  sealedSeq: number | null
  sealedAt: number
  /** When time alone means something to its rules. */
  dueAt: number | null
}

export interface Answer {
  id: number
  incarnation: number
  seq: number
  wake: string
}

export interface TwinRequest {
  id: string
  incarnation: number
  lane: number
  kind: string
  /** JSON. */
  body: string
}

/** A command as far as a response to it asks. */
export interface CommandState {
  name: string
  open: boolean
  status: string
  /** Why it ended so, where there is more to say than its status. */
  code: string | null
}

/** The first word on a command in this tick, and how far the device has come with it. */
export interface CommandNews {
  id: string
  status: 'acknowledged' | 'running'
  /** JSON. Null: nothing was said. */
  progress: string | null
  at: number
}

/** An update as far as a word on it asks. */
export interface UpdateState {
  open: boolean
  status: string
  /** Why it ended so, or why the attempt before failed. */
  code: string | null
  /** The device was told of this attempt. */
  told: boolean
}

/** The first word on an update in this tick, and how far the device has come with it. */
export interface UpdateNews {
  id: string
  /** Null: that stays as it is, and only that the device has heard of it is news. */
  status: UpdateStepStatus | null
  /** JSON. Null: nothing was said. */
  progress: string | null
  at: number
}

export interface RemovedDevice {
  incarnation: number
  tenant: string
  device: string
}

export interface DeadLetter {
  at: number
  tenant: string
  device: string
  incarnation: number
  topic: string
  reason: string
  path: string | null
  detail: string
  messageId: string | null
  size: number
  raw: Uint8Array
}

export interface DeviceReading extends Reading {
  incarnation: number
  property: number
}

export interface InboxChange extends InboxRow {
  incarnation: number
  lane: number
  pendingSince: number | null
  urgent: boolean
  /** sealed, sealedSeq, sealedAt, wake or clock changed. (Most changes are not of this kind, and those columns are then left alone.) */
  full: boolean
  /** rules or features changed; else they are left alone. */
  ruled: boolean
  /** featureStates changed; else it is left alone. */
  stated: boolean
  dueAt: number | null
}

export interface TickChanges {
  lanes: Lane[]
  /** Later than every earlier reading of their property: they cannot be there yet. */
  news: DeviceReading[]
  /** Perhaps there: of two, the one with the greater (receivedAt, messageId) stays. */
  late: DeviceReading[]
  inboxes: InboxChange[]
  messageIds: Array<{ incarnation: number; digest: string; seenAt: number }>
  deadLetters: DeadLetter[]
  /** For the bridge of that stream; of NO_STREAM for whoever asks for what is pending. */
  errors: Array<{ stream: number; incarnation: number; body: string }>
  /** Answers taken. */
  answers: number[]
  /** Requests that a seal carries now. */
  requests: Array<{ id: string; seq: number }>
  /** Requests that this version of the code does not understand: they are answered with that. */
  refusedRequests: string[]
  /** One a command. They only go forward, and only while it has not ended. */
  commandNews: CommandNews[]
  /** Last words (JSON) that came after the end of their command: kept with it, its first ten. */
  commandLate: Array<{ id: string; answer: string }>
  /** One an update. They only go forward, and only while the device is on it: it was told of this attempt, and does not soak yet. */
  updateNews: UpdateNews[]
  /** Nothing is left of these, but their commands and updates: those that had not ended end cancelled. */
  removed: number[]
  /** Devices whose rules were looked at anew because their attributes changed. */
  reruled: Outdated[]
}

export interface LiveRule extends StoredRule {
  tenant: string
}

/** `asked`: the number of the newest change of its registration that has it looked at anew. Null: its rules changed, not the device. */
export interface Outdated {
  incarnation: number
  asked: number | null
}

/** `attributes` is JSON. */
export interface Registered {
  model: string
  attributes: string
}

export interface LaneStore {
  lanes(lanes: number[]): Promise<Lane[]>
  streams(): Promise<StreamState[]>
  /** Entries of these lanes and heartbeats with a seq above `after`, in order. Fewer than `maxEntries` means that there were no more. */
  read(stream: number, after: number, lanes: number[], maxEntries: number): Promise<LogEntry[]>
  devices(incarnations: number[]): Promise<DeviceRow[]>
  /** Those of the digests that were processed before. */
  knownMessages(ids: Array<{ incarnation: number; digest: string }>): Promise<Set<string>>
  /** Ids of property names of a tenant; made when missing. A name missing in the answer is one too many for the tenant. */
  properties(tenant: string, names: string[]): Promise<Map<string, number>>
  /** Those of these commands that are there and the device's own, by `incarnation id`. */
  commands(ids: Array<{ incarnation: number; id: string }>): Promise<Map<string, CommandState>>
  /** The same of updates. */
  updates(ids: Array<{ incarnation: number; id: string }>): Promise<Map<string, UpdateState>>
  answers(lanes: number[], limit: number): Promise<Answer[]>
  /** Oldest first. */
  requests(lanes: number[], limit: number): Promise<TwinRequest[]>
  removed(lanes: number[], limit: number): Promise<RemovedDevice[]>
  /** The workflow of the removed device was told. */
  removalTold(incarnation: number): Promise<void>
  /** The number of the newest change of rules, 0 when there was none; and whether devices wait because their attributes changed. */
  ruleChange(): Promise<{ change: number; devices: boolean }>
  liveRules(): Promise<LiveRule[]>
  /** Devices with an inbox that rules may have changed for since they were looked at: they stand at an older change, or have other attributes. */
  outdated(lanes: number[], limit: number): Promise<Outdated[]>
  /** As they are registered now, by incarnation. */
  registered(incarnations: number[]): Promise<Map<number, Registered>>
  laneDevices(lanes: number[]): AsyncIterable<LaneDevice[]>
  connectedThrough(stream: number, lanes: number[]): Promise<number[]>
  /** Latest values for search, as the twin document shows them (JSON). A copy that lags: not part of any transaction. */
  copyForSearch(rows: Array<{ incarnation: number; telemetry: string }>): Promise<void>
  /** With `trial` everything is done and then rolled back: to find the message that cannot be stored. */
  commit(changes: TickChanges, trial?: boolean): Promise<void>
  /** An error that has to do with the moment, not with what was to be stored. */
  isTransient(error: unknown): boolean
}
