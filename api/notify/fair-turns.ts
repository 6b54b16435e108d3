/**
 * Whose turn it is among targets that have something to be told. Tenants take turns, and targets of a tenant; each kind of target has so many places,
 * of which one tenant has a share at most: whatever one tenant has to tell, and however slow its receivers are, another waits for one message at most.
 */
import type { ReadyTarget } from './ports.ts'

/** Requests under way: over all, and of one tenant. Mail goes over few connections. */
export const PLACES = { webhook: { all: 32, tenant: 8 }, email: { all: 2, tenant: 1 } } as const

export class FairTurns {
  readonly #underWay = new Map<number, ReadyTarget>()
  /** When a tenant, or a target, had its last turn: a count of turns. */
  readonly #tenants = new Map<string, number>()
  readonly #targets = new Map<number, number>()
  #turns = 0

  get underWay(): number {
    return this.#underWay.size
  }

  /** Begins the turn of one of them, until `end`. Undefined: none may begin now. */
  next(ready: readonly ReadyTarget[]): ReadyTarget | undefined {
    let chosen: ReadyTarget | undefined
    for (const target of ready)
      if (!this.#underWay.has(target.number) && this.#hasPlace(target) && (!chosen || this.#isBefore(target, chosen))) chosen = target
    if (!chosen) return undefined
    this.#turns++
    this.#tenants.set(chosen.tenant, this.#turns)
    this.#targets.set(chosen.number, this.#turns)
    this.#underWay.set(chosen.number, chosen)
    return chosen
  }

  end({ number }: ReadyTarget): void {
    this.#underWay.delete(number)
  }

  /** Those that have nothing to be told any more are forgotten. */
  forgetOthers(ready: readonly ReadyTarget[]): void {
    const numbers = new Set(ready.map(({ number }) => number))
    const tenants = new Set(ready.map(({ tenant }) => tenant))
    for (const number of this.#targets.keys()) if (!numbers.has(number)) this.#targets.delete(number)
    for (const tenant of this.#tenants.keys()) if (!tenants.has(tenant)) this.#tenants.delete(tenant)
  }

  #hasPlace({ tenant, kind }: ReadyTarget): boolean {
    const sameKind = [...this.#underWay.values()].filter((other) => other.kind === kind)
    const ofTenant = sameKind.filter((other) => other.tenant === tenant).length
    return sameKind.length < PLACES[kind].all && ofTenant < PLACES[kind].tenant
  }

  #isBefore(a: ReadyTarget, b: ReadyTarget): boolean {
    const [tenantA, tenantB] = [this.#tenants.get(a.tenant) ?? 0, this.#tenants.get(b.tenant) ?? 0]
    if (a.tenant !== b.tenant) return tenantA < tenantB
    return (this.#targets.get(a.number) ?? 0) < (this.#targets.get(b.number) ?? 0)
  }
}
