/** The nights of a sleeper: it sleeps as soon as there is nothing more to say or to do, until its next check-in. */
import type { Timers } from './timers.ts'

export interface SleepOptions {
  checkInMs: number
  later: Timers['later']
  /** Nothing waits, and nothing is under way. */
  isIdle(): boolean
  fallAsleep(): void
  wake(): void
}

export interface Sleep {
  /** It connected, or something came: it stays awake for a while. */
  stir(): void
  /** From now on it is awake. */
  endForGood(): void
}

const DROWSY_MS = 2_500

export function createSleep({ checkInMs, later, isIdle, fallAsleep, wake }: SleepOptions): Sleep {
  let callOff: (() => void) | undefined
  let isAsleep = false
  let ended = false

  function stir(): void {
    if (ended || isAsleep) return
    callOff?.()
    callOff = later(DROWSY_MS, nod)
  }

  function nod(): void {
    if (!isIdle()) {
      stir()
      return
    }
    isAsleep = true
    fallAsleep()
    callOff = later(checkInMs, rouse)
  }

  function rouse(): void {
    callOff?.()
    callOff = undefined
    if (!isAsleep) return
    isAsleep = false
    wake()
  }

  return {
    stir,
    endForGood() {
      ended = true
      rouse()
    },
  }
}
