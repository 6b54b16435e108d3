/**
 * One round: a world is set up, lives for so many steps with everything that can go wrong, then all trouble ends and it drains; then
 * everything must agree.
 */
import { INPUT_LIMIT } from '../../../twin-models/core/inbox.ts'
import { MemoryDatabase } from '../../support/memory-database.ts'
import { Asking } from './asking.ts'
import { Bridge } from './bridge.ts'
import { Oracle } from './oracle.ts'
import { Registry } from './registry.ts'
import { Ruling } from './ruling.ts'
import { SimProcessor } from './sim-processor.ts'
import { MiniTemporal } from './temporal/mini-temporal.ts'
import { Trouble } from './trouble.ts'
import { miniActivities, miniSignaller } from './twins.ts'
import { Updating } from './updating.ts'
import { underWay, verify } from './verify.ts'
import { World } from './world.ts'

/** Routine news waits a minute, signals at most five for their next try; twice that and more. */
const DRAIN_MS = 30 * 60_000
/** Far more than that takes: something goes round and round. */
const DRAIN_STEPS = 1_000_000

export interface RoundReport {
  seed: string
  steps: number
  virtualSeconds: number
  counts: { [name: string]: number }
}

export interface RoundFailure {
  seed: string
  /** Steps before it was to drain. */
  planned: number
  step: number
  rule: string
  message: string
  notes: readonly string[]
}

export class Round {
  readonly world: World
  readonly db: MemoryDatabase
  readonly oracle: Oracle
  readonly temporal: MiniTemporal
  readonly registry: Registry
  readonly asking: Asking
  readonly updating: Updating
  readonly ruling: Ruling
  readonly #trouble: Trouble
  readonly #processors: SimProcessor[] = []
  readonly #bridges: Bridge[] = []
  /** In half of the rounds so small that inboxes are full now and then. */
  readonly #inputLimit: number
  readonly #counts = { processors: 0, bridges: 0 }
  #draining = false

  constructor(seed: string) {
    this.world = new World(seed)
    this.db = new MemoryDatabase(() => this.world.now)
    this.#trouble = new Trouble(this.world)
    this.#inputLimit = this.world.random.chance(0.5) ? this.world.between(2, 12) : INPUT_LIMIT
    this.oracle = new Oracle(this.world, this.db, this.#inputLimit)
    const announce = (incarnation: number): void => this.#announce(incarnation)
    this.temporal = new MiniTemporal(this.world, this.#trouble, miniActivities(this.world, this.#trouble, this.db, this.oracle, announce))
    this.registry = new Registry(this.db, {
      world: this.world,
      bridges: () => this.#bridges.filter(({ accepts }) => accepts),
      nextConnection: () => this.db.nextConnection(),
      ledger: this.oracle.asked.commands,
      isQuiet: () => this.#draining,
    })
    const asked = { world: this.world, db: this.db, trouble: this.#trouble, oracle: this.oracle.asked }
    this.oracle.onRefused = (incarnation) => this.#tellRefusal(incarnation)
    this.asking = new Asking({ ...asked, devices: () => this.registry.devices })
    this.updating = new Updating({ ...asked, ledger: this.oracle.asked.updates, devices: () => this.registry.devices })
    this.ruling = new Ruling({ ...asked, acknowledged: this.oracle.asked.acknowledged, devices: () => this.registry.devices })
  }

  async run(steps: number): Promise<RoundReport> {
    const { world } = this
    for (let i = world.between(2, 3); i > 0; i--) this.#startProcessor()
    for (let i = 2; i > 0; i--) this.#startBridge()
    for (let i = world.between(4, 40); i > 0; i--) this.registry.register(`d-${i}`)
    this.ruling.begin()
    world.start(() => this.#mischief())
    world.start(() => this.#ask())
    await world.run(() => world.steps >= steps)
    await this.#drain()
    verify(this)
    const all = {
      ...this.oracle.counts,
      ...this.oracle.decisions.counts,
      ...this.oracle.inboxes.counts,
      ...this.oracle.asked.counts,
      ...this.oracle.asked.commands.counts,
      ...this.oracle.asked.updates.counts,
      ...this.oracle.alarms.counts,
      ...this.oracle.countsOfRules(),
      ...this.ruling.counts,
      ...this.asking.counts,
      ...this.temporal.counts,
      ...this.registry.counts,
      ...this.#counts,
      letters: this.db.deadLetters.length,
    }
    return { seed: world.seed, steps: world.steps, virtualSeconds: Math.round((world.now - world.startedAt) / 1000), counts: all }
  }

  async #drain(): Promise<void> {
    const { world, temporal } = this
    world.note('the trouble ends')
    this.#draining = true
    this.#trouble.calm = true
    this.#trouble.outageUntil = temporal.outageUntil = 0
    for (const each of [...this.#processors, ...this.#bridges]) each.suspendedUntil = 0
    while (this.#processors.length > 1) this.#processors.pop()!.kill()
    world.start(() => this.asking.settle())
    await this.#idle(200_000)
    // What found its inbox full at the last is said once more: there is room now, and a device that hears too many errors is not told of each.
    for (const { comesBack, obedience } of this.registry.devices) if (comesBack) obedience.sayState()
    await this.#idle(10_000)
  }

  async #idle(atLeastMs: number): Promise<void> {
    const { world } = this
    const from = world.now
    const last = world.steps + DRAIN_STEPS
    let next = from + atLeastMs
    await world.run(() => {
      if (world.steps > last) return true
      if (world.now < next) return false
      next = world.now + 10_000
      return world.now > from + DRAIN_MS || (underWay(this).length === 0 && this.registry.devices.every(({ isIdle }) => isIdle))
    })
  }

  #startProcessor(): void {
    const name = `processor-${++this.#counts.processors}`
    const { world, db, temporal, oracle } = this
    const signaller = miniSignaller(world, this.#trouble, temporal, oracle)
    this.#processors.push(
      new SimProcessor({ name, world, db, trouble: this.#trouble, watcher: oracle, signaller, inputLimit: this.#inputLimit }),
    )
  }

  #startBridge(): void {
    const parts = {
      world: this.world,
      db: this.db,
      trouble: this.#trouble,
      ledger: this.oracle.asked.commands,
      updates: this.oracle.asked.updates,
    }
    this.#bridges.push(new Bridge(`bridge-${++this.#counts.bridges}`, parts))
  }

  /** By NOTIFY, which may get lost. */
  #announce(incarnation: number): void {
    const { world } = this
    if (this.#trouble.chance(0.2)) return
    world.later(world.between(1, 50), 'news for bridges', () => {
      for (const { down } of this.#bridges) down.hear(incarnation)
    })
  }

  /** By `errors`, with QoS 0. It says how it is again, once there may be room. */
  #tellRefusal(incarnation: number): void {
    const { world, registry } = this
    if (this.#trouble.chance(0.5)) return
    world.later(world.between(5_000, 20_000), 'a device was refused', () => {
      const device = registry.devices.find(({ record }) => record.incarnation === incarnation)
      if (device?.hears) device.obedience.sayState()
    })
  }

  async #ask(): Promise<void> {
    const { world, asking, updating, ruling } = this
    for (;;) {
      await world.sleep(world.random.between(100, 2_000), 'somebody asks')
      if (this.#draining) return
      const dice = world.random.next()
      if (dice < 0.2) updating.act()
      else if (dice < 0.4) ruling.act()
      else asking.act()
    }
  }

  /** What a bad week brings, in an hour. */
  async #mischief(): Promise<void> {
    const { world, temporal, registry } = this
    const { random } = world
    for (;;) {
      await world.sleep(random.between(200, 8_000), 'mischief')
      if (this.#draining) return
      const dice = random.next()
      if (dice < 0.07) this.#replaceProcessor()
      else if (dice < 0.14) this.#replaceBridge()
      else if (dice < 0.17) this.#suspend()
      else if (dice < 0.19) this.#storeOutage()
      else if (dice < 0.23) this.#temporalOutage()
      else if (dice < 0.33) this.#disturbTwins()
      else if (dice < 0.4) registry.replace()
      else if (dice < 0.5) registry.changeModel()
      else if (dice < 0.9) registry.deliver()
      else if (dice < 0.91) world.leap(world.between(1_000, 8 * 3_600_000))
      else temporal.forgetCache()
    }
  }

  #replaceProcessor(): void {
    const { world } = this
    const processor = this.#processors.splice(world.between(0, this.#processors.length - 1), 1)[0]
    if (processor === undefined) return
    if (world.random.chance(0.7)) processor.kill()
    else void processor.stop()
    world.later(world.between(0, 15_000), 'a processor starts', () => {
      if (!this.#draining || this.#processors.length === 0) this.#startProcessor()
    })
  }

  #replaceBridge(): void {
    const { world } = this
    const bridge = this.#bridges.splice(world.between(0, this.#bridges.length - 1), 1)[0]
    if (bridge === undefined) return
    if (world.random.chance(0.7)) bridge.kill()
    else void bridge.stop()
    world.later(world.between(0, 15_000), 'a bridge starts', () => this.#startBridge())
  }

  /** The machine of one stands still: it may lose its lanes, or its stream may be closed. */
  #suspend(): void {
    const { world } = this
    const victim = world.random.pick([...this.#processors, ...this.#bridges])
    if (victim === undefined) return
    victim.suspendedUntil = world.now + world.between(3_000, 20_000)
    world.note(`${victim.name} stands still until ${new Date(victim.suspendedUntil).toISOString().slice(11)}`)
  }

  #storeOutage(): void {
    const { world } = this
    this.#trouble.outageUntil = world.now + world.between(500, world.random.chance(0.2) ? 120_000 : 8_000)
    world.note(`the store is away until ${new Date(this.#trouble.outageUntil).toISOString().slice(11)}`)
  }

  #temporalOutage(): void {
    const { world, temporal } = this
    temporal.outageUntil = world.now + world.between(1_000, world.random.chance(0.2) ? 400_000 : 20_000)
    world.note(`Temporal is away until ${new Date(temporal.outageUntil).toISOString().slice(11)}`)
  }

  #disturbTwins(): void {
    const { temporal, world } = this
    const running = [...temporal.executions.values()].filter(({ closed }) => !closed)
    if (running.length === 0 || temporal.isDown) return
    const victim = world.random.pick(running)
    if (world.random.chance(0.9)) temporal.reset(victim)
    else temporal.terminate(victim)
  }
}
