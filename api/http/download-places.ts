/** How many downloads are under way at once, of all and of one update: who finds no place comes again later. */
import { CastorError } from '../../twin-models/errors.ts'

export interface PlaceLimits {
  /** Of this process. */
  atOnce: number
  /** A device needs one, and one that it thinks is dead. */
  ofOneUpdate: number
}

/** Spread, so that those who wait do not come back together. */
const RETRY_SECONDS = { least: 5, spread: 20 }

export function createPlaces({ atOnce, ofOneUpdate }: PlaceLimits) {
  const byUpdate = new Map<string, number>()
  let taken = 0
  return {
    get taken() {
      return taken
    },
    /** Gives the function that leaves it, once. */
    enter(update: string): () => void {
      const ofIt = byUpdate.get(update) ?? 0
      if (taken >= atOnce || ofIt >= ofOneUpdate) {
        throw comeAgain(taken >= atOnce ? 'So many downloads are under way' : 'So many downloads of this update are under way')
      }
      taken++
      byUpdate.set(update, ofIt + 1)
      let isIn = true
      return () => {
        if (!isIn) return
        isIn = false
        taken--
        const left = byUpdate.get(update)! - 1
        if (left > 0) byUpdate.set(update, left)
        else byUpdate.delete(update)
      }
    },
  }
}

export function comeAgain(why: string): CastorError {
  const retryAfterSeconds = RETRY_SECONDS.least + Math.random() * RETRY_SECONDS.spread
  return new CastorError('unavailable', `${why} that this one has to wait. Try again later.`, { retryAfterSeconds })
}
