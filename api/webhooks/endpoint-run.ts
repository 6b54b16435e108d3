/**
 * First attempts for one endpoint: what is above its position, in order, as fast as the endpoint's limits allow. It holds a bounded number of
 * events; the rest stays in Postgres until there is room. What fails is left to the endpoint's workflow (workflows/webhook-delivery.ts), and while
 * the breaker is open nothing is attempted here: so a dead endpoint costs nothing, and delays nobody.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { allowedBy } from '../../twin-models/core/delivery.ts'
import { eventTypeOf } from '../../twin-models/webhook-events/catalogue.ts'
import { Blocked } from './blocked.ts'
import type { DispatchStore, Endpoint, EventRow, Settled, Try } from './ports.ts'

export interface RunOptions {
  store: DispatchStore
  attempt: Try
  now(): number
  /** Postgres could not be asked, or told. */
  trouble(error: unknown): void
}

const MOST_QUEUED = 500
/** Positions looked through at a time, wanted or not. */
const SPAN = 5_000
const FLUSH_MS = 20
const AGAIN_MS = 1_000
/** An endpoint that wants nothing still comes forward. */
const SAVE_MS = 60_000
/** Of an ordered endpoint: devices that wait for a failed delivery, and what waits of them. With as many it waits in the outbox. */
const MOST_BLOCKED = { devices: 10_000, deliveries: 100_000 }
const STOP_MS = 2_000

export class EndpointRun {
  readonly #options: RunOptions
  #endpoint: Endpoint
  readonly #queue: EventRow[] = []
  readonly #inFlight = new Map<number, EventRow>()
  readonly #blocked = new Blocked()
  #isFull = false
  #settled: Settled[] = []
  #missed = 0
  /** All wanted events up to it were queued. */
  #readTo: number
  /** Newest position that was fanned out. */
  #end: number
  /** Not before then, by its rate. */
  #nextAt = 0
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> | undefined
  #flushing: Promise<void> | undefined
  #savedAt = performance.now()
  #stopped = false

  constructor(endpoint: Endpoint, options: RunOptions) {
    this.#endpoint = endpoint
    this.#readTo = endpoint.position
    this.#end = endpoint.position
    this.#options = options
  }

  /** As it stands in Postgres now; also soon after it was made. */
  async update(endpoint: Endpoint): Promise<void> {
    this.#endpoint = endpoint
    if (!this.#blocked.known || this.#blocked.size > 0) await this.#lookForBlocked()
    if (performance.now() - this.#savedAt > SAVE_MS && this.#position() > endpoint.position) this.#flushSoon()
    this.#pump()
  }

  /** (from, end] was fanned out, and these of it are for this endpoint. */
  offer(rows: EventRow[], from: number, end: number): void {
    this.#end = end
    if (this.#readTo >= from && this.#queue.length + rows.length <= MOST_QUEUED) {
      this.#queue.push(...rows)
      this.#readTo = end
    }
    this.#pump()
  }

  /** Attempts nothing new. What is under way for longer than this waits is attempted again by whoever goes on. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    const until = performance.now() + STOP_MS
    while (this.#inFlight.size > 0 && performance.now() < until) await pause(20)
    if (this.#settled.length > 0) this.#flushSoon()
    await Promise.race([this.#flushing, pause(STOP_MS)])
  }

  #pump(): void {
    const { status, health, atOnce, perSecond } = this.#endpoint
    if (this.#stopped || this.#timer || status !== 'active' || allowedBy(health, 0) !== 'everything') return
    if (!this.#blocked.known || this.#isFull) return
    while (this.#inFlight.size < atOnce) {
      const now = performance.now()
      if (this.#nextAt > now) {
        this.#later(this.#nextAt - now)
        return
      }
      const row = this.#take()
      if (row === undefined) break
      this.#nextAt = Math.max(this.#nextAt, now - 1000 / perSecond) + 1000 / perSecond
      void this.#try(row)
    }
    if (this.#queue.length < MOST_QUEUED / 2 && this.#readTo < this.#end) this.#readOn()
  }

  /** The first whose turn it is. Of an ordered endpoint, none of a device with one in flight. */
  #take(): EventRow | undefined {
    if (!this.#endpoint.ordered) return this.#queue.shift()
    const busy = new Set([...this.#inFlight.values()].map(({ incarnation }) => incarnation))
    for (let i = 0; i < this.#queue.length; i++) {
      const row = this.#queue[i]!
      if (busy.has(row.incarnation)) continue
      this.#queue.splice(i--, 1)
      if (!this.#blocked.has(row.incarnation)) return row
      this.#settle(known(row))
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
    if (this.#endpoint.ordered && hasNotEnded(settled)) this.#blocked.add(settled.incarnation)
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
    return Math.min(this.#readTo, (this.#queue[0]?.position ?? Infinity) - 1, ...open.map((position) => position - 1))
  }

  #readOn(): void {
    this.#reading ??= this.#read()
      .then(
        () => {},
        (error: unknown) => {
          this.#options.trouble(error)
          this.#later(AGAIN_MS)
        },
      )
      .finally(() => {
        this.#reading = undefined
        this.#pump()
      })
  }

  async #read(): Promise<void> {
    const { store } = this.#options
    const oldest = await store.oldest()
    if (oldest !== undefined && this.#readTo < oldest - 1) {
      // Dropped as a whole: not more than so many.
      const upTo = Math.min(this.#end, oldest - 1)
      this.#missed += upTo - this.#readTo
      this.#readTo = upTo
    }
    const upTo = Math.min(this.#end, this.#readTo + SPAN)
    for (const { row } of await store.events(this.#endpoint.number, this.#readTo, upTo)) {
      if (row) this.#queue.push(row)
      else this.#missed++
    }
    this.#readTo = upTo
    if (this.#missed > 0) this.#flushSoon()
  }

  async #lookForBlocked(): Promise<void> {
    const { store, trouble } = this.#options
    const ask = async (): Promise<number[]> => {
      if (!this.#endpoint.ordered) return []
      const { devices, deliveries } = await store.blocked(this.#endpoint.number, MOST_BLOCKED)
      this.#isFull = devices.length >= MOST_BLOCKED.devices || deliveries >= MOST_BLOCKED.deliveries
      return devices
    }
    await this.#blocked.refresh(ask).catch(trouble)
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
