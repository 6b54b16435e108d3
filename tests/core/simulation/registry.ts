/** What REST asks for: registrations, removals, other models, strong reads. */
import { modelOf } from '../../../twin-models/devices/index.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { type DeviceSurroundings, SimDevice } from './sim-device.ts'

export class Registry {
  readonly devices: SimDevice[] = []
  readonly counts = { removed: 0, requests: 0, models: 0 }
  readonly #db: MemoryDatabase
  readonly #around: DeviceSurroundings
  #requests = 0

  constructor(db: MemoryDatabase, around: DeviceSurroundings) {
    this.#db = db
    this.#around = around
  }

  register(name: string): void {
    const { random } = this.#around.world
    const model = modelOf(random.pick(['thermostat', 'thermostat', 'lock', 'pump']))!
    this.devices.push(new SimDevice(this.#db.register('demo', name, model.name, model.version), this.#around))
  }

  /** Removed, and registered again under the same name: at once, or later. */
  replace(): void {
    const { world } = this.#around
    const at = world.between(0, this.devices.length - 1)
    const device = this.devices[at]
    if (device === undefined) return
    const { incarnation, device: name } = device.record
    world.note(`device ${incarnation} is removed`)
    this.counts.removed++
    this.#db.remove(incarnation)
    this.devices.splice(at, 1)
    // Whoever had looked the device up before may still write a request to it.
    if (world.random.chance(0.3)) world.later(world.between(0, 5_000), 'late request', () => this.#request(incarnation, 'deliver'))
    // Bridges look every second.
    world.later(world.between(0, 1_000), 'revocation', () => device.remove())
    world.later(world.between(0, world.random.chance(0.5) ? 10 : 20_000), 'registration', () => this.register(name))
  }

  changeModel(): void {
    const { world } = this.#around
    const device = world.random.pick(this.devices)
    const { incarnation } = device.record
    const model = modelOf(world.random.pick(['thermostat', 'lock', 'pump'].filter((name) => name !== device.record.model)))!
    world.note(`device ${incarnation} becomes a ${model.name}`)
    this.counts.models++
    Object.assign(device.record, { model: model.name, modelVersion: model.version })
    this.#db.ruleDevice(incarnation)
    this.#request(incarnation, 'configured')
  }

  /** ?consistency=strong. The row is written a moment after the device was looked up. */
  deliver(): void {
    const { world } = this.#around
    const { incarnation } = world.random.pick(this.devices).record
    world.later(world.random.chance(0.9) ? 1 : world.between(1, 3_000), 'request', () => this.#request(incarnation, 'deliver'))
  }

  #request(incarnation: number, kind: string): void {
    this.counts.requests++
    const id = `00000000-0000-4000-8000-${String(++this.#requests).padStart(12, '0')}`
    this.#db.request(id, 'demo', incarnation, kind)
  }
}
