/** Filters of readers: each is asked once an event for all readers of a tenant that share it. */
import { matches } from '../../twin-models/filter/evaluate.ts'
import type { Filter } from '../../twin-models/filter/parse.ts'

export interface LiveFilter {
  tenant: string
  text: string
  tree: Filter
  readers: number
}

export class Filters {
  readonly #byTenant = new Map<string, Map<string, LiveFilter>>()

  /** To be given back with `drop`. */
  take(tenant: string, text: string, tree: Filter): LiveFilter {
    const known = this.#byTenant.get(tenant)?.get(text)
    const filter = known ?? { tenant, text, tree, readers: 0 }
    filter.readers++
    if (!known) this.#byTenant.set(tenant, (this.#byTenant.get(tenant) ?? new Map()).set(text, filter))
    return filter
  }

  drop(filter: LiveFilter): void {
    if (--filter.readers > 0) return
    const ofTenant = this.#byTenant.get(filter.tenant)
    ofTenant?.delete(filter.text)
    if (ofTenant?.size === 0) this.#byTenant.delete(filter.tenant)
  }

  has(tenant: string): boolean {
    return this.#byTenant.has(tenant)
  }

  /** Those that a document of the tenant meets. A twin that is gone meets none. */
  met(tenant: string, document: object | undefined): Set<LiveFilter> | undefined {
    const ofTenant = this.#byTenant.get(tenant)
    if (!ofTenant || document === undefined) return undefined
    const met = new Set<LiveFilter>()
    for (const filter of ofTenant.values()) if (matches(filter.tree, document)) met.add(filter)
    return met
  }
}
