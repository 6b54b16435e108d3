/** Which device of a fleet is what: dealt out by number, so that the same options give the same fleet. */
import type { DeviceKindName } from './devices/device.ts'
import { type Fate, type FateShares, fateOf } from './firmware/fate.ts'

/** Shares are from 0 to 1, and none where absent. */
export interface PlanOptions {
  prefix: string
  /** Of the devices that speak HTTP. */
  httpShare: number
  /** Dealt out in turn. Absent: two thermostats, then a pump. */
  models?: readonly DeviceKindName[]
  /** Of the devices that sleep between their check-ins, that refuse all that is asked of them, that take long to answer. */
  sleeperShare?: number
  refusingShare?: number
  slowShare?: number
  /** Of the devices whose updates go wrong, and how. */
  fates?: FateShares
  /** Of the devices that hold a lock for a while when they are first to be updated. */
  lockShare?: number
}

export interface Plan {
  id: string
  kind: DeviceKindName
  overHttp: boolean
  sleeps: boolean
  refuses: boolean
  slow: boolean
  fate: Fate | undefined
  locks: boolean
}

const USUAL_MODELS: readonly DeviceKindName[] = ['thermostat', 'thermostat', 'pump']

export function planOf(options: PlanOptions, i: number): Plan {
  const {
    prefix,
    httpShare,
    models = USUAL_MODELS,
    sleeperShare = 0,
    refusingShare = 0,
    slowShare = 0,
    fates = {},
    lockShare = 0,
  } = options
  const kind = models[i % models.length]!
  return {
    id: `${prefix}${kind}-${String(i + 1).padStart(4, '0')}`,
    kind,
    overHttp: isOneOf(httpShare, i, 0),
    sleeps: isOneOf(sleeperShare, i, 0.25),
    refuses: isOneOf(refusingShare, i, 0.5),
    slow: isOneOf(slowShare, i, 0.75),
    fate: fateOf(fates, i),
    locks: isOneOf(lockShare, i, 0.4),
  }
}

/** A share of the devices, evenly among them; begun elsewhere for each, so that small shares are not all of the same devices. */
function isOneOf(share: number, i: number, offset: number): boolean {
  return Math.floor((i + 1) * share + offset) > Math.floor(i * share + offset)
}
