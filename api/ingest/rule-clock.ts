/** When time alone means something to the rules of a device: a condition has held for long enough, a value is missing, a count falls. */
import { nextTime, passTime, tellTime } from '../../twin-models/core/inbox.ts'
import { Deadlines } from './deadlines.ts'
import type { Device } from './device.ts'
import type { Lane, LaneDevice } from './lane-store.ts'
import { laneOf } from './log.ts'

export class RuleClock {
  readonly #deadlines = new Deadlines()

  watch({ incarnation, inbox }: Device): void {
    const at = nextTime(inbox)
    if (at === undefined) this.#deadlines.delete(incarnation)
    else this.#deadlines.set(incarnation, at + 1)
  }

  /** A device of a lane that was just taken over. */
  watchRow({ incarnation, dueAt }: LaneDevice): void {
    if (dueAt !== null) this.#deadlines.set(incarnation, dueAt + 1)
  }

  /** Devices to look at with `check`, by the slowest lane's time: all that was accepted before it is processed. */
  due(lanes: Lane[], limit: number): number[] {
    const watermark = Math.min(...lanes.map((lane) => lane.watermark))
    return Number.isFinite(watermark) ? this.#deadlines.due(watermark, limit) : []
  }

  /** True when something came of it. */
  check(device: Device, lanes: ReadonlyMap<number, Lane>): boolean {
    const lane = lanes.get(laneOf(device.incarnation))
    if (lane === undefined) return false
    device.inbox.graceSince = lane.graceSince
    const due = nextTime(device.inbox)
    if (due !== undefined && due < lane.watermark) {
      passTime(device.inbox, lane.watermark)
      return true
    }
    this.watch(device)
    return false
  }

  /** Before something that is not in order with messages, which it has to come after. */
  tell(device: Device, lanes: ReadonlyMap<number, Lane>): void {
    const lane = lanes.get(device.lane)
    if (lane === undefined || lane.watermark === 0) return
    device.inbox.graceSince = lane.graceSince
    tellTime(device.inbox, Math.max(lane.watermark, device.lastSeen))
  }

  forgetOne(incarnation: number): void {
    this.#deadlines.delete(incarnation)
  }

  forget(keep: (incarnation: number) => boolean): void {
    this.#deadlines.retain(keep)
  }
}
