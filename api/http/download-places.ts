/** How many downloads are under way at once, of all, of one tenant and of one update: who finds no place comes again later. */
import { CastorError } from '../../twin-models/errors.ts'

export interface PlaceLimits {
  /** Of this process. */
  atOnce: number
  /** Less than all: devices of one tenant, slow or slowed down on purpose, may hold theirs for hours. */
  ofOneTenant: number
  /** A device needs one, and one that it thinks is dead. */
  ofOneUpdate: number
}

/** Spread, so that those who wait do not come back together. */
const RETRY_SECONDS = { least: 5, spread: 20 }

export function createPlaces({ atOnce, ofOneTenant, ofOneUpdate }: PlaceLimits) {
  const taken = new Map<string, number>()
  const takenBy = (holder: string) => taken.get(holder) ?? 0
  let all = 0
  return {
    get taken() {
      return all
    },
    /** Gives the function that leaves it, once. */
    enter(tenant: string, update: string): () => void {
      const holders = [`tenant ${tenant}`, `update ${update}`] as const
      if (all >= atOnce || takenBy(holders[0]) >= ofOneTenant) throw comeAgain('So many downloads are under way')
      if (takenBy(holders[1]) >= ofOneUpdate) throw comeAgain('So many downloads of this update are under way')
      all++
      for (const holder of holders) taken.set(holder, takenBy(holder) + 1)
      let isIn = true
      return () => {
        if (!isIn) return
        isIn = false
        all--
        for (const holder of holders) {
          const left = takenBy(holder) - 1
          if (left > 0) taken.set(holder, left)
          else taken.delete(holder)
        }
      }
    },
  }
}

export function comeAgain(why: string): CastorError {
  const retryAfterSeconds = RETRY_SECONDS.least + Math.random() * RETRY_SECONDS.spread
  return new CastorError('unavailable', `${why} that this one has to wait. Try again later.`, { retryAfterSeconds })
}
