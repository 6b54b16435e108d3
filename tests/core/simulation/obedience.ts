/**
 * What a device of the simulation does with what it is told: it obeys, refuses, says that it heard and does nothing, or says nothing; does it
 * later, twice or otherwise than it says; and turns a knob by itself. Once the trouble is over it does and says everything.
 */
import type { MessageKind } from '../../../api/ingest/log.ts'
import { mergePatch } from '../../../twin-models/core/merge-patch.ts'
import type { JsonObject, Rejections } from '../../../twin-models/core/types.ts'
import type { CommandLedger } from './command-ledger.ts'
import { DeviceFirmware } from './device-firmware.ts'
import type { Life, World } from './world.ts'

export interface Obeying {
  world: World
  life: Life
  ledger: CommandLedger
  isQuiet: () => boolean
  say: (kind: MessageKind, payload: string, name?: string) => void
}

type Said = { status: 'succeeded' | 'failed'; [more: string]: unknown }

const DONE: Said = { status: 'succeeded' }

export class Obedience {
  /** How it is configured. */
  state: JsonObject = { targetTemperature: 20 }
  readonly firmware: DeviceFirmware
  readonly #around: Obeying
  /** What it said last of commands, to say it again when it is asked again. */
  readonly #done = new Map<string, Said>()
  #ids = 0

  constructor(around: Obeying) {
    this.#around = around
    this.firmware = new DeviceFirmware(around)
  }

  /** Something came down. */
  hear(subtopic: string, payload: string): void {
    const { world, isQuiet, ledger } = this.#around
    const [kind, id = '', what] = subtopic.split('/')
    if (kind === 'commands' && what === 'request') ledger.heard(id)
    // It fell asleep over it.
    if (!isQuiet() && world.random.chance(0.05)) return
    if (kind === 'updates') this.firmware.hear(id, what, payload)
    else if (kind === 'desired') this.#desired(JSON.parse(payload))
    else if (what === 'request') this.#command(id)
    else if (world.random.chance(0.5) && !this.#done.has(id)) this.#end(id, { status: 'failed', code: 'stopped' })
  }

  /** All that it is, as after a connection. */
  sayState(): void {
    this.#report({ state: this.state })
  }

  /** Told of or not. */
  turnKnob(): void {
    const { random } = this.#around.world
    const turned: JsonObject = random.chance(0.7)
      ? { targetTemperature: Math.floor(random.between(15, 22)) }
      : random.chance(0.5)
        ? { autoLockSeconds: Math.floor(random.between(0, 4)) * 60 }
        : { schedule: random.chance(0.2) ? 'off' : { mon: Math.floor(random.between(15, 20)) } }
    this.state = mergePatch(this.state, turned)
    if (random.chance(0.8)) this.#report({ state: turned })
  }

  #desired({ version, state }: { version: number; state: JsonObject }): void {
    const { random } = this.#around.world
    const dice = this.#around.isQuiet() ? 0 : random.next()
    if (dice < 0.5) this.#obey(state, version)
    else if (dice < 0.62) this.#refuse(state, version)
    else if (dice < 0.74) {
      this.#report({ version, state: {} })
      if (random.chance(0.6)) this.#later(5_000, 90_000, () => this.#obey(state))
    } else if (dice < 0.8) this.state = mergePatch(this.state, state)
    else if (dice < 0.86) this.#later(1_000, 60_000, () => this.#obey(state, version))
    else if (dice < 0.9) this.#obey({ ...state, targetTemperature: 15 }, version)
  }

  #obey(state: JsonObject, version?: number): void {
    this.state = mergePatch(this.state, state)
    const isWhole = this.#around.isQuiet() || this.#around.world.random.chance(0.5)
    this.#report({ ...(version !== undefined && { version }), state: isWhole ? this.state : state })
  }

  /** One of its properties, or a value in it; the others it obeys. */
  #refuse(state: JsonObject, version: number): void {
    const { random } = this.#around.world
    const property = random.pick(Object.keys(state))
    const { [property]: _refused, ...obeyed } = state
    this.state = mergePatch(this.state, obeyed)
    const path = property === 'schedule' && random.chance(0.5) ? '/schedule/mon' : `/${property}`
    const answered = random.chance(0.8) ? { version } : {}
    this.#report({ ...answered, state: obeyed, rejected: { [path]: { code: 'no', ...(random.chance(0.5) && { message: 'I will not' }) } } })
  }

  #report(report: { version?: number; state: JsonObject; rejected?: Rejections }): void {
    const { world, isQuiet, say } = this.#around
    const { random, now } = world
    const ts = isQuiet() || random.chance(0.6) ? {} : { ts: random.chance(0.8) ? now : now - Math.floor(random.between(0, 120_000)) }
    say('reported', JSON.stringify({ ...(random.chance(0.5) && { id: `r${++this.#ids}` }), ...ts, ...report }))
  }

  #command(id: string): void {
    const { isQuiet, world } = this.#around
    const { random } = world
    const before = this.#done.get(id)
    if (before || isQuiet()) {
      this.#end(id, before ?? DONE)
      return
    }
    const end: Said = random.chance(0.5) ? DONE : random.chance(0.6) ? { ...DONE, output: { n: 1 } } : { status: 'failed', code: 'stuck' }
    const dice = random.next()
    if (dice < 0.15) return
    if (dice < 0.5) this.#underWay(id, 'acknowledged')
    if (dice < 0.25) return
    if (dice < 0.35) this.#later(500, 5_000, () => this.#underWay(id, 'running'))
    if (dice < 0.5) this.#later(1_000, random.chance(0.2) ? 300_000 : 30_000, () => this.#end(id, end))
    else this.#end(id, end)
    if (dice > 0.95) this.#end(id, end)
    else if (dice > 0.9) this.#end(id, { status: 'failed', code: 'after-all' })
  }

  #underWay(id: string, status: 'acknowledged' | 'running'): void {
    const progress = status === 'running' ? { progress: Math.floor(this.#around.world.random.between(0, 100)) } : {}
    this.#around.say('response', JSON.stringify({ status, ...progress }), id)
  }

  #end(id: string, said: Said): void {
    const { world, ledger, say } = this.#around
    this.#done.set(id, said)
    ledger.said(id, said.status, said.code as string | undefined)
    say('response', JSON.stringify({ ...(world.random.chance(0.5) && { id: `a${++this.#ids}` }), ...said }), id)
  }

  /** Unless the run comes to its end before: then it is as it was told last. */
  #later(low: number, high: number, act: () => void): void {
    const { world, life, isQuiet } = this.#around
    world.later(world.between(low, high), 'a device comes to it', () => {
      if (life.alive && !isQuiet()) act()
    })
  }
}
