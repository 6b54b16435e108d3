/**
 * First attempts for one endpoint: what is above its position, in order, as fast as the endpoint's limits allow. It holds a bounded number of
 * events; the rest stays in Postgres until there is room. What fails is left to the endpoint's workflow (workflows/webhook-delivery.ts), and while
 * the breaker is open nothing is attempted here: so a dead endpoint costs nothing, and delays nobody.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { allowedBy, OPENS_AFTER } from '../../twin-models/core/delivery.ts'
import { eventTypeOf } from '../../twin-models/webhook-events/catalogue.ts'
import { Blocked } from './blocked.ts'
import type { DispatchStore, Endpoint, EventRow, Settled, Try } from './ports.ts'
import { Turns } from './turns.ts'
import { Waiting } from './waiting.ts'

export interface RunOptions {
  store: DispatchStore
  attempt: Try
  now(): number
  /** Postgres could not be asked, or told. */
  trouble(error: unknown): void
}

/** Results that wait to be written. */
const MOST_SETTLED = 500
const FLUSH_MS = 20
const AGAIN_MS = 1_000
/** An endpoint that wants nothing still comes forward. */
const SAVE_MS = 60_000
/** Postgres is asked which devices are blocked this often at most, and for no more than this share of the time. */
const LOOK = { everyMs: 100, share: 0.1 }
/** Devices with deliveries that have not ended, and these. With as many, further events wait in the outbox. */
const MOST_BLOCKED = { devices: 10_000, deliveries: 100_000 }
const STOP_MS = 2_000

export class EndpointRun {
  readonly #options: RunOptions
  #endpoint: Endpoint
  readonly #waiting: Waiting
  readonly #inFlight = new Map<number, EventRow>()
  readonly #blocked = new Blocked()
  readonly #turns = new Turns()
  /** Those up to it waited here already when Postgres was last asked which devices are blocked. */
  #checkedTo = 0
  #lookAt = 0
  #isFull = false
  #settled: Settled[] = []
  /** In a row, also those that are not written yet. */
  #failures = 0
  #missed = 0
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #flushing: Promise<void> | undefined
  #savedAt = performance.now()
  #stopped = false

  constructor(endpoint: Endpoint, options: RunOptions) {
    this.#endpoint = endpoint
    this.#options = options
    this.#waiting = new Waiting(endpoint.position, (after, upTo) => options.store.events(endpoint.number, after, upTo))
  }

  /** As it stands in Postgres now; also soon after it was made. */
  update(endpoint: Endpoint): void {
    this.#endpoint = endpoint
    if (this.#mayTry() !== 'nothing' && (!this.#blocked.known || this.#blocked.size > 0)) this.#lookForBlocked()
    if (performance.now() - this.#savedAt > SAVE_MS && this.#position() > endpoint.position) this.#flushSoon()
    this.#pump()
  }

  /** (from, end] was fanned out, and these of it are for this endpoint. */
  offer(rows: EventRow[], from: number, end: number): void {
    this.#waiting.offer(rows, from, end)
    this.#pump()
  }

  /** Attempts nothing new. What is under way for longer than this waits is attempted again by whoever goes on. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    const until = performance.now() + STOP_MS
    while (this.#inFlight.size > 0 && performance.now() < until) await pause(20)
    const end = performance.now() + STOP_MS
    const flushed = async () => {
      while ((this.#settled.length > 0 || this.#flushing) && performance.now() < end) {
        this.#flushSoon()
        await this.#flushing
      }
    }
    await Promise.race([flushed(), pause(STOP_MS, undefined, { ref: false })])
  }

  #mayTry(): 'everything' | 'one at a time' | 'nothing' {
    const { status, health } = this.#endpoint
    // Its breaker is about to open: that is written soon, and known then.
    if (this.#failures >= OPENS_AFTER && this.#flushing) return 'nothing'
    const allowed = status === 'active' ? allowedBy(health, 0) : 'nothing'
    // Probes are its workflow's.
    return allowed === 'a probe' ? 'nothing' : allowed
  }

  #pump(): void {
    const allowed = this.#mayTry()
    if (this.#stopped || this.#timer || allowed === 'nothing' || !this.#blocked.known || this.#isFull) return
    while (this.#hasRoom(allowed)) {
      const now = performance.now()
      const waitMs = this.#turns.at - now
      if (waitMs > 0) {
        this.#later(waitMs)
        return
      }
      const row = this.#take()
      if (row === undefined) break
      this.#turns.next(this.#endpoint.perSecond, now)
      void this.#try(row)
    }
    if (this.#waiting.wantsMore && this.#settled.length < MOST_SETTLED) void this.#readOn()
  }

  #hasRoom(allowed: 'everything' | 'one at a time'): boolean {
    if (this.#settled.length >= MOST_SETTLED) return false
    // What came of the last one is to be known first.
    if (allowed === 'one at a time') return this.#inFlight.size === 0 && !this.#flushing
    return this.#inFlight.size < this.#endpoint.atOnce
  }

  /**
   * The first whose turn it is. Of an ordered endpoint, none of a device with one in flight. One of a blocked device waits for the workflow, if the
   * device is blocked still.
   */
  #take(): EventRow | undefined {
    const waiting = this.#waiting
    if (!this.#endpoint.ordered) return waiting.length > 0 ? waiting.take(0) : undefined
    const busy = new Set([...this.#inFlight.values()].map(({ incarnation }) => incarnation))
    for (let i = 0; i < waiting.length; i++) {
      const { incarnation, position } = waiting.at(i)
      if (busy.has(incarnation)) continue
      if (!this.#blocked.has(incarnation)) return waiting.take(i)
      if (position > this.#checkedTo) this.#lookForBlocked()
      else this.#settle(known(waiting.take(i--)))
    }
    return undefined
  }

  async #try(row: EventRow): Promise<void> {
    this.#inFlight.set(row.position, row)
    const tried = await this.#options.attempt(this.#endpoint, row)
    this.#inFlight.delete(row.position)
    this.#settle({ ...known(row), tried })
    this.#pump()
  }

  #settle(settled: Settled): void {
    if (hasNotEnded(settled)) this.#blocked.add(settled.incarnation)
    if (settled.tried) this.#failures = hasNotEnded(settled) ? this.#failures + 1 : 0
    this.#settled.push(settled)
    this.#flushSoon()
  }

  #flushSoon(): void {
    this.#flushing ??= pause(FLUSH_MS).then(() => this.#flush())
  }

  /** What became of them, and how far it has come, in one transaction. */
  async #flush(): Promise<void> {
    const [settled, missed] = [this.#settled, this.#missed]
    this.#settled = []
    this.#missed = 0
    try {
      const { number } = this.#endpoint
      const after = await this.#options.store.settle({ number, position: this.#position(), settled, missed }, this.#options.now())
      if (after) this.#endpoint = { ...this.#endpoint, ...after }
      if (after && this.#settled.length === 0) this.#failures = after.health.failures
      this.#savedAt = performance.now()
      this.#blocked.committed(devicesOf(settled), new Set(devicesOf(this.#settled)))
    } catch (error) {
      this.#options.trouble(error)
      this.#settled = [...settled, ...this.#settled]
      this.#missed += missed
      await pause(AGAIN_MS)
    }
    this.#flushing = undefined
    if (this.#settled.length > 0 && !this.#stopped) this.#flushSoon()
    this.#pump()
  }

  /** Below the oldest that is queued, in flight, or not written yet. */
  #position(): number {
    const open = [...this.#inFlight.keys(), ...this.#settled.map(({ position }) => position)]
    return Math.min(this.#waiting.position, ...open.map((position) => position - 1))
  }

  async #readOn(): Promise<void> {
    try {
      this.#missed += await this.#waiting.readOn()
      if (this.#missed > 0) this.#flushSoon()
    } catch (error) {
      this.#options.trouble(error)
      this.#later(AGAIN_MS)
    }
    this.#pump()
  }

  /** Nobody waits for it: it may take Postgres a while, and is asked for often where much has failed. */
  #lookForBlocked(): void {
    this.#looking ??= this.#look()
      .catch(this.#options.trouble)
      .finally(() => {
        this.#looking = undefined
        this.#pump()
      })
  }

  async #look(): Promise<void> {
    const waitMs = this.#lookAt - performance.now()
    if (waitMs > 0) await pause(waitMs, undefined, { ref: false })
    const [beganAt, last] = [performance.now(), this.#waiting.last]
    let isFull = false
    await this.#blocked.refresh(async () => {
      const { devices, deliveries } = await this.#options.store.blocked(this.#endpoint.number, MOST_BLOCKED)
      isFull = devices.length >= MOST_BLOCKED.devices || deliveries >= MOST_BLOCKED.deliveries
      return devices
    })
    this.#isFull = isFull
    this.#checkedTo = last
    const now = performance.now()
    this.#lookAt = now + Math.max(LOOK.everyMs, (now - beganAt) / LOOK.share)
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#pump()
    }, ms)
  }
}

function known(row: EventRow): Omit<Settled, 'tried'> {
  const { position, at, incarnation, device } = row
  return { position, at, incarnation, device, type: eventTypeOf(row) }
}

function hasNotEnded({ tried }: Settled): boolean {
  return tried?.outcome.kind !== 'delivered'
}

function devicesOf(settled: Settled[]): number[] {
  return settled.filter(hasNotEnded).map(({ incarnation }) => incarnation)
}
