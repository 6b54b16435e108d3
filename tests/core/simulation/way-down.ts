/**
 * The way down of a bridge in miniature: the real downlink and the real hand-out, on virtual time, over a store that may fail, and connections
 * that lose what is on its way when they end.
 */
import type { Logger } from 'pino'
import { type Ask, type DownlinkStore, type Pending, requestJson } from '../../../api/downlink.ts'
import { createHandOut, type HandOut } from '../../../api/http/hand-out.ts'
import { createDownlink, type Downlink } from '../../../infra/mqtt/downlink.ts'
import type { MemoryDatabase } from '../../support/memory-database.ts'
import { memoryDownlinkStore } from '../../support/memory-downlink-store.ts'
import { failure } from '../../support/memory-lane-store.ts'
import type { Bridge, Session } from './bridge.ts'
import type { CommandLedger } from './command-ledger.ts'
import type { Trouble } from './trouble.ts'
import type { UpdateLedger } from './update-ledger.ts'
import type { World } from './world.ts'

/** Slower than the real one: each look is a step. */
const LIMITS = { tickMs: 1_000, sweepMs: 5_000 }
const ALL = { desired: true, commands: true, cancels: true, updates: true, updateCancels: true }
const SILENT = { info: () => {}, warn: () => {} } as unknown as Logger

export interface DownParts {
  world: World
  db: MemoryDatabase
  trouble: Trouble
  ledger: CommandLedger
  updates: UpdateLedger
}

export class WayDown {
  readonly #bridge: Bridge
  readonly #parts: DownParts
  readonly #downlink: Downlink
  readonly #handOut: HandOut
  #stopped = false

  constructor(bridge: Bridge, parts: DownParts) {
    this.#bridge = bridge
    this.#parts = parts
    const store = this.#store()
    this.#handOut = createHandOut(store)
    const { world, trouble } = parts
    const wanted = (incarnation: number) => (this.#sessionsOf(incarnation).length === 0 ? undefined : trouble.chance(0.01) ? 'full' : ALL)
    const publish = (...call: Parameters<WayDown['publish']>) => this.publish(...call)
    const incarnations = () => [...new Set([...bridge.sessions].map(({ incarnation }) => incarnation))]
    const connections = { wanted, publish }
    this.#downlink = onIntervals(
      (run, ms) => world.start(() => this.#repeat(run, ms)),
      () => createDownlink({ store, connections, incarnations, log: SILENT, limits: LIMITS, now: () => world.now }),
    )
  }

  /** A decision left something for this device, as NOTIFY says. */
  hear(incarnation: number): void {
    if (this.#bridge.life.alive && this.#bridge.suspendedUntil <= this.#parts.world.now) this.#downlink.wake([incarnation])
  }

  /** It subscribed, or asks. */
  asked(incarnation: number): void {
    if (this.#bridge.life.alive && this.#sessionsOf(incarnation).length > 0) this.#downlink.again(incarnation, ALL)
  }

  /** Over HTTP: what is due, in the answer. Undefined: nothing, or it cannot be read. */
  async poll(incarnation: number): Promise<Pending | undefined> {
    const { ledger } = this.#parts
    const pending = (await this.#handOut([incarnation]).catch(() => undefined))?.get(incarnation)
    if (pending?.desired) ledger.sent(incarnation, 'desired', pending.desired.body)
    for (const command of pending?.commands ?? []) ledger.sent(incarnation, `commands/${command.id}/request`, requestJson(command))
    for (const id of pending?.cancels ?? []) ledger.sent(incarnation, `commands/${id}/cancel`, '{}')
    if (pending?.update) ledger.sent(incarnation, `updates/${pending.update.id}/job`, pending.update.body)
    for (const id of pending?.updateCancels ?? []) ledger.sent(incarnation, `updates/${id}/cancel`, '{}')
    return pending
  }

  stop(): void {
    this.#stopped = true
    void this.#downlink.stop()
  }

  publish(incarnation: number, subtopic: string, payload: string, to: 'all' | 'newest' | 'new'): boolean {
    const wanting = this.#sessionsOf(incarnation).filter(({ unacknowledged }) => to !== 'new' || !unacknowledged.has(subtopic))
    const chosen = to === 'newest' ? wanting.slice(0, 1) : wanting
    if (chosen.length > 0) this.#parts.ledger.sent(incarnation, subtopic, payload)
    for (const session of chosen) this.#carry(session, subtopic, payload)
    return chosen.length > 0
  }

  /** In order; lost with the connection, and so is what the device says to it. */
  #carry(session: Session, subtopic: string, payload: string): void {
    const { world, trouble } = this.#parts
    session.unacknowledged.add(subtopic)
    session.takesAt = Math.max(session.takesAt, world.now + Math.ceil(trouble.latency()))
    world.later(session.takesAt - world.now, `${this.#bridge.name} sends ${subtopic}`, async () => {
      if (!session.open) return
      session.hear(subtopic, payload)
      await world.sleep(trouble.latency(), 'PUBACK of a device', this.#bridge.life)
      if (!session.open) return
      session.unacknowledged.delete(subtopic)
      this.#downlink.acknowledged(session.incarnation, subtopic)
    })
  }

  /** The newest first. */
  #sessionsOf(incarnation: number): Session[] {
    const found: Session[] = []
    for (const session of this.#bridge.sessions) if (session.incarnation === incarnation && session.subscribed) found.push(session)
    return found.sort((a, b) => b.connection - a.connection)
  }

  /** A claim may be done without the bridge's knowing, and the bridge may die before it sends what it claimed. */
  #store(): DownlinkStore {
    const { db, trouble, ledger, updates } = this.#parts
    const { name, life } = this.#bridge
    const store = memoryDownlinkStore(db, () => trouble.chance(0.02))
    const write = async <T>(what: string, run: () => T): Promise<T> => {
      const done = await trouble.unsure(`${name} ${what}`, life, run)
      if (done === 'unknown') throw failure('CONNECTION_CLOSED', 'connection lost')
      return this.#awake(done)
    }
    const claim = (asks: Ask[]): Map<number, Pending> => {
      const claimed = store.claim(asks)
      for (const [incarnation, pending] of claimed) {
        ledger.claimed(incarnation, pending)
        updates.claimed(incarnation, pending)
      }
      return claimed
    }
    return {
      claim: (asks) => write('claims', () => claim(asks)),
      list: (incarnations) => trouble.ask(`${name} lists`, life, () => store.list(incarnations)),
      whenDue: async (asks) => this.#awake(await trouble.ask(`${name} asks what is due`, life, () => store.whenDue(asks))),
      cancelsTold: (ids) => write('tells of cancels', () => store.cancelsTold(ids)),
    }
  }

  /** Its machine may stand still just then. */
  async #awake<T>(value: T): Promise<T> {
    const { world } = this.#parts
    const { name, life, suspendedUntil } = this.#bridge
    if (suspendedUntil > world.now) await world.sleep(suspendedUntil - world.now, name, life)
    return value
  }

  async #repeat(run: () => void, ms: number): Promise<void> {
    for (;;) {
      await this.#parts.world.sleep(ms, `${this.#bridge.name} looks down`, this.#bridge.life)
      if (this.#stopped) return
      if (this.#bridge.suspendedUntil <= this.#parts.world.now) run()
    }
  }
}

/** What is created meanwhile repeats itself by `every`. */
function onIntervals<T>(every: (run: () => void, ms: number) => void, create: () => T): T {
  const real = globalThis.setInterval
  globalThis.setInterval = ((run: () => void, ms: number) => every(run, ms)) as unknown as typeof setInterval
  try {
    return create()
  } finally {
    globalThis.setInterval = real
  }
}
