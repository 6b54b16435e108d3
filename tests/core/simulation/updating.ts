/**
 * What the simulation asks of firmware: updates and cancels, of devices that are busy with another, away, or asleep. Its writes may be done or not
 * without its knowing.
 */
import type { UpdateRequest } from '../../../twin-models/core/types.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { insertRequest } from '../../support/memory-requests.ts'
import { hashOf } from './device-firmware.ts'
import type { SimDevice } from './sim-device.ts'
import type { Trouble } from './trouble.ts'
import type { UpdateLedger } from './update-ledger.ts'
import type { Life, World } from './world.ts'

const REST: Life = { alive: true }
const VERSIONS = ['1.0.0', '1.1.0', '2.0.0']

interface Asked {
  world: World
  db: MemoryDatabase
  trouble: Trouble
  ledger: UpdateLedger
  devices: () => readonly SimDevice[]
}

export class Updating {
  readonly #asked: Asked
  readonly #recent: Array<{ id: string; incarnation: number }> = []
  #ids = 0

  constructor(asked: Asked) {
    this.#asked = asked
    for (const version of VERSIONS)
      asked.db.firmware.set(version, { id: version, sha256: hashOf(version), envelope: '{"payloadType":"test"}', isUsable: true })
  }

  act(): void {
    const { world, devices } = this.#asked
    const { random } = world
    const hearing = devices().filter(({ hears }) => hears)
    if (hearing.length === 0) return
    const device = random.pick(hearing)
    const cancelled = this.#recent.length > 0 && random.chance(0.15) ? random.pick(this.#recent) : undefined
    world.later(1, 'REST is asked', () => {
      if (cancelled) return this.#write(cancelled.incarnation, this.#id(), 'cancel-update', { id: cancelled.id, by: 'ann' })
      return this.#update(device)
    })
  }

  async #update({ record: { incarnation, tenant, device } }: SimDevice): Promise<void> {
    const { world, db, ledger } = this.#asked
    const { random } = world
    const version = random.pick(VERSIONS)
    const id = this.#id()
    const kind = random.pick(['install', 'rollback'] as const)
    const windows = random.chance(0.2) ? { windows: this.#windows() } : {}
    const body: UpdateRequest = {
      id,
      kind,
      firmware: { version, sha256: hashOf(version) },
      ...(random.chance(0.2) && { fromVersions: ['1.0.0', '1.1.0'] }),
      ...(random.chance(0.2) && { minBattery: world.between(1, 100) }),
      ...windows,
      offerUntil: world.now + world.between(1_000, 120_000),
      installMs: world.between(5_000, 60_000),
      soakMs: random.chance(0.4) ? 0 : world.between(1_000, 60_000),
      silenceMs: world.between(1_000, 60_000),
      attempts: world.between(1, 3),
      retryMs: world.between(1_000, 10_000),
      precedence: world.between(0, 3),
      by: 'ann',
    }
    await this.#write(incarnation, id, 'update', body, () => {
      db.update({ id, tenant, incarnation, device, rollout: null, firmware: version, kind, requestedBy: 'ann' })
      ledger.requested(id)
      this.#recent.push({ id, incarnation })
      if (this.#recent.length > 10) this.#recent.shift()
    })
  }

  #windows(): Array<[from: number, until: number]> {
    const { world } = this.#asked
    const from = world.now + world.between(-20_000, 40_000)
    const until = from + world.between(5_000, 30_000)
    return [
      [from, until],
      [until + 10_000, until + 40_000],
    ]
  }

  /** Once: an update that nobody knows of is asked for anew by another id. */
  async #write(incarnation: number, request: string, kind: string, body: object, onWritten = (): void => {}): Promise<void> {
    const { db, trouble, ledger } = this.#asked
    const outcome = await trouble.unsure(`REST writes a ${kind}`, REST, () => {
      const isThere = insertRequest(db, { id: request, tenant: 'demo', incarnation, kind, body: JSON.stringify(body) })
      if (isThere) onWritten()
      return isThere
    })
    if (outcome === true) ledger.acknowledged.add(request)
  }

  #id(): string {
    return `00000000-0000-4000-8002-${String(++this.#ids).padStart(12, '0')}`
  }
}
