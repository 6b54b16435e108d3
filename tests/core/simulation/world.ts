/**
 * The virtual world: a clock, a queue of what happens next, and one source of randomness. Nothing in a simulation waits for real time or
 * draws anything elsewhere, so the same seed gives the same run. One step is one thing that happens, and all that follows at that moment.
 */
import { createRandom, type Random } from '../../../infra/simulator/random.ts'

/** What must always hold did not. */
export class Violation extends Error {
  readonly rule: string
  constructor(rule: string, detail: string) {
    super(`${rule}: ${detail}`)
    this.name = 'Violation'
    this.rule = rule
  }
}

/** Something that can be killed. What it waits for never comes then. */
export interface Life {
  alive: boolean
}

interface Happening {
  at: number
  order: number
  label: string
  life: Life | undefined
  go: () => void
}

const START = Date.UTC(2026, 0, 1)
const NOTES = 50

export class World {
  readonly seed: string
  readonly random: Random
  now = START
  steps = 0
  /** A device of which every message, seal and decision is noted. */
  watched: number | undefined
  /** The first violation, wherever it was found: production code may catch what an oracle throws. */
  violation: Violation | undefined
  readonly #queue: Happening[] = []
  readonly #notes: string[] = []
  #order = 0
  #exclusive = 0

  constructor(seed: string) {
    this.seed = seed
    this.random = createRandom(seed)
  }

  get startedAt(): number {
    return START
  }

  /** Resolves after so many virtual milliseconds, unless its life has ended by then. */
  sleep(ms: number, label: string, life?: Life): Promise<void> {
    return new Promise((go) => this.#push({ at: this.now + Math.max(0, Math.round(ms)), order: ++this.#order, label, life, go }))
  }

  /** The clock jumps, as it does on a machine that slept: what was to happen meanwhile happens now. */
  leap(ms: number): void {
    this.now += ms
    this.note(`the machine slept for ${Math.round(ms / 60_000)} min`)
  }

  note(text: string): void {
    this.#notes.push(`${String(this.steps).padStart(7)} ${new Date(this.now).toISOString().slice(11)} ${text}`)
    if (this.#notes.length > NOTES) this.#notes.shift()
  }

  /** Only where this device is watched. */
  noteOf(incarnation: number, text: () => string): void {
    if (incarnation === this.watched) this.note(text())
  }

  get notes(): readonly string[] {
    return this.#notes
  }

  fail(rule: string, detail: string): never {
    this.violation ??= new Violation(rule, detail)
    throw this.violation
  }

  /** Begins something that goes on beside all else. */
  start(run: () => Promise<unknown>): void {
    run().catch((error: unknown) => {
      this.violation ??= error instanceof Violation ? error : new Violation('the simulation itself', String((error as Error).stack))
    })
  }

  /** Later, once. */
  later(ms: number, label: string, run: () => unknown): void {
    this.start(async () => {
      await this.sleep(ms, label)
      await run()
    })
  }

  between(low: number, high: number): number {
    return Math.floor(this.random.between(low, high + 1))
  }

  /** Runs until `done` says so, looked at after each step. Throws the first violation. */
  async run(done: () => boolean): Promise<void> {
    while (!done()) {
      const next = this.#pop()
      if (next === undefined) return
      this.now = Math.max(this.now, next.at)
      if (next.life && !next.life.alive) continue
      this.steps++
      next.go()
      // All that follows at once: promises only, since nothing here waits for anything else.
      do await new Promise(setImmediate)
      while (this.#exclusive > 0)
      if (this.violation) throw this.violation
    }
  }

  /** Time stands still, and nothing else happens, until it has ended. */
  async exclusively<T>(run: () => Promise<T>): Promise<T> {
    this.#exclusive++
    try {
      return await run()
    } finally {
      this.#exclusive--
    }
  }

  #push(happening: Happening): void {
    const queue = this.#queue
    let i = queue.push(happening) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(queue[i]!, queue[parent]!)) break
      ;[queue[i], queue[parent]] = [queue[parent]!, queue[i]!]
      i = parent
    }
  }

  #pop(): Happening | undefined {
    const queue = this.#queue
    const top = queue[0]
    const last = queue.pop()
    if (top === undefined || last === undefined || queue.length === 0) return top
    queue[0] = last
    for (let i = 0; ; ) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < queue.length && isBefore(queue[child]!, queue[least]!)) least = child
      }
      if (least === i) return top
      ;[queue[i], queue[least]] = [queue[least]!, queue[i]!]
      i = least
    }
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order
}
