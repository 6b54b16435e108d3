/** Whose message it is, and by which model it is read: what the tail of the ingest log must know of every device that speaks. Bounded. */
import type { DeviceModel } from '../../twin-models/model.ts'
import type { Models } from '../ports.ts'
import type { LiveDevice, LiveStore } from './ports.ts'

export interface Owner {
  tenant: string
  device: string
  model: DeviceModel
}

const MOST = 100_000
/** A change of model is told by an event, but only to who has read the outbox so far. */
const TRUST_MS = 60_000

export class LiveDevices {
  readonly #store: Pick<LiveStore, 'devices'>
  readonly #models: Models
  /** null: no such device, or no such model: then nothing of it is shown. */
  readonly #owners = new Map<number, { owner: Owner | null; until: number }>()

  constructor(store: Pick<LiveStore, 'devices'>, models: Models) {
    this.#store = store
    this.#models = models
  }

  get(incarnation: number): Owner | undefined {
    return this.#owners.get(incarnation)?.owner ?? undefined
  }

  async load(incarnations: Iterable<number>): Promise<void> {
    const now = performance.now()
    const needed = new Set(incarnations)
    const missing = new Set<number>()
    for (const incarnation of needed) if ((this.#owners.get(incarnation)?.until ?? 0) < now) missing.add(incarnation)
    if (missing.size === 0) return
    const until = now + TRUST_MS
    for (const row of await this.#store.devices([...missing])) {
      this.#keep(row.incarnation, this.#ownerOf(row), until)
      missing.delete(row.incarnation)
    }
    for (const incarnation of missing) this.#keep(incarnation, null, until)
    for (const incarnation of this.#owners.keys()) {
      if (this.#owners.size <= MOST) break
      if (!needed.has(incarnation)) this.#owners.delete(incarnation)
    }
  }

  forget(incarnation: number): void {
    this.#owners.delete(incarnation)
  }

  clear(): void {
    this.#owners.clear()
  }

  #keep(incarnation: number, owner: Owner | null, until: number): void {
    this.#owners.delete(incarnation)
    this.#owners.set(incarnation, { owner, until })
  }

  /** A version that is no longer shipped is read by the one that is, as the processor does. */
  #ownerOf({ tenant, device, model: name }: LiveDevice): Owner | null {
    const model = this.#models.find(name)
    return model === undefined ? null : { tenant, device, model }
  }
}
