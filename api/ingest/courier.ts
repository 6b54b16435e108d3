/** Brings sealed batches to their twins, and tells the twins of devices that are gone. Works beside the ticks, and changes no device. */
import { type Device, deviceOf } from './device.ts'
import type { DeviceCache } from './device-cache.ts'
import type { LaneStore, RemovedDevice } from './lane-store.ts'
import type { Seals } from './seals.ts'

/** How they are reached: infra/temporal/twin-signaller.ts. */
export interface TwinSignaller {
  /** True when the twin's server took it. Never rejects. */
  deliver(twin: Pick<Device, 'tenant' | 'device' | 'incarnation' | 'model'>, seq: number, batch: string): Promise<boolean>
  /** True when the twin was told that its registration ended, or there is none. Never rejects. */
  remove(twin: RemovedDevice): Promise<boolean>
}

export class Courier {
  readonly #store: LaneStore
  readonly #signaller: TwinSignaller
  readonly #devices: DeviceCache
  readonly #seals: Seals
  readonly #clock: () => number

  constructor(parts: { store: LaneStore; signaller: TwinSignaller; devices: DeviceCache; seals: Seals; clock: () => number }) {
    this.#store = parts.store
    this.#signaller = parts.signaller
    this.#devices = parts.devices
    this.#seals = parts.seals
    this.#clock = parts.clock
  }

  /** Signals every seal that is due. Resolves when each was taken or refused. */
  async deliver(): Promise<void> {
    const due = this.#seals.toSend(this.#clock())
    if (due.length === 0) return
    const missing = due.filter(({ incarnation }) => !this.#devices.get(incarnation)).map(({ incarnation }) => incarnation)
    // Not into the cache: only a tick may fill it, or it could bring back what a tick has changed meanwhile.
    const rows = missing.length === 0 ? [] : await this.#store.devices(missing).catch(() => [])
    const loaded = new Map(rows.map((row) => [row.incarnation, deviceOf(row)]))
    await Promise.all(
      due.map(({ incarnation, seq }) => this.#signal(this.#devices.get(incarnation) ?? loaded.get(incarnation), incarnation, seq)),
    )
  }

  async tellRemoved(device: RemovedDevice): Promise<void> {
    if (await this.#signaller.remove(device)) await this.#store.removalTold(device.incarnation).catch(() => {})
  }

  async #signal(device: Device | undefined, incarnation: number, seq: number): Promise<void> {
    const sealed = device?.inbox.sealed
    // A tick may just have answered it, or sealed the next one and not yet committed that.
    const taken = device && sealed?.seq === seq ? await this.#signaller.deliver(device, seq, sealed.batch) : true
    this.#seals.sent(incarnation, seq, taken, this.#clock())
  }
}
