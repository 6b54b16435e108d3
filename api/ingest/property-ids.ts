/** Ids of property names, per tenant. They are few and never change, so all that were seen stay in memory. */
import type { Reading } from '../../twin-models/core/types.ts'
import type { LaneStore } from './lane-store.ts'

export class PropertyIds {
  readonly #known = new Map<string, Map<string, number>>()
  readonly #asked = new Map<string, Set<string>>()

  /** Undefined: a name too many for the tenant. Call `resolve` first. */
  of(tenant: string, name: string): number | undefined {
    return this.#known.get(tenant)?.get(name)
  }

  /** Remembers which names are still to be looked up. */
  note(tenant: string, readings: Reading[]): void {
    const known = this.#known.get(tenant)
    for (const { name } of readings) {
      if (known?.has(name)) continue
      const asked = this.#asked.get(tenant)
      if (asked === undefined) this.#asked.set(tenant, new Set([name]))
      else asked.add(name)
    }
  }

  async resolve(store: LaneStore): Promise<void> {
    if (this.#asked.size === 0) return
    const asked = [...this.#asked]
    this.#asked.clear()
    for (const [tenant, names] of asked) {
      const ids = await store.properties(tenant, [...names])
      const known = this.#known.get(tenant) ?? new Map<string, number>()
      for (const [name, id] of ids) known.set(name, id)
      this.#known.set(tenant, known)
    }
  }
}
