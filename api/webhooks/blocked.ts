/**
 * Devices of which an endpoint has a delivery that has not ended: where order was asked for, what comes of them later waits behind it. Postgres
 * knows them; here stands beside it what was decided and is not committed yet, or was committed after Postgres was asked: else a later event
 * could overtake.
 */
export class Blocked {
  /** performance.now() of the commit; Infinity: not committed yet. */
  readonly #devices = new Map<number, number>()
  #known = false

  /** Postgres was asked. */
  get known(): boolean {
    return this.#known
  }

  get size(): number {
    return this.#devices.size
  }

  has(incarnation: number): boolean {
    return this.#devices.has(incarnation)
  }

  add(incarnation: number): void {
    this.#devices.set(incarnation, Infinity)
  }

  /** `waiting`: still not committed. */
  committed(incarnations: Iterable<number>, waiting: ReadonlySet<number>): void {
    for (const incarnation of incarnations) if (!waiting.has(incarnation)) this.#devices.set(incarnation, performance.now())
  }

  /** `ask` gives what Postgres knows. */
  async refresh(ask: () => Promise<number[]>): Promise<void> {
    const askedAt = performance.now()
    const stored = new Set(await ask())
    for (const [incarnation, committedAt] of this.#devices)
      if (committedAt < askedAt && !stored.has(incarnation)) this.#devices.delete(incarnation)
    for (const incarnation of stored) if (!this.#devices.has(incarnation)) this.#devices.set(incarnation, 0)
    this.#known = true
  }
}
