/** The devices that the owner of the lanes holds in memory. Only a tick fills and changes it; all in it is committed between ticks. */
import { type Device, deviceOf } from './device.ts'
import type { LaneStore } from './lane-store.ts'
import type { RuleBook } from './rule-book.ts'

/** At 3 to 8 kB each, some 150 MB. */
const CACHED_DEVICES = 30_000

export class DeviceCache {
  readonly #store: LaneStore
  readonly #rules: RuleBook
  readonly #inputLimit: number
  /** null: no such device (any more). */
  readonly #devices = new Map<number, Device | null>()

  constructor(store: LaneStore, rules: RuleBook, inputLimit: number) {
    this.#store = store
    this.#rules = rules
    this.#inputLimit = inputLimit
  }

  get size(): number {
    return this.#devices.size
  }

  /** Undefined also for what was not loaded. */
  get(incarnation: number): Device | undefined {
    return this.#devices.get(incarnation) ?? undefined
  }

  async load(incarnations: Iterable<number>): Promise<void> {
    const loaded = await this.#load(incarnations)
    // Those without a row are new, or have been so since they were loaded.
    if (loaded.length > 0) await this.#rules.prepare(loaded)
  }

  async #load(incarnations: Iterable<number>): Promise<Device[]> {
    const fresh: Device[] = []
    const missing = new Set<number>()
    for (const incarnation of incarnations) {
      const known = this.#devices.get(incarnation)
      if (known === undefined) missing.add(incarnation)
      else if (known && !known.stored) fresh.push(known)
    }
    if (missing.size === 0) return fresh
    for (const row of await this.#store.devices([...missing])) {
      const device = deviceOf(row, this.#inputLimit)
      this.#devices.set(row.incarnation, device)
      if (!device.stored) fresh.push(device)
      missing.delete(row.incarnation)
    }
    for (const incarnation of missing) this.#devices.set(incarnation, null)
    return fresh
  }

  /** It is read anew when it is needed again. */
  forget(incarnation: number): void {
    this.#devices.delete(incarnation)
  }

  /** There is no such device any more. */
  remove(incarnation: number): void {
    this.#devices.set(incarnation, null)
  }

  retain(keep: (incarnation: number) => boolean): void {
    for (const incarnation of [...this.#devices.keys()]) if (!keep(incarnation)) this.#devices.delete(incarnation)
  }

  clear(): void {
    this.#devices.clear()
  }

  /** Keeps it bounded, and what this tick used. */
  evict(tick: number): void {
    if (this.#devices.size <= CACHED_DEVICES) return
    for (const [incarnation, device] of this.#devices) {
      if (device?.usedTick !== tick) this.#devices.delete(incarnation)
      if (this.#devices.size <= CACHED_DEVICES * 0.9) return
    }
  }
}
