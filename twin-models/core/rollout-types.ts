/**
 * A rollout: what was asked for, what its workflow carries, what it counts and what it is to do next. Plain JSON, as in types.ts; what each
 * threshold means stands in rollout.ts.
 */
import type { ErrorLimit, Pace } from './pacing.ts'
import type { UpdateEnd } from './update-types.ts'

/** Bounds that REST, the Temporal UI and the workflow hold an argument to. */
export const ROLLOUT_LIMITS = {
  targets: 1_000_000,
  /** Of a tenant, that have not ended: each has a workflow, drafts too. */
  open: 500,
  waves: 20,
  perSecond: { least: 0.01, most: 1_000 },
  atOnce: { least: 1, most: 1_000_000 },
  /** Characters of who approves. */
  by: 200,
} as const

/** What one asks for, parsed (twin-models/schemas/rollout.ts). */
export interface RolloutSpec extends DeviceSpec {
  name: string
  firmware: { name: string; version: string }
  /** Whom it is for. */
  target: { filter: string; group?: undefined } | { group: string; filter?: undefined }
  /** The last one reaches all. */
  waves: WaveRule[]
  rollbackWaves: WaveRule[]
  /** 0 to 1: the share of a wave that has to be healthy before the next one begins. */
  gate: number
  failures: ErrorLimit
  pace: RolloutPace
  downloadBytesPerSecond?: number
  /** What becomes of updates under way when it halts by itself. */
  onHalt: Running
  lateJoiners: 'ignore' | 'join'
  approval: 'none' | 'one' | 'four-eyes'
}

/** As it is registered. */
export interface NewRollout {
  id: string
  tenant: string
  spec: RolloutSpec
  by: string
}

/** Of the update of each device: as in UpdateRequest (update-types.ts), but for its window and how long it is offered. */
export interface DeviceSpec {
  soakMs: number
  offerMs: number
  installMs: number
  silenceMs: number
  attempts: number
  retryMs: number
  window?: MaintenanceWindow
}

/** `percent`: all of the rollout's devices up to this share, those of the waves before included. `count`: so many more. `group`: its members. */
export type WaveRule = { percent: number } | { count: number } | { group: string }

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Weekday = (typeof WEEKDAYS)[number]

/** Local times `HH:MM`; `to` before `from` is on the next day. */
export interface MaintenanceWindow {
  from: string
  to: string
  /** On which it begins. Absent: every day. */
  days?: Weekday[]
  /** IANA; for devices that tell none of their own. Absent: UTC. */
  timeZone?: string
}

export type Running = 'continue' | 'cancel'
export type RolloutPace = Pick<Pace, 'perSecond' | 'atOnce'>

/** What the pure core needs of the spec, and who asked for it. */
export type RolloutPlan = Pick<RolloutSpec, 'gate' | 'failures' | 'soakMs' | 'pace' | 'onHalt' | 'lateJoiners' | 'approval'> & {
  by: string
}

export const ROLLOUT_STATUSES = ['draft', 'running', 'paused', 'halted', 'rolling-back', 'completed', 'cancelled'] as const
export type RolloutStatus = (typeof ROLLOUT_STATUSES)[number]
/** `back`: its devices return to what they ran before. */
export type RolloutDirection = 'forward' | 'back'
/** Who goes back: all that run what it brought, or only those of them whose update did not end healthy. */
export type RolloutReturn = 'updated' | 'failed'

/** Carried from run to run; its size does not grow with the fleet. */
export interface RolloutState {
  v: 1
  status: RolloutStatus
  direction: RolloutDirection
  /** Why it is halted, or how it was cancelled. */
  reason?: string
  approvedBy?: string
  /** The devices of its direction are chosen and lie in their waves. */
  chosen: boolean
  /** The current one, from 0; of its direction. */
  wave: number
  pace: RolloutPace
  /** Epoch ms of the last start, 0 for none. */
  startedAt: number
  /** How many looks in a row found the same counts as `seen`. */
  idle: number
  seen: string
  /** A person said `advance`: the gate of the current wave is not waited for. */
  passed?: true
  /** Failures that a resume took note of: of the current wave, and of all waves of its direction. They are in no share any more. */
  acknowledged: { wave: number; all: number }
  /** Late devices were looked for before the end. */
  joined: boolean
  back?: {
    which: RolloutReturn
    /** Forward updates under way are cancelled first: it waits for their ends until then, no longer. Epoch ms. */
    chooseBy: number
  }
}

/** Devices of one wave. `total` is the sum of waiting, underway, healthy, failed and left. */
export interface WaveCounts {
  total: number
  waiting: number
  /** Of waiting: not to be asked just now, since the device was busy with another update. */
  later: number
  underway: number
  healthy: number
  /** failed, rolled-back, rejected, timed-out (but for `away` and `no-window`). */
  failed: number
  /** Of failed: fell silent after the update. */
  silent: number
  /** skipped, cancelled, `away`, `no-window`, excluded, removed: in no share. */
  left: number
}

export interface RolloutCounts {
  /** One for each wave of its direction, empty ones too. */
  waves: WaveCounts[]
  /** Going back: forward updates that have not ended yet. Else 0. */
  ahead: number
}

/** What the workflow does next; afterStep says what it carries then. Each may come twice, when its result was lost, and is done once. */
export type RolloutStep =
  /** Choose the devices of the direction and put them into their waves; nothing when they are chosen. */
  | { kind: 'choose'; direction: RolloutDirection; which?: RolloutReturn }
  /** Ask the next `count` waiting devices, in order, of waves up to `wave`. */
  | { kind: 'start'; wave: number; count: number }
  /** The wave `to` is the current one. `join`: late devices go into it first. */
  | { kind: 'advance'; to: number; join: boolean }
  /** Late devices go into the last wave. */
  | { kind: 'join' }
  | { kind: 'halt'; reason: string; cancelRunning: boolean }
  /** Without `ms`: until somebody asks for something. */
  | { kind: 'wait'; ms?: number }
  | { kind: 'done'; status: 'completed' | 'cancelled' }

/** What a person asks of it. `by` of approve counts, of the others it is told. */
export type RolloutAsk =
  | { action: 'approve'; by: string }
  | { action: 'pause' | 'resume' | 'advance' }
  | { action: 'cancel'; running?: Running }
  /** `interrupted`: its workflow ended from outside; said by whoever started it again, and by nobody else. */
  | { action: 'halt'; running?: Running; interrupted?: true }
  | { action: 'rollback'; which?: RolloutReturn }
  | { action: 'pace'; perSecond?: number; atOnce?: number }
  | { action: 'exclude'; device: string }
export type RolloutAction = RolloutAsk['action']

/** To be done in the store with the new state, before anything else. Doing it twice changes nothing. */
export interface SteerEffects {
  /** Updates under way, of its direction before, are cancelled. */
  cancelRunning?: true
  /** Nobody who waits, of its direction before, is asked any more: they are `left`. */
  dropWaiting?: true
  /** This device is left out: it is not asked, and what is under way is cancelled. */
  exclude?: string
}

export type Steered = { state: RolloutState; answer: string; effects: SteerEffects; refused?: undefined } | { refused: string }

/** Whom a rollout would reach if it chose now. */
export interface RolloutPreview {
  /** Devices that its filter finds. */
  found: number
  /** Of those, how many take part. */
  total: number
  /** One a wave: how many devices, and the ids of some. */
  waves: Array<{ devices: number; sample: string[] }>
  /** What those that take part run now, the most frequent first. Null: unknown. */
  versions: Array<{ version: string | null; devices: number }>
  leftOut: LeftOut[]
}

/** The most frequent reason first. */
export interface LeftOut {
  reason: string
  devices: number
  sample: string[]
}

/** What an operator wants to know besides. Every list is short. */
export interface RolloutDetails {
  /** Of devices that did not end healthy, the most frequent first. */
  reasons: Array<{ status: UpdateEnd; reason: string; devices: number; sample: string[] }>
  /** Sites whose share of failures is well above that of all. */
  sites: Array<{ site: string; failed: number; judged: number }>
  leftOut: LeftOut[]
}
