/**
 * What a device of the simulation does with an update that it is told: it installs and boots, returns to what it had, lies about its hash, fails,
 * rejects, or falls asleep over it. Once the trouble is over it boots what it is told.
 */
import type { MessageKind } from '../../../api/ingest/log.ts'
import type { Firmware } from '../../../twin-models/core/types.ts'
import type { Life, World } from './world.ts'

interface Surroundings {
  world: World
  life: Life
  isQuiet: () => boolean
  say: (kind: MessageKind, payload: string, name?: string) => void
}

export class DeviceFirmware {
  runs: Required<Firmware> = { version: '1.0.0', sha256: hashOf('1.0.0') }
  readonly #around: Surroundings

  constructor(around: Surroundings) {
    this.#around = around
  }

  /** A job; a cancel comes too late for it. */
  hear(id: string, what: string | undefined, payload: string): void {
    if (what !== 'job') return
    const { firmware } = JSON.parse(Buffer.from(JSON.parse(payload).job.payload, 'base64').toString())
    const { version, sha256 } = firmware as Required<Firmware>
    if (this.#around.isQuiet()) this.#boot({ version, sha256 })
    else this.#take(id, { version, sha256 })
  }

  #take(id: string, firmware: Required<Firmware>): void {
    const { random } = this.#around.world
    const dice = random.next()
    if (dice < 0.1) this.#word(id, { status: 'failed', code: random.pick(['locked', 'download-failed', 'broken']) })
    else if (dice < 0.15) this.#word(id, { status: 'rejected', code: 'downgrade', message: 'never' })
    else if (dice < 0.9) this.#word(id, { status: 'downloading', progress: 40 })
    if (dice > 0.2 && dice < 0.85) this.#later(100, 20_000, () => this.#install(id, firmware))
  }

  #install(id: string, firmware: Required<Firmware>): void {
    const { random } = this.#around.world
    const before = this.runs
    this.#word(id, { status: 'rebooting' })
    if (random.chance(0.15)) return
    if (random.chance(0.3)) this.#around.say('presence', '{"status":"offline"}')
    this.#later(100, 10_000, () => this.#boot(random.chance(0.1) ? { ...firmware, sha256: hashOf('other') } : firmware))
    if (random.chance(0.15)) this.#later(10_000, 40_000, () => this.#boot(before))
  }

  #boot(firmware: Required<Firmware>): void {
    const { random } = this.#around.world
    this.runs = firmware
    const health = this.#around.isQuiet() || random.chance(0.7) ? { health: { ok: this.#around.isQuiet() || random.chance(0.9) } } : {}
    this.#around.say('presence', JSON.stringify({ status: 'online', firmware, ...health }))
  }

  #word(id: string, word: object): void {
    this.#around.say('update', JSON.stringify(word), id)
  }

  #later(low: number, high: number, act: () => void): void {
    const { world, life, isQuiet } = this.#around
    world.later(world.between(low, high), 'a device comes to its update', () => {
      if (life.alive && !isQuiet()) act()
    })
  }
}

export function hashOf(version: string): string {
  return Buffer.from(version).toString('hex').padEnd(64, '0')
}
