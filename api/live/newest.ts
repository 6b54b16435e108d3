/** The newest of outbox and ingest log, read again and again while anybody listens, and offered to all readers. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import { entriesOf, Intake, type IntakeDeps } from './intake.ts'
import { LogTail } from './log-tail.ts'
import type { LiveStore } from './ports.ts'
import type { Position } from './position.ts'
import type { LiveReader } from './reader.ts'

const ROWS = 1_000
/** From one read to the next. */
const EVERY_MS = 25
const LEAST_PAUSE_MS = 5
const RETRY_MS = 500

export interface NewestOptions extends IntakeDeps {
  store: LiveStore
  log: Logger
  now: () => number
  readers: () => LiveReader[]
  onOffered: (ageMs: number) => void
}

export class Newest {
  readonly intake: Intake
  readonly #options: NewestOptions
  readonly #holds = { all: 0, full: 0 }
  readonly #start: () => Promise<void>
  readonly #startTail: () => Promise<void>
  #loop: Promise<void> | undefined
  #stopped = false

  constructor(options: NewestOptions) {
    const { store, now } = options
    this.#options = options
    this.intake = new Intake(options)
    this.#start = shared(async () => {
      this.intake.begin(await store.outboxEnd(), now())
      this.#loop = this.#run()
    })
    this.#startTail = shared(async () => this.intake.follow(await LogTail.begin(store)))
  }

  /** Resolves when it is known where memory begins; until `release` it goes on also without readers. `full`: of the log, too. */
  async hold(full: boolean): Promise<() => void> {
    this.#holds.all++
    if (full) this.#holds.full++
    const release = () => {
      this.#holds.all--
      if (full) this.#holds.full--
    }
    try {
      if (!this.#loop) await this.#start()
      if (full && !this.intake.tail) await this.#startTail()
      return release
    } catch (error) {
      release()
      throw error
    }
  }

  /** Another process may have given this position, and be ahead. */
  async reach({ outbox, log }: Position, withinMs: number): Promise<void> {
    const end = performance.now() + withinMs
    const isThere = () => this.intake.outbox >= outbox && (!log || (this.intake.tail?.hasReached(log) ?? true))
    while (!isThere() && performance.now() < end && !this.#stopped) await pause(EVERY_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
  }

  async #run(): Promise<void> {
    let failed = false
    while (!this.#stopped) {
      const readers = this.#options.readers()
      if (readers.length === 0 && this.#holds.all === 0) break
      if (this.intake.tail && this.#holds.full === 0 && !readers.some(({ full }) => full)) this.intake.follow(undefined)
      const started = performance.now()
      try {
        const more = await this.#tick()
        failed = false
        if (more) continue
      } catch (error) {
        if (!failed) this.#options.log.warn({ err: error }, 'The live stream could not read what is new and tries again')
        failed = true
        await pause(RETRY_MS)
        continue
      }
      await pause(Math.max(LEAST_PAUSE_MS, EVERY_MS - (performance.now() - started)))
    }
    this.intake.clear()
    this.#loop = undefined
  }

  /** True when there is more. */
  async #tick(): Promise<boolean> {
    const { store, now, readers, onOffered } = this.#options
    const at = now()
    const [rows, read] = await Promise.all([store.outbox(this.intake.outbox, ROWS), this.intake.tail?.read(at)])
    const entries = entriesOf(read)
    await this.intake.lookUp(rows, entries)

    const listening = readers()
    const more = rows.length === ROWS || read?.more === true
    const oldest = this.intake.add(rows, entries, read, listening, more ? 0 : at)
    if (oldest < Infinity) onOffered(Math.max(0, now() - oldest))
    for (const reader of listening) reader.offer()
    return more
  }
}

/** Whoever asks while it is under way waits for the same. */
function shared(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }
}
