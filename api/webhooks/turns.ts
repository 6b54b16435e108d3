/**
 * When the next request may begin, at so many a second. Times are those of performance.now().
 *
 * Timers come late, by a millisecond or by some tens when the process is busy: what was not used is made up for, so that the rate is what comes
 * out on average. Only so much of it that after a pause no receiver gets a burst.
 */
const CREDIT_MS = 50

export class Turns {
  #at: number

  constructor(at = 0) {
    this.#at = at
  }

  /** The next one not before then. */
  get at(): number {
    return this.#at
  }

  /** Takes a turn; how long to wait for it, in ms. */
  next(perSecond: number, now: number): number {
    const turn = Math.max(this.#at, now - CREDIT_MS)
    this.#at = turn + 1000 / perSecond
    return Math.max(0, turn - now)
  }
}
