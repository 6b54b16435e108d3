/**
 * Finds devices that fell silent (docs/architecture.md §3.7): not connected, and nothing received for the presence timeout before the
 * watermark. A message costs nothing here: a deadline that came is looked at again, and moved on if the device spoke meanwhile.
 */
import { addSilence } from '../../twin-models/core/inbox.ts'
import { Deadlines } from './deadlines.ts'
import type { Device } from './device.ts'
import type { Lane, LaneDevice } from './lane-store.ts'
import { laneOf } from './log.ts'

export class Silence {
  readonly #deadlines = new Deadlines()

  /** After a device spoke, connected or disconnected. */
  watch(device: Device): void {
    const { incarnation, inbox } = device
    if (device.connection !== null || inbox.expected !== 'online') this.#deadlines.delete(incarnation)
    else if (!this.#deadlines.has(incarnation)) this.#deadlines.set(incarnation, device.lastSeen + inbox.wake.presenceTimeoutMs)
  }

  /** A device of a lane that was just taken over: when it is due, it is looked at. */
  watchRow({ incarnation, lastSeen, connected, presence, presenceTimeoutMs, pendingSince, sealedSeq }: LaneDevice): void {
    const mayBeOnline = presence === 'online' || pendingSince !== null || sealedSeq !== null
    if (!connected && mayBeOnline) this.#deadlines.set(incarnation, lastSeen + presenceTimeoutMs)
  }

  /** Devices to look at with `check`. They may be due by the slowest lane's time. */
  due(lanes: Lane[], limit: number): number[] {
    const watermark = Math.min(...lanes.map((lane) => lane.watermark))
    return Number.isFinite(watermark) ? this.#deadlines.due(watermark, limit) : []
  }

  /** True when the device was found silent. */
  check(device: Device, lanes: ReadonlyMap<number, Lane>): boolean {
    const lane = lanes.get(laneOf(device.incarnation))
    if (lane === undefined || device.connection !== null || device.inbox.expected !== 'online') return false
    device.inbox.graceSince = lane.graceSince
    const deadline = Math.max(device.lastSeen, lane.graceSince) + device.inbox.wake.presenceTimeoutMs
    if (deadline < lane.watermark) return addSilence(device.inbox, lane.watermark, device.lastSeen)
    this.#deadlines.set(device.incarnation, deadline + 1)
    return false
  }

  forgetOne(incarnation: number): void {
    this.#deadlines.delete(incarnation)
  }

  forget(keep: (incarnation: number) => boolean): void {
    this.#deadlines.retain(keep)
  }
}
