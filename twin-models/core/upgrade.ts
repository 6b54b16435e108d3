/**
 * Carried state of any version into the one that this code knows. Twins outlive deployments: a state is read by code that is years younger.
 *
 * A new version adds a step here that turns the version before into it, and a test with a state as it was then.
 */
import type { TwinState } from './types.ts'

export function upgrade(carried: { v: number }): TwinState {
  if (carried.v === 1) return carried as TwinState
  throw new Error(`This worker does not know twin state of version ${carried.v}; it is older than what wrote it`)
}
