/**
 * A processor in miniature: the real Processor over a troubled store, and around it what infra/processes/processor.ts does on real time:
 * leases, ticks, pauses after a failure.
 */
import type { TwinSignaller } from '../../../api/ingest/courier.ts'
import { Processor } from '../../../api/ingest/processor.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { claimLanes, closeDeadStreams, currentLanes, releaseLanes, renewLanes, shareOfLanes } from '../../support/memory-leases.ts'
import { readyMade } from '../../support/ready-made-rules.ts'
import type { Trouble } from './trouble.ts'
import { type CommitWatcher, troubledStore } from './troubled-store.ts'
import { type Life, Violation, type World } from './world.ts'

const LEASE_CHECK_MS = 1_500
const STREAM_SILENT_SECONDS = 10

export interface SimProcessorOptions {
  name: string
  world: World
  db: MemoryDatabase
  trouble: Trouble
  watcher: CommitWatcher
  signaller: TwinSignaller
  inputLimit: number
}

export class SimProcessor {
  readonly name: string
  readonly life: Life = { alive: true }
  readonly processor: Processor
  /** While it is suspended it does nothing: a long pause of its machine, in which it may lose its lanes. */
  suspendedUntil = 0
  readonly #options: SimProcessorOptions
  #failures = 0
  #signalling = false

  constructor(options: SimProcessorOptions) {
    const { name, world, signaller, inputLimit } = options
    this.name = name
    this.#options = options
    const store = troubledStore({ ...options, processor: name, life: this.life, inTick: () => !this.#signalling })
    const pause = (): Promise<void> => world.sleep(20, `${name} tries alone`, this.life)
    this.processor = new Processor({
      store,
      signaller: this.#mortal(signaller),
      makeRules: readyMade,
      clock: () => world.now,
      pause,
      inputLimit,
    })
    world.start(() => this.#run())
  }

  kill(): void {
    this.#options.world.note(`${this.name} dies`)
    this.life.alive = false
  }

  /** Gives its lanes back. */
  async stop(): Promise<void> {
    this.#options.world.note(`${this.name} stops in order`)
    this.life.alive = false
    releaseLanes(this.#options.db, this.name, this.processor.lanes)
    this.#options.db.processors.delete(this.name)
  }

  async #run(): Promise<void> {
    const { world, trouble } = this.#options
    let nextLeaseCheck = 0
    for (;;) {
      try {
        if (world.now >= nextLeaseCheck) {
          await this.#keepLanes()
          nextLeaseCheck = world.now + LEASE_CHECK_MS
        }
        const report = await this.processor.tick()
        this.#deliver()
        this.#failures = 0
        if (!report?.more) await this.#pause(trouble.calm ? 2_000 : world.between(80, 2_000))
      } catch (error) {
        if (error instanceof Violation) throw error
        nextLeaseCheck = 0
        world.note(`${this.name}: ${(error as Error).message}`)
        this.#expect(error)
        await this.#pause(Math.min(3_000, 100 * 2 ** this.#failures++))
      }
    }
  }

  #deliver(): void {
    // What it asks of the store it asks before it first waits.
    this.#signalling = true
    this.#options.world.start(() => this.processor.deliver())
    this.#signalling = false
  }

  /** A failure is either one that was injected or a lost lease; anything else is a mistake of ours. */
  #expect(error: unknown): void {
    const { name, code } = error as { name?: string; code?: string }
    if (name !== 'LeaseLost' && code === undefined) this.#options.world.fail('only injected failures', String((error as Error).stack))
    if (code === '23505') this.#options.world.fail('a later reading is not there yet', String(error))
  }

  async #keepLanes(): Promise<void> {
    const { world, db, trouble } = this.#options
    const ask = <T>(what: string, run: () => T): Promise<T> => trouble.ask(`${this.name} ${what}`, this.life, run) as Promise<T>
    await ask('closes dead streams', () => {
      for (const stream of closeDeadStreams(db, STREAM_SILENT_SECONDS)) world.note(`${this.name} closes stream ${stream}`)
    })
    const share = await ask('asks for its share', () => shareOfLanes(db, this.name))
    const held = new Set(await ask('renews', () => renewLanes(db, this.name)))
    const lost = this.processor.lanes.filter((lane) => !held.has(lane))
    if (lost.length > 0) this.processor.giveUp(lost)
    const owned = new Set(this.processor.lanes)
    const unread = [...held].filter((lane) => !owned.has(lane))
    await this.processor.takeOver(await ask('reads lanes', () => currentLanes(db, unread)))
    const surplus = this.processor.lanes.slice(share)
    if (surplus.length > 0) {
      this.processor.giveUp(surplus)
      await ask('releases', () => releaseLanes(db, this.name, surplus))
    }
    const won = await ask('claims', () => claimLanes(db, this.name, share - this.processor.lanes.length))
    if (won.length > 0) world.note(`${this.name} takes over ${won.map(({ lane }) => lane).join(' ')}`)
    await this.processor.takeOver(won)
  }

  /** What a dead processor asked for is under way; what comes back finds nobody. */
  #mortal({ deliver, remove }: TwinSignaller): TwinSignaller {
    const reply = async <T>(asked: Promise<T>): Promise<T> => {
      const answer = await asked
      return this.life.alive ? answer : new Promise<T>(() => {})
    }
    return { deliver: (...call) => reply(deliver(...call)), remove: (twin) => reply(remove(twin)) }
  }

  async #pause(ms: number): Promise<void> {
    const { world } = this.#options
    await world.sleep(Math.max(ms, this.suspendedUntil - world.now), `${this.name} ticks`, this.life)
    if (this.suspendedUntil > world.now) await this.#pause(0)
  }
}
