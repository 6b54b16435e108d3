/**
 * What REST is asked for of devices: wishes, commands, cancels. Its writes may be done or not without its knowing; then it is asked again, under
 * the same key where there is one.
 */
import type { CommandIds, NewCommand } from '../../../api/command-ports.ts'
import type { CommandRequest, JsonObject, TwinState, Value, WishRequest } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { insertCommand, insertRequest } from '../../support/memory-requests.ts'
import type { AskedOracle } from './asked-oracle.ts'
import type { SimDevice } from './sim-device.ts'
import type { Trouble } from './trouble.ts'
import type { Life, World } from './world.ts'

/** What can be commanded: all kinds of rules that models have. */
const ACTIONS: ReadonlyArray<{ name: string; repeatable: boolean; concurrency?: number; onlyLast?: true }> = [
  { name: 'blink', repeatable: true },
  { name: 'pulse', repeatable: false },
  { name: 'move', repeatable: true, concurrency: 1 },
  { name: 'open', repeatable: false, concurrency: 1 },
  { name: 'spray', repeatable: false, concurrency: 2 },
  { name: 'show', repeatable: true, onlyLast: true },
  { name: 'ring', repeatable: false, onlyLast: true },
]
const REST: Life = { alive: true }
/** After the trouble nobody waits longer for a command. */
const PATIENCE_MS = 60_000

interface Asked {
  world: World
  db: MemoryDatabase
  trouble: Trouble
  oracle: AskedOracle
  devices: () => readonly SimDevice[]
}

export class Asking {
  readonly counts = { wishes: 0, cancels: 0, sameKey: 0, askedAgain: 0 }
  readonly #asked: Asked
  readonly #recent: string[] = []
  #ids = 0

  constructor(asked: Asked) {
    this.#asked = asked
  }

  /** Something of somebody. The device is looked up a moment before. */
  act(): void {
    const { world, devices } = this.#asked
    const { random } = world
    const hearing = devices().filter(({ hears }) => hears)
    if (hearing.length === 0) return
    // Some are asked more than others.
    const device = random.pick(random.chance(0.4) ? hearing.slice(0, 2) : hearing)
    const dice = random.next()
    world.later(random.chance(0.9) ? 1 : world.between(1, 3_000), 'REST is asked', () => {
      if (dice < 0.42) return this.#wish(device)
      if (dice < 0.88) return this.#command(device)
      return this.#cancel(this.#recent.length > 0 ? random.pick(this.#recent) : undefined)
    })
  }

  /** Nobody waits for long any more. */
  async settle(): Promise<void> {
    const { world, db } = this.#asked
    for (const { id, endedAt, expiresAt } of [...db.commands.values()])
      if (endedAt === null && expiresAt > world.now + PATIENCE_MS) await this.#cancel(id)
  }

  async #wish(device: SimDevice): Promise<void> {
    const { world } = this.#asked
    const { random } = world
    this.counts.wishes++
    const content: Pick<WishRequest, 'patch' | 'replace'> = random.chance(0.85)
      ? { patch: this.#state(device, true) }
      : { replace: this.#state(device, false) }
    const body: WishRequest = {
      ...content,
      ...(random.chance(0.1) && { ifVersion: Math.max(0, this.#versionOf(device) - (random.chance(0.3) ? 1 : 0)) }),
      ...(random.chance(0.2) && { deadlineMs: random.chance(0.5) ? world.between(1_000, 20_000) : world.between(60_000, 86_400_000) }),
      ...(random.chance(0.8) && { retryMs: world.between(1_000, 10_000) }),
      by: random.pick(['ann', 'bob']),
    }
    await this.#request(device.record.incarnation, 'wish', body)
  }

  /** Values of writable properties, and an object of several levels that its model may keep. */
  #state({ record: { model } }: SimDevice, withNulls: boolean): JsonObject {
    const { world } = this.#asked
    const { random } = world
    const state: { [name: string]: Value } = {}
    const orNull = (value: Value): Value => (withNulls && random.chance(0.15) ? null : value)
    if (model === 'lock') state.autoLockSeconds = orNull(world.between(0, 4) * 60)
    if (model !== 'lock' || random.chance(0.1)) state.targetTemperature = orNull(world.between(15, 22))
    if (model === 'thermostat' && random.chance(0.4)) state.schedule = orNull(random.chance(0.1) ? 'off' : this.#schedule(orNull))
    return state
  }

  #schedule(orNull: (value: Value) => Value): Value {
    const { world } = this.#asked
    const days = ['mon', 'tue', 'wed'].filter(() => world.random.chance(0.5))
    const hours = (): Value =>
      world.random.chance(0.5) ? world.between(15, 20) : { from: world.between(6, 9), list: [1, world.between(2, 3)] }
    return Object.fromEntries(days.map((day) => [day, orNull(hours())]))
  }

  async #command({ record }: SimDevice): Promise<void> {
    const { world, db } = this.#asked
    const { random } = world
    const { name, ...rules } = random.pick(ACTIONS)
    const { incarnation, tenant } = record
    const by = random.pick(['ann', 'bob'])
    const key = random.chance(0.5) ? `key ${++this.#ids}` : undefined
    const timeoutMs = random.chance(0.2) ? world.between(1_000, 10_000) : world.between(10_000, random.chance(0.1) ? 900_000 : 90_000)
    const [expiresAt, retryMs] = [world.now + timeoutMs, world.between(1_000, 10_000)]
    const maxAttempts = rules.repeatable ? world.between(1, 8) : 1
    const row = {
      tenant,
      incarnation,
      name,
      input: random.chance(0.5) ? '{"n":1}' : null,
      requestedBy: by,
      retryMs,
      maxAttempts,
      expiresAt,
    }
    for (let n = 0; n < 3; n++) {
      const ids: CommandIds = { command: this.#id(), request: this.#id() }
      const request: CommandRequest = { id: ids.command, name, expiresAt, ...rules, by }
      const outcome = await this.#write('command', () =>
        this.#insert(
          { ...row, repeatable: rules.repeatable, id: ids.command, request: { id: ids.request, body: JSON.stringify(request) } },
          key,
        ),
      )
      if (outcome === 'claimed') this.counts.sameKey++
      const known =
        outcome === 'written' ? ids : outcome === 'claimed' ? (JSON.parse(db.idempotencyKeys.get(key!)!) as CommandIds) : undefined
      if (known) this.#acknowledged(known.request)
      if (outcome === 'written' && random.chance(0.05)) await this.#request(incarnation, 'command', request)
      if (outcome !== 'unknown' || random.chance(0.3)) return
      this.counts.askedAgain++
      await world.sleep(world.between(100, 2_000), 'REST is asked again')
    }
  }

  #insert(command: NewCommand, key: string | undefined): 'written' | 'gone' | 'claimed' {
    const { db, oracle } = this.#asked
    const outcome = insertCommand(db, command, key)
    if (outcome !== 'written') return outcome
    oracle.commands.requested(JSON.parse(command.request.body))
    this.#recent.push(command.id)
    if (this.#recent.length > 30) this.#recent.shift()
    return outcome
  }

  /** Also of one that has ended meanwhile. */
  async #cancel(id: string | undefined): Promise<void> {
    const { db, oracle, world } = this.#asked
    if (id === undefined) return
    this.counts.cancels++
    await this.#request(db.commands.get(id)!.incarnation, 'cancel', { id, by: world.random.pick(['ann', 'bob']) }, () =>
      oracle.commands.cancelRequested(id),
    )
  }

  /** Each try is a request of its own. */
  async #request(incarnation: number, kind: string, body: object, onWritten = (): void => {}): Promise<void> {
    const { world, db } = this.#asked
    for (;;) {
      const id = this.#id()
      const outcome = await this.#write(kind, () => {
        const isThere = insertRequest(db, { id, tenant: 'demo', incarnation, kind, body: JSON.stringify(body) })
        if (isThere) onWritten()
        return isThere ? 'written' : 'gone'
      })
      if (outcome === 'written') this.#acknowledged(id)
      if (outcome !== 'unknown' || world.random.chance(0.3)) return
      this.counts.askedAgain++
      await world.sleep(world.between(100, 2_000), 'REST is asked again')
    }
  }

  #write<T>(kind: string, run: () => T): Promise<T | 'unknown'> {
    const { trouble } = this.#asked
    return trouble.chance(0.03) ? trouble.doubtful(`REST writes a ${kind}`, run) : trouble.unsure(`REST writes a ${kind}`, REST, run)
  }

  #acknowledged(request: string): void {
    this.#asked.oracle.acknowledged.add(request)
  }

  #versionOf({ record }: SimDevice): number {
    return record.state === null ? 0 : (JSON.parse(record.state) as TwinState).desired.version
  }

  #id(): string {
    return `00000000-0000-4000-8001-${String(++this.#ids).padStart(12, '0')}`
  }
}
