/** What REST needs of the outside for rollouts (infra/postgres/rollout-read.ts). Times are epoch milliseconds. */
import type {
  NewRollout,
  RolloutAsk,
  RolloutCounts,
  RolloutDetails,
  RolloutPace,
  RolloutPlan,
  RolloutPreview,
  RolloutSpec,
  RolloutState,
  RolloutStatus,
  WaveCounts,
} from '../twin-models/core/rollout-types.ts'
import type { IdempotencyClaim, Page } from './ports.ts'
import { UPDATE_ENDS } from './update-ports.ts'

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
  /** As it is now: what was asked for, or what `pace` made of it. */
  pace: RolloutPace
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
