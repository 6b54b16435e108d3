/**
 * Copies latest values to where search looks, some seconds behind, a bounded number at a time: each device in turn, however often it
 * speaks. Search stays cheap that way, and so does a message.
 */
import { searchableJson, telemetryPart } from '../../twin-models/core/document.ts'
import type { Device } from './device.ts'
import type { LaneStore } from './lane-store.ts'

/** Copies made after a tick: many when it had little to do, few when it was full. */
const COPIES = { idle: 200, busy: 20 } as const
const BUSY_MESSAGES = 1_000

export class SearchCopy {
  readonly #store: LaneStore
  readonly #waiting = new Set<number>()
  #running = false

  constructor(store: LaneStore) {
    this.#store = store
  }

  note(incarnation: number): void {
    this.#waiting.add(incarnation)
  }

  /** Starts a copy unless one is under way. A copy that fails is made again later. */
  run(devices: { get(incarnation: number): Device | undefined }, messagesInTick: number): void {
    if (this.#running || this.#waiting.size === 0) return
    const rows: Array<{ incarnation: number; telemetry: string }> = []
    const limit = messagesInTick > BUSY_MESSAGES ? COPIES.busy : COPIES.idle
    for (const incarnation of this.#waiting) {
      if (rows.length === limit) break
      this.#waiting.delete(incarnation)
      const device = devices.get(incarnation)
      if (device) rows.push({ incarnation, telemetry: searchableJson(telemetryPart(device.latest, device.model)) })
    }
    if (rows.length === 0) return
    this.#running = true
    this.#store
      .copyForSearch(rows)
      .catch(() => {
        for (const { incarnation } of rows) this.#waiting.add(incarnation)
      })
      .finally(() => {
        this.#running = false
      })
  }
}
