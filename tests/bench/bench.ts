/** What all figures share: the Castor under test (one at a time), fleets made when first needed, and what was found so far. */
import { type Castor, startCastor } from './castor.ts'
import { Generator, startFloor } from './children.ts'
import { type Fleet, planFor, register, twinsStarted } from './fleet.ts'
import type { Payload } from './packets.ts'
import { rounded } from './statistics.ts'

export interface BenchOptions {
  say(line: string): void
  /** Shortens or lengthens every duration; below 1 the figures are for trying the bench itself. */
  scale: number
  nodeOptions: string
}

/** `small`: some twins, much traffic. `large`: ten thousand twins. Each begins with an empty data folder. */
export type CastorKind = 'small' | 'large'

export interface RunningFleet {
  fleet: Fleet
  generator: Generator
}

const TWIN_START_MS = 300_000

export class Bench {
  readonly figures: Record<string, unknown> = {}
  readonly say: (line: string) => void
  readonly #options: BenchOptions
  readonly #fleets = new Map<string, RunningFleet>()
  #castor: { kind: CastorKind; castor: Castor } | undefined

  constructor(options: BenchOptions) {
    this.#options = options
    this.say = options.say
  }

  seconds(usual: number): number {
    return usual * this.#options.scale
  }

  count(usual: number): number {
    return Math.max(1, Math.round(usual * Math.min(1, this.#options.scale)))
  }

  figure(name: string, value: number | Record<string, unknown>): void {
    this.figures[name] = typeof value === 'number' ? rounded(value) : value
    this.say(`${name}: ${JSON.stringify(this.figures[name])}`)
  }

  /** The Castor of that kind; another kind is stopped first. */
  async castor(kind: CastorKind): Promise<Castor> {
    if (this.#castor?.kind !== kind) {
      await this.stop()
      this.#castor = { kind, castor: await startCastor(this.say, this.#options.nodeOptions) }
    }
    return this.#castor!.castor
  }

  /** Registered, connected, its twins running: each device has sent one message and each twin has decided. */
  async fleet(kind: CastorKind, prefix: string, count: number, payload: Payload = 'three', inFlight = count): Promise<RunningFleet> {
    const castor = await this.castor(kind)
    const running = this.#fleets.get(prefix)
    if (running) return running
    const made = await this.connectedFleet(castor, prefix, count, payload, inFlight)
    made.generator.pace(null, count)
    await twinsStarted(castor, made.fleet, TWIN_START_MS, this.say)
    made.generator.pace(0)
    return made
  }

  /** Registered and connected; it has said nothing. */
  async connectedFleet(castor: Castor, prefix: string, count: number, payload: Payload, inFlight = count): Promise<RunningFleet> {
    this.say(`${count} devices ${prefix}…: registering, connecting`)
    const fleet = await register(castor, prefix, count)
    const generator = await Generator.start(planFor(castor, fleet, payload, { inFlight }))
    const made = { fleet, generator }
    this.#fleets.set(prefix, made)
    return made
  }

  /** Messages of all fleets of this Castor that were acknowledged. */
  async acknowledged(): Promise<number> {
    const reports = await Promise.all([...this.#fleets.values()].map(({ generator }) => generator.report()))
    return reports.reduce((sum, report) => sum + report.acknowledged, 0)
  }

  running(prefix: string): RunningFleet | undefined {
    return this.#fleets.get(prefix)
  }

  /** The same devices saying something else, after their generator was stopped. */
  async reconnected(castor: Castor, fleet: Fleet, payload: Payload): Promise<Generator> {
    const generator = await Generator.start(planFor(castor, fleet, payload))
    this.#fleets.set(fleet.prefix, { fleet, generator })
    return generator
  }

  /** What the floor takes from so many connections, a second. Castor must be quiet. */
  async floorRate(connections: number, payload: Payload = 'three', inFlight = connections): Promise<number> {
    const castor = await this.castor(this.#castor?.kind ?? 'small')
    const floor = await startFloor(castor.floorUrl)
    const plan = planFor({ host: castor.host, mqttPort: floor.port }, { prefix: 'floor', count: connections }, payload, { inFlight })
    const generator = await Generator.start(plan)
    try {
      generator.pace(null)
      await generator.measure(this.seconds(2))
      const { rate, p50Ms, p99Ms } = await generator.measure(this.seconds(8))
      this.say(`floor, ${connections} connections: ${Math.round(rate)}/s, PUBACK p50 ${p50Ms} ms, p99 ${p99Ms} ms`)
      return rate
    } finally {
      await generator.stop()
      await floor.stop()
    }
  }

  async stop(): Promise<void> {
    for (const { generator } of this.#fleets.values()) await generator.stop()
    this.#fleets.clear()
    const running = this.#castor
    this.#castor = undefined
    if (running) await running.castor.stop()
  }
}
