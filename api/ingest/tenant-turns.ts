/** Devices that wait, in the order in which they came, and their tenants in turn: the storm of one does not hold up the others. */

interface Waiting {
  tenant: string
  since: number
}

export class TenantTurns {
  readonly #waiting = new Map<number, Waiting>()
  /** By tenant, in whose order they are next. None is empty. */
  readonly #queues = new Map<string, Set<number>>()

  get size(): number {
    return this.#waiting.size
  }

  /** Epoch ms since when the one waits that has waited for longest; null when none does. */
  get oldest(): number | null {
    let oldest: number | null = null
    for (const [first] of this.#queues.values()) {
      const { since } = this.#waiting.get(first!)!
      if (oldest === null || since < oldest) oldest = since
    }
    return oldest
  }

  /** One that waits already keeps its place. */
  add(device: number, tenant: string, since: number): void {
    if (this.#waiting.has(device)) return
    this.#waiting.set(device, { tenant, since })
    const queue = this.#queues.get(tenant)
    if (queue) queue.add(device)
    else this.#queues.set(tenant, new Set([device]))
  }

  delete(device: number): void {
    const waiting = this.#waiting.get(device)
    if (!waiting) return
    this.#waiting.delete(device)
    const queue = this.#queues.get(waiting.tenant)!
    queue.delete(device)
    if (queue.size === 0) this.#queues.delete(waiting.tenant)
  }

  /** The next one, taken out; then it is another tenant's turn. */
  take(): number | undefined {
    for (const [tenant, queue] of this.#queues) {
      const [device] = queue
      this.delete(device!)
      if (queue.size > 0) {
        this.#queues.delete(tenant)
        this.#queues.set(tenant, queue)
      }
      return device
    }
    return undefined
  }

  retain(keep: (device: number) => boolean): void {
    for (const device of [...this.#waiting.keys()]) if (!keep(device)) this.delete(device)
  }
}
