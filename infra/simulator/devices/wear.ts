/**
 * A bearing that wears: a pure model. New it runs quietly; vibration rises slowly at first and faster to the end, where it passes what the machine
 * bears, and it fails. A repair makes it new, for its usual life; some repairs do not hold, and it is worn again soon.
 */
import type { Random } from '../random.ts'

export interface Bearing {
  /** 0: new; 1: it fails. */
  wear: number
  /** Seconds of running in which this one is worn. */
  lifeSeconds: number
  /** How often it was repaired. */
  repairs: number
}

export interface Wear {
  /** Of most bearings, more or less. */
  lifeSeconds: number
  /** Share of the repairs that do not hold, 0 to 1. */
  relapse: number
}

/** Velocity of vibration at full speed, in mm/s: of a new bearing, and where it fails. */
export const VIBRATION = { fresh: 1.2, limit: 14 } as const
/** The life of one bearing, as a share of that of most. */
const LIVES = { good: [0.85, 1.15], relapsed: [0.06, 0.12] } as const
const STEEPNESS = 3
/** Celsius above that of a new one, where it fails. */
const HEAT = 50

/** One that is worn to somewhere between new and `most`. */
export function someBearing({ lifeSeconds }: Wear, most: number, random: Random): Bearing {
  const [shortest, longest] = LIVES.good
  return { wear: random.between(0, most), lifeSeconds: lifeSeconds * random.between(shortest, longest), repairs: 0 }
}

/** After so many seconds at a speed, 0 to 1. */
export function worn(bearing: Bearing, seconds: number, speed: number): Bearing {
  return { ...bearing, wear: Math.min(1, bearing.wear + (seconds * speed) / bearing.lifeSeconds) }
}

export function hasFailed({ wear }: Bearing): boolean {
  return wear >= 1
}

/** mm/s at full speed, without what is not the bearing's. */
export function vibrationOf({ wear }: Bearing): number {
  return VIBRATION.fresh + (VIBRATION.limit - VIBRATION.fresh) * wear ** STEEPNESS
}

/** Celsius above that of a new one at full speed. */
export function heatOf({ wear }: Bearing): number {
  return HEAT * wear ** STEEPNESS
}

/** `random`: of the device. Whether its third repair holds does not depend on what else it was told. */
export function repaired({ repairs }: Bearing, { lifeSeconds, relapse }: Wear, random: Random): Bearing {
  const chance = random.fork(`repair ${repairs + 1}`)
  const [least, most] = chance.chance(relapse) ? LIVES.relapsed : LIVES.good
  return { wear: 0, lifeSeconds: lifeSeconds * chance.between(least, most), repairs: repairs + 1 }
}
