/**
 * Keeps book on every update from its request to its end, and holds it to what must always be so: its device is told only while its twin has let
 * it go, at most one is under way, each ends once, by a decision, and its row says so.
 */

import type { Decision } from '../../../activities/ports.ts'
import type { Pending } from '../../../api/downlink.ts'
import type { TwinState, UpdateEnd } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase, UpdateRecord } from '../../support/memory-database.ts'
import type { World } from './world.ts'

export class UpdateLedger {
  readonly counts = { updates: 0, updatesSent: 0, updatesEnded: 0, updatesHealthy: 0, updatesRetried: 0 }
  /** Requests that REST has acknowledged. */
  readonly acknowledged = new Set<string>()
  readonly #world: World
  readonly #db: MemoryDatabase
  readonly #ended = new Map<string, UpdateEnd>()

  constructor(world: World, db: MemoryDatabase) {
    this.#world = world
    this.#db = db
  }

  requested(_id: string): void {
    this.counts.updates++
  }

  /** A bridge claimed this, whether it knows or not. */
  claimed(incarnation: number, { update: told }: Pending): void {
    // Of a device that was just removed nobody hears it any more.
    const device = this.#db.devices.get(incarnation)
    if (!told || !device) return
    const row = this.#db.updates.get(told.id)!
    const { update } = JSON.parse(device.state ?? '{}') as Partial<TwinState>
    if (row.incarnation !== incarnation || update?.id !== told.id || update.phase !== 'released' || update.until! <= this.#world.now)
      this.#fail('a device is told only what its twin lets go', row, update)
    this.counts.updatesSent++
  }

  /** A decision was just written. */
  decided({ incarnation, events, state }: Decision): void {
    for (const event of events) {
      if (event.kind === 'update-released' && event.attempt > 1) this.counts.updatesRetried++
      if (event.kind !== 'update-ended') continue
      const row = this.#db.updates.get(event.id)!
      this.counts.updatesEnded++
      if (event.status === 'healthy') this.counts.updatesHealthy++
      if (this.#ended.has(event.id)) this.#fail('an update ends once', row, event)
      this.#ended.set(event.id, event.status)
      if (row.status !== event.status || row.code !== (event.code ?? null) || row.endedAt === null || row.job !== null)
        this.#fail('a row says how its update ended', row, event)
    }
    this.#check(incarnation, state.update)
  }

  /** That of a removed device ends with it, all others by decisions. What is told may stand on its way. */
  #check(incarnation: number, update: TwinState['update']): void {
    for (const row of this.#db.updatesOf(incarnation)) {
      const isActive = update?.id === row.id
      if (row.endedAt !== null && this.#ended.get(row.id) !== row.status) this.#fail('an update ends by a decision', row, update)
      if ((row.job !== null) !== (isActive && update.phase === 'released'))
        this.#fail('a job is there while its update is let go', row, update)
      if (row.status === 'soaking' && !(isActive && update.phase === 'soaking')) this.#fail('at most one update is under way', row, update)
    }
  }

  /** In words. */
  underWay(): string[] {
    const open = [...this.#db.updates.values()].filter(({ endedAt }) => endedAt === null)
    return open.map(({ id, incarnation, status }) => `update ${id} of device ${incarnation} is ${status}`)
  }

  #fail(rule: string, row: UpdateRecord, other: unknown): never {
    return this.#world.fail(rule, `${JSON.stringify(row)}\n  ${JSON.stringify(other)}`)
  }
}
