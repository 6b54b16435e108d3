/** What activities of rollouts need of the outside (infra/postgres/rollouts.ts). Times are epoch milliseconds. */
import type {
  NewRollout,
  RolloutCounts,
  RolloutDetails,
  RolloutDirection,
  RolloutPreview,
  RolloutReturn,
  RolloutState,
  RolloutStep,
  SteerEffects,
  WaveCounts,
} from '../twin-models/core/rollout-types.ts'
import type { Manifest } from '../twin-models/firmware/manifest.ts'
import type { UsableProblem } from '../twin-models/firmware/usable.ts'
import type { Heard } from '../workflows/messages.ts'

export type { LeftOut, RolloutDetails, RolloutPreview } from '../twin-models/core/rollout-types.ts'

/** A rollout as stored. */
export interface Rollout extends NewRollout {
  createdAt: number
  firmware: RolloutFirmware
  /** After its newest step. Absent: none was done yet. */
  carried?: RolloutStood & { n: number }
}

/** What its workflow carries, as far as Postgres knows it too. */
export interface RolloutStood {
  state: RolloutState
  heard: Heard[]
}

export interface RolloutFirmware {
  id: string
  name: string
  model: string
  version: string
  counter: number
  sha256: string
  manifest: Manifest
  /** Why it may not be rolled out. */
  problem: UsableProblem | null
}

/** One step of its workflow: what it carries from now on, and what is to be done of it. */
export interface RolloutStoreStep extends RolloutStood {
  /** Counts up; one that was done is not done again. With the number of the last one nothing is done: it is a look. */
  n: number
  /** What a person asked for, for the devices of the direction before. */
  effects?: SteerEffects & { direction: RolloutDirection }
  step?: Exclude<RolloutStep, { kind: 'choose' | 'join' | 'wait' }>
  /** Look at the details too. */
  detailed: boolean
}

/** What a way forward has come to that was rolled back. */
export interface ForwardResult {
  waves: WaveCounts[]
  details: RolloutDetails
}

export interface RolloutLook {
  /** The newest step that was done. */
  n: number
  /** It is a later one than was asked for, of a run of the workflow that was further: what it carried. */
  ahead?: RolloutStood
  counts: RolloutCounts
  /** Once it goes back, where it was asked for details: what its way forward had come to. */
  forward?: ForwardResult
  /** Why its firmware must not go to further devices. */
  problem: UsableProblem | null
  details?: RolloutDetails
  /** What became of a device that was to be left out. */
  excluded?: 'excluded' | 'cancelled' | 'ended' | 'unknown'
}

export interface RolloutStore {
  /**
   * Makes it known, once. Throws `invalid` where tenant, firmware or a group is not there, or the firmware may not be rolled out; `conflict` where too
   * many have not ended.
   */
  register(rollout: NewRollout): Promise<void>
  find(tenant: string, id: string): Promise<Rollout | undefined>
  /** This workflow works on it from now on. Throws `conflict` when another does. */
  claim(rollout: Rollout, workflow: string): Promise<void>
  /** Throws `invalid` where there are too many devices, or a group is gone. */
  preview(rollout: Pick<Rollout, 'tenant' | 'spec' | 'firmware' | 'id'>): Promise<RolloutPreview>
  /** Chooses the devices of a direction and puts them into their waves, once. Throws `invalid` as a preview does. */
  choose(rollout: Rollout, direction: RolloutDirection, which?: RolloutReturn): Promise<void>
  /** Late devices go into the last wave. */
  join(rollout: Rollout, direction: RolloutDirection, which?: RolloutReturn): Promise<void>
  /** Sees how those under way fare, does what the step says, and counts. Twice is once. */
  step(rollout: Rollout, step: RolloutStoreStep): Promise<RolloutLook>
}
