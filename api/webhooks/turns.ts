/** When the next request may begin, at so many a second. Times are those of performance.now(). */
export class Turns {
  #at: number

  constructor(at = 0) {
    this.#at = at
  }

  /** The next one not before then. */
  get at(): number {
    return this.#at
  }

  /** Takes a turn; how long to wait for it, in ms. What was not used before is lost, but for one turn. */
  next(perSecond: number): number {
    const now = performance.now()
    const turn = Math.max(this.#at, now - 1000 / perSecond)
    this.#at = turn + 1000 / perSecond
    return Math.max(0, turn - now)
  }
}
