/**
 * A device of the simulation: connects, speaks in every form of the protocol, falls silent, comes back, and sends again whatever was not
 * acknowledged; now and then also what was.
 */
import type { Message, MessageKind } from '../../../api/ingest/log.ts'
import type { Random } from '../../../infra/simulator/random.ts'
import type { DeviceRecord } from '../../support/memory-database.ts'
import type { Bridge, Session } from './bridge.ts'
import type { CommandLedger } from './command-ledger.ts'
import { Obedience } from './obedience.ts'
import { POISON } from './troubled-store.ts'
import type { Life, World } from './world.ts'

interface Outgoing {
  kind: MessageKind
  name?: string
  payload: string
}

export interface DeviceSurroundings {
  world: World
  bridges: () => Bridge[]
  nextConnection: () => number
  ledger: CommandLedger
  /** Set when the run is to drain: it says no more, but still delivers what it said. */
  isQuiet: () => boolean
}

/** While a run drains, between two times that a device says how it is and asks for what is pending; and how often it does. */
const CHECK_IN = { everyMs: 60_000, times: 3 }

export class SimDevice {
  readonly record: DeviceRecord
  readonly life: Life = { alive: true }
  /** It hears what comes down. Others only speak, and nobody asks anything of them. */
  readonly hears: boolean
  /** It is there when a run drains: others are asleep then, and what is asked of them finds no end but by its time. */
  readonly comesBack: boolean
  readonly obedience: Obedience
  /** So long it takes from a measurement to its message, where it says when that was; and how often up to some seconds more. */
  readonly #slowMs: number
  readonly #lateness: number
  readonly #around: DeviceSurroundings
  readonly #random: Random
  #session: Session | null = null
  #outbox: Outgoing[] = []
  #woken: () => void = () => {}
  readonly #held: Outgoing[] = []
  readonly #sent: Outgoing[] = []
  #ids = 0
  #lastTs = 0
  #temperature = 20

  constructor(record: DeviceRecord, around: DeviceSurroundings) {
    this.record = record
    this.#around = around
    this.#random = around.world.random
    this.hears = this.#random.chance(0.7)
    this.comesBack = this.hears && this.#random.chance(0.85)
    this.#slowMs = this.#random.chance(0.4) ? Math.round(this.#random.between(1_000, 2_500)) : 0
    this.#lateness = this.#random.pick([0, 0.1, 0.3])
    const say = (kind: MessageKind, payload: string, name?: string): void => this.#say(kind, payload, name)
    const { world, ledger, isQuiet } = around
    this.obedience = new Obedience({ world, ledger, isQuiet, life: this.life, say })
    around.world.start(() => this.#live())
    around.world.start(() => this.#send())
  }

  /** It is deregistered: its connection is dropped; what is under way still arrives. */
  remove(): void {
    this.life.alive = false
    if (this.#session) this.#session.bridge.end(this.#session, false)
  }

  get isIdle(): boolean {
    return this.#outbox.length === 0
  }

  async #live(): Promise<void> {
    const { world, isQuiet } = this.#around
    for (;;) {
      await this.#pause(this.#random.chance(0.9) ? this.#random.between(100, 3_000) : this.#random.between(3_000, 120_000))
      if (isQuiet()) {
        this.#hand(...this.#held.splice(0))
        if (this.comesBack) await this.#checkIn()
        await world.sleep(600_000, `${this.record.device} rests`, this.life)
        continue
      }
      await this.#act()
    }
  }

  /** It is there for whatever is to be told, and does it. */
  async #checkIn(): Promise<void> {
    for (let n = 0; n < CHECK_IN.times; n++) {
      while (this.#session?.open !== true) {
        await this.#connect()
        await this.#pause(100)
      }
      this.obedience.sayState()
      this.#say('get', '')
      await this.#pause(CHECK_IN.everyMs)
    }
  }

  async #act(): Promise<void> {
    const { random } = { random: this.#random }
    const connected = this.#session?.open === true
    const dice = random.next()
    if (!connected && dice < (this.hears ? 0.5 : 0.25)) return this.#connect()
    if (connected && dice < 0.04) return this.#disconnect(random.chance(0.6))
    if (this.hears && random.chance(0.06)) return this.#ask(connected)
    if (dice < 0.68) this.#say('telemetry', this.#telemetry())
    else if (dice < 0.76) this.#say('event', this.#event(), random.pick(['leak', 'button', 'door']))
    else if (dice < 0.84) this.#say('presence', this.#hello(random.chance(0.75) ? 'online' : 'offline'))
    else if (dice < 0.88) this.#say('telemetry', random.pick(['{broken', '[]', '{"temperature": "hot"}', '', `{"x": "${POISON}"}`]))
    else if (dice < 0.9) this.#say('unknown', '{}', 'nonsense')
    else if (dice < 0.94 && this.#sent.length > 0) this.#hand(random.pick(this.#sent))
    else if (dice < 0.955) for (let i = random.between(2, 12); i > 0; i--) this.#say('telemetry', this.#telemetry())
    else if (dice < 0.96) for (let i = random.between(2, 12); i > 0; i--) this.#say('event', this.#event(), 'leak')
    else this.#hand(...this.#held.splice(0))
  }

  /** For what is pending, or it says something of its own that has to do with it. */
  async #ask(connected: boolean): Promise<void> {
    const dice = this.#random.next()
    if (dice < 0.3) this.obedience.turnKnob()
    else if (dice < 0.45) this.obedience.sayState()
    else if (connected) this.#say('get', '')
    else await this.#poll()
  }

  /** Over HTTP; the answer may be lost. */
  async #poll(): Promise<void> {
    const bridge = this.#bridge()
    if (bridge === undefined) return
    const { incarnation } = this.record
    void bridge.push(incarnation, 'get', '')
    const pending = await Promise.race([bridge.down.poll(incarnation), this.#pause(8_000).then(() => undefined)])
    if (pending === undefined || !bridge.life.alive || this.#random.chance(0.1)) return
    if (pending.desired) this.obedience.hear('desired', pending.desired.body)
    for (const { id } of pending.commands) this.obedience.hear(`commands/${id}/request`, '{}')
    for (const id of pending.cancels) this.obedience.hear(`commands/${id}/cancel`, '{}')
    if (pending.update) this.obedience.hear(`updates/${pending.update.id}/job`, pending.update.body)
  }

  async #connect(): Promise<void> {
    const bridge = this.#bridge()
    if (bridge === undefined) return
    const number = this.#around.nextConnection()
    const will = this.#random.chance(0.5) ? JSON.stringify({ status: 'offline' }) : undefined
    // It waits for CONNACK, but not for ever.
    const hear = (subtopic: string, payload: string): void => {
      if (this.life.alive) this.obedience.hear(subtopic, payload)
    }
    const connected = bridge.connect(this.record.incarnation, number, will, hear)
    this.#session = await Promise.race([connected, this.#pause(8_000).then(() => null)])
    if (this.#session && this.hears) bridge.subscribe(this.#session)
    if (this.#session && this.hears && this.#random.chance(0.7)) this.obedience.sayState()
    if (this.#session && this.#random.chance(0.7)) this.#say('presence', this.#hello('online'))
  }

  #disconnect(cleanly: boolean): void {
    const session = this.#session
    if (session === null) return
    this.#session = null
    if (cleanly && this.#random.chance(0.5)) this.#say('presence', this.#hello('offline'))
    session.bridge.end(session, !cleanly)
  }

  #say(kind: MessageKind, payload: string, name?: string): void {
    const message = { kind, payload, ...(name === undefined ? {} : { name }) }
    if (!this.#around.isQuiet() && this.#random.chance(0.05)) this.#held.push(message)
    else this.#hand(message)
    if (this.#sent.length > 20) this.#sent.shift()
    this.#sent.push(message)
  }

  #hand(...messages: Outgoing[]): void {
    this.#outbox.push(...messages)
    this.#woken()
  }

  /** One at a time, each until it is acknowledged: by its connection, else by HTTP. */
  async #send(): Promise<void> {
    for (;;) {
      const message = this.#outbox[0]
      if (message === undefined) {
        await new Promise<void>((go) => (this.#woken = go))
        continue
      }
      const bridge = this.#session?.open ? this.#session.bridge : this.#bridge()
      if (bridge === undefined) {
        await this.#pause(this.#around.isQuiet() ? 2_000 : 300)
        continue
      }
      const { kind, payload, name } = message
      const over = this.#session?.open ? { connection: this.#session.connection } : {}
      const more: Partial<Message> = { ...over, ...(name === undefined ? {} : { name }) }
      const acknowledged = bridge.push(this.record.incarnation, kind, payload, more).then(() => true)
      const isAcknowledged = await Promise.race([acknowledged, this.#pause(this.#random.between(1_000, 5_000)).then(() => false)])
      // The acknowledgement itself may be lost: it is sent again, and counts once.
      if (isAcknowledged && (this.#around.isQuiet() || !this.#random.chance(0.02))) this.#outbox.shift()
    }
  }

  #bridge(): Bridge | undefined {
    const bridges = this.#around.bridges()
    return bridges.length === 0 ? undefined : this.#random.pick(bridges)
  }

  #telemetry(): string {
    const { now } = this.#around.world
    const random = this.#random
    const dice = random.next()
    if (dice < 0.25) return JSON.stringify(this.#values())
    if (dice < 0.3) return JSON.stringify({ ageMs: random.pick([0, 500, 120_000]), values: this.#values() })
    if (dice < 0.4) {
      const start = now - 100_000
      const batch = [0, 1, 2, 3].map((n) => ({ ts: start + n * 1_000 + this.#ids, values: this.#values() }))
      return JSON.stringify(random.chance(0.5) ? batch : batch.reverse())
    }
    const ts = this.#ts(now)
    if (dice < 0.7) return JSON.stringify({ ts, values: this.#values() })
    return JSON.stringify({ id: `m${++this.#ids}`, ...(random.chance(0.7) ? { ts } : {}), values: this.#values() })
  }

  /** Mostly now; sometimes late, equal to the one before, in the future, from a clock that was never set, or very old. */
  #ts(now: number): number {
    const random = this.#random
    if (random.chance(this.#lateness)) return now - this.#slowMs - Math.floor(random.between(500, 4_000))
    const dice = random.next()
    if (dice < 0.6) this.#lastTs = now - this.#slowMs
    else if (dice < 0.75) return this.#lastTs || now
    else if (dice < 0.9) return now - Math.floor(random.between(0, 300_000))
    else if (dice < 0.94) return now + Math.floor(random.between(0, 3_600_000))
    else if (dice < 0.97) return Math.floor(random.between(0, 1_000_000))
    else if (dice < 0.98) return now - 8 * 86_400_000
    return this.#lastTs || now
  }

  #values(): { [name: string]: number | boolean | string } {
    const random = this.#random
    this.#temperature += random.normal() * 4 + (20 - this.#temperature) * 0.05
    const values: { [name: string]: number | boolean | string } = {}
    if (random.chance(0.8)) values.temperature = this.#reading(this.#temperature, [5, 35, 4.9, 35.1, 6, 34, 80, 75, 80.1])
    if (random.chance(0.4)) values.humidity = Math.round(random.between(0, 100))
    if (random.chance(0.4)) values.vibration = this.#reading(random.between(1, 4), [2.8, 2.4, 2.81, 2.39])
    if (random.chance(0.1)) values.running = random.chance(0.5)
    if (random.chance(0.1)) values.mode = random.pick(['eco', 'boost'])
    if (Object.keys(values).length === 0) values.humidity = 50
    return values
  }

  /** Now and then exactly on a bound. */
  #reading(value: number, edges: number[]): number {
    return this.#random.chance(0.15) ? this.#random.pick(edges) : Math.round(value * 10) / 10
  }

  #event(): string {
    const { now } = this.#around.world
    const random = this.#random
    const litres = random.chance(0.2) ? { litresPerMinute: random.pick([1.5, 'many']) } : {}
    const data = random.chance(0.05) ? { text: 'x'.repeat(30_000) } : random.chance(0.05) ? 'wet' : { n: ++this.#ids, ...litres }
    const own = random.chance(0.7) ? { ts: now - Math.floor(random.between(0, 5_000)) } : {}
    return JSON.stringify({ ...(random.chance(0.5) ? { id: `e${++this.#ids}` } : {}), ...own, data })
  }

  #hello(status: 'online' | 'offline'): string {
    const random = this.#random
    return JSON.stringify({
      ...(random.chance(0.6) ? { id: `h${++this.#ids}` } : {}),
      status,
      ...(random.chance(0.3) ? { firmware: this.obedience.firmware.runs } : {}),
      ...(random.chance(0.3) ? { health: { ok: random.chance(0.8), battery: Math.round(random.between(1, 100)) } } : {}),
    })
  }

  #pause(ms: number): Promise<void> {
    return this.#around.world.sleep(ms, this.record.device, this.life)
  }
}
