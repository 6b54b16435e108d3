/**
 * Carried state of any version into the one that this code knows. Twins outlive deployments: a state is read by code that is years younger.
 *
 * A new version adds a step here that turns the version before into it, and a test with a state as it was then.
 */
import { nothingAsked, nothingRuled, nothingUpdated } from './initial.ts'
import type { TwinState } from './types.ts'

type Version3 = Omit<TwinState, 'v' | keyof ReturnType<typeof nothingRuled>> & { v: 3 }
type Version2 = Omit<Version3, 'v' | keyof ReturnType<typeof nothingUpdated>> & { v: 2 }
type Version1 = Omit<Version2, 'v' | keyof ReturnType<typeof nothingAsked>> & { v: 1 }

export function upgrade(carried: { v: number }): TwinState {
  if (carried.v === 4) return carried as TwinState
  if (carried.v === 3) return { ...(carried as Version3), ...nothingRuled(), v: 4 }
  if (carried.v === 2) return upgrade({ ...(carried as Version2), ...nothingUpdated(), v: 3 } satisfies Version3)
  if (carried.v === 1) return upgrade({ ...(carried as Version1), ...nothingAsked(), v: 2 } satisfies Version2)
  throw new Error(`This worker does not know twin state of version ${carried.v}; it is older than what wrote it`)
}
