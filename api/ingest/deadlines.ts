/**
 * Deadlines of many devices, at a resolution of one second: constant cost to set, and nothing to do while none is due.
 * A device has at most one. Whoever takes a due device looks again whether it really is due, so deadlines that only move later
 * (silence, with every message) need not be touched: the cost of a message does not grow with the fleet.
 */
export class Deadlines {
  readonly #buckets = new Map<number, Set<number>>()
  readonly #bucketOf = new Map<number, number>()
  #next = 0

  get size(): number {
    return this.#bucketOf.size
  }

  has(device: number): boolean {
    return this.#bucketOf.has(device)
  }

  /** Replaces an earlier deadline of the device. `at` is epoch ms. */
  set(device: number, at: number): void {
    const bucket = Math.ceil(at / 1000)
    const before = this.#bucketOf.get(device)
    if (before === bucket) return
    if (before !== undefined) this.#buckets.get(before)?.delete(device)
    let devices = this.#buckets.get(bucket)
    if (devices === undefined) {
      devices = new Set()
      this.#buckets.set(bucket, devices)
    }
    devices.add(device)
    this.#bucketOf.set(device, bucket)
    if (bucket < this.#next) this.#next = bucket
  }

  delete(device: number): void {
    const bucket = this.#bucketOf.get(device)
    if (bucket === undefined) return
    this.#bucketOf.delete(device)
    this.#buckets.get(bucket)?.delete(device)
  }

  /** Takes out the devices that are due, the earliest first, at most `limit`. */
  due(now: number, limit: number): number[] {
    const last = Math.floor(now / 1000)
    const taken: number[] = []
    while (this.#next <= last) {
      const devices = this.#buckets.get(this.#next)
      if (devices === undefined) {
        this.#next = this.#nextBucket(last)
        continue
      }
      for (const device of devices) {
        if (taken.length === limit) return taken
        devices.delete(device)
        this.#bucketOf.delete(device)
        taken.push(device)
      }
      this.#buckets.delete(this.#next)
      this.#next++
    }
    return taken
  }

  /** After a long pause, and after a deadline long past (that of a device never seen lies in 1970), there are fewer buckets than seconds. */
  #nextBucket(last: number): number {
    if (last - this.#next <= this.#buckets.size) return this.#next + 1
    let next = last + 1
    for (const bucket of this.#buckets.keys()) if (bucket < next) next = bucket
    return next
  }

  /** Forgets every device that `keep` refuses. */
  retain(keep: (device: number) => boolean): void {
    for (const device of [...this.#bucketOf.keys()]) if (!keep(device)) this.delete(device)
  }
}
