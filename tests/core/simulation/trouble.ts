/** How long the store takes to answer, and what goes wrong on the way. All of it ends when `calm` is set, so that a run can drain. */
import { failure } from '../../support/memory-lane-store.ts'
import type { Life, World } from './world.ts'

export class Trouble {
  readonly #world: World
  calm = false
  /** Until then the store refuses everything. */
  outageUntil = 0

  constructor(world: World) {
    this.#world = world
  }

  chance(probability: number): boolean {
    return !this.calm && this.#world.random.chance(probability)
  }

  /** Mostly short; now and then as long as a lock, a checkpoint or a lost packet takes. */
  latency(): number {
    const { random } = this.#world
    if (this.calm) return 1
    return random.chance(0.9) ? random.between(0, 6) : random.chance(0.9) ? random.between(6, 200) : random.between(200, 3_500)
  }

  /** A read, or a write that is done at once. Whoever dies meanwhile never hears of it; what arrived is done all the same. */
  async ask<T>(what: string, life: Life, run: () => Promise<T> | T): Promise<T> {
    await this.#world.sleep(this.latency(), what, life)
    this.refuse()
    const result = await run()
    if (this.chance(0.05)) await this.#world.sleep(this.latency(), `${what}: answer`, life)
    return result
  }

  /** Throws when the store cannot be reached. */
  refuse(): void {
    if (this.calm) return
    if (this.outageUntil > this.#world.now || this.#world.random.chance(0.002)) throw failure('CONNECTION_CLOSED', 'connection lost')
  }

  /** A write of which the caller may not learn whether it was done: 'unknown' then. */
  async unsure<T>(what: string, life: Life, run: () => T): Promise<T | 'unknown'> {
    // It is on its way, whether the sender lives on or not.
    const sent = this.chance(0.5) ? undefined : life
    await this.#world.sleep(this.latency(), what, sent)
    if (!this.calm && this.outageUntil > this.#world.now) return 'unknown'
    if (this.chance(0.01)) return this.#lost(what, 'not done')
    const result = run()
    if (this.chance(0.01)) return this.#lost(what, 'done')
    await this.#world.sleep(this.chance(0.05) ? this.latency() : 0, `${what}: answer`, life)
    return result
  }

  /** A write of which the caller never learns what became of it. */
  async doubtful(what: string, run: () => unknown): Promise<'unknown'> {
    await this.#world.sleep(this.latency(), what)
    const isDone = this.#world.random.chance(0.5)
    if (isDone) run()
    return this.#lost(what, isDone ? 'done' : 'not done')
  }

  #lost(what: string, how: string): 'unknown' {
    this.#world.note(`${what}: outcome unknown (${how})`)
    return 'unknown'
  }
}
