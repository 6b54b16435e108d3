/**
 * The pace of seals: how many may be unanswered at once. Temporal's limits and outages end here (docs/architecture.md §3.6).
 * Additive increase while answers come in good time, halved when they are late or Temporal says that its resources are exhausted.
 */
export const PACE_LIMITS = { start: 64, least: 8, most: 512 } as const
/** An answer later than this means that more is under way than Temporal keeps up with. */
export const SLOW_ANSWER_MS = 3_000
/** Of the unanswered seals, routine ones may be at most this share, so that what is urgent always finds room. */
export const ROUTINE_SHARE = 0.5
/** Routine windows: every device with news is told of within this time, longer when there are many devices, never longer than the last. */
export const WINDOW_MS = 60_000
export const LONGEST_WINDOW_MS = 600_000
/** Routine seals a second that a processor aims at. A decision costs some 12 ms of CPU: this is a fifth of a core. */
export const ROUTINE_PER_SECOND = 18
/** While answers take longer than this the machine has other things to do, or is a slow one: routine makes room, in proportion. */
export const CALM_ANSWER_MS = 400
/** Of the newest answer in the mean. */
const WEIGHT = 0.1

export class Pace {
  #limit: number = PACE_LIMITS.start
  #notBefore = 0
  /** Mean of the latest, in ms. */
  #answerMs = 0

  get limit(): number {
    return Math.floor(this.#limit)
  }

  answered(latencyMs: number, now: number): void {
    // One that an outage held up for hours says no more than a slow one.
    this.#answerMs += (Math.min(latencyMs, SLOW_ANSWER_MS) - this.#answerMs) * WEIGHT
    if (latencyMs > SLOW_ANSWER_MS) this.slower(now)
    else this.#limit = Math.min(PACE_LIMITS.most, this.#limit + 4 / this.#limit)
  }

  /** Temporal refused or did not answer. Counts once a second: many refusals of one moment are one piece of news. */
  slower(now: number): void {
    if (now < this.#notBefore) return
    this.#notBefore = now + 1_000
    this.#limit = Math.max(PACE_LIMITS.least, this.#limit / 2)
  }

  /** Routine seals a second with so many devices waiting: the aim, less while answers are slow, but never less than tells all within the longest window. */
  routineRate(devicesWithNews: number): number {
    const calm = Math.min(1, CALM_ANSWER_MS / Math.max(1, this.#answerMs))
    return Math.max(ROUTINE_PER_SECOND * calm, devicesWithNews / (LONGEST_WINDOW_MS / 1000))
  }
}

/** How long routine news waits, with so many devices having some. */
export function routineWindow(devicesWithNews: number): number {
  return Math.min(LONGEST_WINDOW_MS, Math.max(WINDOW_MS, (devicesWithNews / ROUTINE_PER_SECOND) * 1000))
}
