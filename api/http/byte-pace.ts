/**
 * So many bytes a second for all who take of it together, in the order in which they ask. What was not used for a second is lost. Whoever's turn
 * it is takes all that it wants as soon as there is anything, and the next waits until that is made good: so pieces may be larger than the rate.
 */
export class BytePace {
  #perSecond: number
  /** Below 0: to be made good first. */
  #left: number
  #at = performance.now()
  readonly #queue: Array<{ bytes: number; go: () => void }> = []
  #timer: NodeJS.Timeout | undefined

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#left = perSecond
  }

  /** A new one would be the same. */
  get isFresh(): boolean {
    this.#refill()
    return this.#queue.length === 0 && this.#left >= this.#perSecond
  }

  /** Returns at its turn, or when it is given up. */
  async take(bytes: number, givenUp: AbortSignal): Promise<void> {
    if (givenUp.aborted) return
    await new Promise<void>((resolve) => {
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(waiting), 1)
        resolve()
      }
      const go = () => {
        givenUp.removeEventListener('abort', leave)
        resolve()
      }
      const waiting = { bytes, go }
      this.#queue.push(waiting)
      givenUp.addEventListener('abort', leave)
      this.#serve()
    })
  }

  #serve(): void {
    clearTimeout(this.#timer)
    this.#refill()
    while (this.#left > 0 && this.#queue.length > 0) {
      const { bytes, go } = this.#queue.shift()!
      this.#left -= bytes
      go()
    }
    if (this.#queue.length > 0) this.#timer = setTimeout(() => this.#serve(), Math.ceil((-this.#left * 1000) / this.#perSecond) + 1)
  }

  #refill(): void {
    const now = performance.now()
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#at) * this.#perSecond) / 1000)
    this.#at = now
  }
}

const MOST_KEPT = 100

/** One a name; kept as long as it matters what was taken before. */
export function createPaces(): (name: string, perSecond: number) => BytePace {
  const paces = new Map<string, { perSecond: number; pace: BytePace }>()
  return (name, perSecond) => {
    const known = paces.get(name)
    if (known?.perSecond === perSecond) return known.pace
    if (paces.size >= MOST_KEPT) for (const [other, { pace }] of paces) if (pace.isFresh) paces.delete(other)
    const pace = new BytePace(perSecond)
    paces.set(name, { perSecond, pace })
    return pace
  }
}
