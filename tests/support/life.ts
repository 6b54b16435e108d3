/** A process that dies at a call of its store. */

/** Ends with its call number `calls`, before or after that has had its effect: then none of its calls ever comes back. */
export class Life {
  dead = false
  readonly died: Promise<void>
  readonly #die: () => void
  #left: number
  readonly #isAfter: boolean

  constructor({ calls, isAfter }: { calls: number; isAfter: boolean }) {
    this.#left = calls
    this.#isAfter = isAfter
    const { promise, resolve } = Promise.withResolvers<void>()
    this.died = promise
    this.#die = () => {
      this.dead = true
      resolve()
    }
  }

  mortal<T extends object>(store: T): T {
    const call =
      (method: (...args: unknown[]) => Promise<unknown>) =>
      async (...args: unknown[]) => {
        const isLast = --this.#left <= 0
        if (isLast && !this.#isAfter) this.#die()
        if (this.dead) return NEVER
        const answer = await method(...args)
        if (isLast) this.#die()
        return this.dead ? NEVER : answer
      }
    return Object.fromEntries(Object.entries(store).map(([name, method]) => [name, call(method)])) as T
  }
}

export const NEVER = new Promise<never>(() => {})
