/**
 * What REST does about rules: writes, changes and removes them; people acknowledge, shelve and clear alarms; repairs begin and end. Its writes may be
 * done or not without its knowing.
 */
import type { AlarmAsk, MaintenanceAsk, TwinState } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { insertRequest } from '../../support/memory-requests.ts'
import { drawRule } from './rule-bodies.ts'
import type { SimDevice } from './sim-device.ts'
import type { Trouble } from './trouble.ts'
import type { Life, World } from './world.ts'

const REST: Life = { alive: true }
const NAMES = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8']
/** Null: of any. */
const MODELS = [null, null, null, 'thermostat', 'pump', 'lock']

interface Ruled {
  world: World
  db: MemoryDatabase
  trouble: Trouble
  /** Requests that REST has acknowledged. */
  acknowledged: Set<string>
  devices: () => readonly SimDevice[]
}

export class Ruling {
  readonly counts = { rulesChanged: 0, rulesRemoved: 0, alarmAsks: 0, maintenance: 0 }
  readonly #ruled: Ruled
  #ids = 0
  #versions = 0

  constructor(ruled: Ruled) {
    this.#ruled = ruled
  }

  /** Some there are from the beginning. */
  begin(): void {
    const { world } = this.#ruled
    for (const name of NAMES) if (world.random.chance(0.7)) this.#setRule(name)
  }

  act(): void {
    const { world, devices } = this.#ruled
    const { random } = world
    const dice = random.next()
    if (dice < 0.25) world.later(1, 'REST is asked', () => this.#changeRule())
    else if (devices().length === 0) return
    else if (dice < 0.85) world.later(1, 'REST is asked', () => this.#askAlarm())
    else world.later(1, 'REST is asked', () => this.#askMaintenance(random.pick(devices())))
  }

  async #changeRule(): Promise<void> {
    const { world, db, trouble } = this.#ruled
    const name = world.random.pick(NAMES)
    const isRemoval = db.rules.has(`demo ${name}`) && world.random.chance(0.35)
    await trouble.unsure('REST writes a rule', REST, () => (isRemoval ? this.#removeRule(name) : this.#setRule(name)))
  }

  #setRule(name: string): void {
    const { world, db } = this.#ruled
    const version = ++this.#versions
    const model = world.random.pick(MODELS)
    const body = JSON.stringify(drawRule(world, name, version))
    this.counts.rulesChanged++
    world.note(`rule ${name} is written for ${model}: ${body}`)
    db.rule('demo', name, { tenant: 'demo', name, version, model, filter: null, body, createdAt: world.now })
  }

  #removeRule(name: string): void {
    this.counts.rulesRemoved++
    this.#ruled.world.note(`rule ${name} is removed`)
    this.#ruled.db.rule('demo', name, null)
  }

  /** Mostly of one that is there, or was a moment ago. */
  async #askAlarm(): Promise<void> {
    const { world, devices } = this.#ruled
    const { random } = world
    const device = random.pick(devices().filter(({ record }) => openOf(record.state).length > 0)) ?? random.pick(devices())
    if (!device) return
    const open = openOf(device.record.state)
    const { rule, n } = (random.chance(0.9) ? random.pick(open) : undefined) ?? { rule: random.pick(NAMES), n: 1 }
    this.counts.alarmAsks++
    const by = random.pick(['ann', 'bob'])
    const action = random.pick(['acknowledge', 'shelve', 'unshelve', 'clear', 'comment', 'assign'] as const)
    const about = { rule, by, ...(random.chance(0.3) && { n }) }
    const body: AlarmAsk =
      action === 'shelve'
        ? { ...about, action, until: world.now + world.between(1_000, 60_000) }
        : action === 'assign'
          ? { ...about, action, assignee: random.pick(['ann', null]) }
          : { ...about, action, ...(action === 'comment' && { note: 'seen' }) }
    await this.#request(device.record.incarnation, 'alarm', body)
  }

  async #askMaintenance({ record }: SimDevice): Promise<void> {
    const { world } = this.#ruled
    this.counts.maintenance++
    const until = world.random.chance(0.3) ? null : world.now + world.between(1_000, 60_000)
    const body: MaintenanceAsk = this.counts.maintenance % 2 === 0 ? { until, by: 't-1', ticket: true } : { until, by: 'ann' }
    await this.#request(record.incarnation, 'maintenance', body)
  }

  async #request(incarnation: number, kind: string, body: object): Promise<void> {
    const { db, trouble, acknowledged } = this.#ruled
    const id = `00000000-0000-4000-8003-${String(++this.#ids).padStart(12, '0')}`
    const outcome = await trouble.unsure(`REST writes a ${kind}`, REST, () =>
      insertRequest(db, { id, tenant: 'demo', incarnation, kind, body: JSON.stringify(body) }),
    )
    if (outcome === true) acknowledged.add(id)
  }
}

function openOf(state: string | null): Array<{ rule: string; n: number }> {
  return state === null ? [] : Object.values((JSON.parse(state) as TwinState).alarms)
}
