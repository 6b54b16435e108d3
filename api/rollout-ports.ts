/**
 * What REST needs of the outside for groups, updates and rollouts (infra/postgres/groups.ts, updates.ts, rollout-read.ts). Times are epoch
 * milliseconds.
 */
import type {
  RolloutAsk,
  RolloutCounts,
  RolloutDetails,
  RolloutPlan,
  RolloutPreview,
  RolloutSpec,
  RolloutState,
  RolloutStatus,
  WaveCounts,
} from '../twin-models/core/rollout-types.ts'
import type { IdempotencyClaim, Page } from './ports.ts'

/** Of a tenant. Pins are fewer: each is asked of every device that a rollout looks at. */
export const MOST_GROUPS = 500
export const MOST_PINS = 50

export interface Group {
  name: string
  filter: string
  /** A version. Null: none. */
  firmwarePin: string | null
  createdAt: number
  changedAt: number
}

export interface Groups {
  /** New or changed. 'too-many-…': nothing was written. */
  put(
    tenant: string,
    group: Pick<Group, 'name' | 'filter' | 'firmwarePin'>,
  ): Promise<{ group: Group; isNew: boolean } | 'too-many-groups' | 'too-many-pins'>
  find(tenant: string, name: string): Promise<Group | undefined>
  /** By name. */
  list(tenant: string, page: Page<string>): Promise<Group[]>
  /** False: there is none. */
  remove(tenant: string, name: string): Promise<boolean>
  /** How many devices a filter finds; counted no further than `most`. */
  count(tenant: string, filter: string, most: number): Promise<number>
  /** The first group, by name, that holds the device and pins it to another version than this. */
  pinElsewhere(device: { tenant: string; incarnation: number }, version: string): Promise<Group | undefined>
}

export const UPDATE_ENDS = ['healthy', 'failed', 'rolled-back', 'timed-out', 'rejected', 'cancelled', 'skipped'] as const
export const UPDATE_STATUSES = [
  ...(['scheduled', 'notified', 'downloading', 'verifying', 'installing', 'rebooting', 'soaking'] as const),
  ...UPDATE_ENDS,
] as const
export type UpdateStatus = (typeof UPDATE_STATUSES)[number]

/** An update as stored, but for its job and link, which are its device's alone. JSON columns stay text. */
export interface UpdateRow {
  id: string
  /** Rises with every update. */
  number: number
  incarnation: number
  device: string
  rollout: string | null
  kind: 'install' | 'rollback'
  firmware: { id: string; name: string; version: string; sha256: string }
  requestedBy: string
  createdAt: number
  fromVersion: string | null
  fromSha256: string | null
  status: UpdateStatus
  /** JSON. */
  progress: string | null
  attempt: number
  /** Its device may be told until then. */
  until: number | null
  /** Last, of this attempt. */
  sentAt: number | null
  answeredAt: number | null
  statusAt: number
  endedAt: number | null
  code: string | null
  message: string | null
}

export interface NewUpdate {
  /** Of its request to the twin, too. */
  id: string
  tenant: string
  incarnation: number
  /** Id of the artifact. */
  firmware: string
  kind: UpdateRow['kind']
  requestedBy: string
  from: { version: string; sha256?: string } | undefined
  /** JSON of an UpdateRequest. */
  request: string
}

export interface Updates {
  /**
   * The update and the request to its twin, in one transaction; with `claim`, and its id, under an Idempotency-Key. 'gone': there is no such
   * registration (any more); 'claimed': the key is taken. Nothing was written then.
   */
  insert(update: NewUpdate, claim?: IdempotencyClaim): Promise<'written' | 'gone' | 'claimed'>
  find(tenant: string, id: string): Promise<UpdateRow | undefined>
  /** Newest first. */
  list(query: {
    tenant: string
    /** Of its present registration. */
    device: string | undefined
    rollout: string | undefined
    statuses: readonly UpdateStatus[] | undefined
    page: Page<number>
  }): Promise<UpdateRow[]>
  /** Those of `ids` that ended. */
  ended(ids: string[]): Promise<Array<{ id: string }>>
}

export const ROLLOUT_STATUSES = ['draft', 'running', 'paused', 'halted', 'rolling-back', 'completed', 'cancelled'] as const
export const TARGET_STATUSES = ['waiting', 'underway', ...UPDATE_ENDS] as const
export type TargetStatus = (typeof TARGET_STATUSES)[number]

export interface RolloutRow {
  id: string
  /** Rises with every rollout. */
  number: number
  name: string
  spec: RolloutSpec
  requestedBy: string
  createdAt: number
  approvedBy: string | null
  /** Its devices are chosen since then. */
  startedAt: number | null
  endedAt: number | null
  status: RolloutStatus
  reason: string | null
  /** The current one, from 0; of its direction. */
  wave: number
  isBack: boolean
  /** What its workflow is yet to be told. */
  asked: RolloutAsked[]
}

export interface RolloutAsked {
  by: string
  ask: RolloutAsk
}

/** A device of it. */
export interface TargetRow {
  /** Its place among those of its direction. */
  number: number
  isBack: boolean
  device: string
  /** From 0; -1: it was left out when it chose. */
  wave: number
  /** What it ran before. */
  fromVersion: string | null
  /** Of its update, when it was asked. */
  update: string | null
  status: TargetStatus
  reason: string | null
  startedAt: number | null
  endedAt: number | null
}

export interface TargetQuery {
  statuses: readonly TargetStatus[] | undefined
  /** As in the row. */
  wave: number | undefined
  isBack: boolean | undefined
}

/** How it stands while somebody asks for something: all that the pure core needs to say whether that makes sense. */
export interface RolloutStanding {
  state: RolloutState
  plan: RolloutPlan
  counts: RolloutCounts
  /** Before this, and not done yet. */
  asked: RolloutAsked[]
  /** Why its firmware must not go to further devices. */
  unusable: string | undefined
}

export interface NewRollout {
  id: string
  tenant: string
  spec: RolloutSpec
  by: string
}

export interface RolloutLooked {
  waves: WaveCounts[]
  back?: WaveCounts[]
  /** Of its direction. */
  details: RolloutDetails
  before?: RolloutDetails
}

export interface Rollouts {
  /** With `claim`, and its id, under an Idempotency-Key; 'claimed': the key is taken. Throws `invalid` where what it names is gone, `conflict` where too many have not ended. */
  create(rollout: NewRollout, claim?: IdempotencyClaim): Promise<'written' | 'claimed'>
  /** Throws `invalid` where there are too many devices, or what it names is gone. */
  preview(rollout: Pick<NewRollout, 'id' | 'tenant' | 'spec'>): Promise<RolloutPreview>
  find(tenant: string, id: string): Promise<RolloutRow | undefined>
  /** Newest first. */
  list(tenant: string, statuses: readonly RolloutStatus[] | undefined, page: Page<number>): Promise<RolloutRow[]>
  /** `back`: once it goes back; `before` are the details of its way forward then. */
  look(rollout: RolloutRow): Promise<RolloutLooked>
  /** In the order in which they are asked, those of the way back last. */
  targets(id: string, query: TargetQuery, page: Page<Pick<TargetRow, 'isBack' | 'number'>>): Promise<TargetRow[]>
  /** `judge` says what is answered, or throws why it is not taken. Undefined: there is none. 'too-many': too much waits for its workflow. */
  ask(
    tenant: string,
    id: string,
    asked: RolloutAsked,
    judge: (standing: RolloutStanding) => string,
  ): Promise<{ answer: string } | 'too-many' | undefined>
}
