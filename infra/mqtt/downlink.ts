/**
 * The way down over MQTT: sends devices that are connected here what is pending for them, and again until they answer
 * (docs/architecture.md §7).
 *
 * A device is looked at when there is reason: it connected or asks, a twin decided something for it, its next repetition is due. One look
 * at a time takes as many devices as have a reason by then, claims for all of them in one query, and then publishes; so a burst costs few
 * queries, and one device's packets leave in order. A reason that got lost costs time only: a sweep goes round all connections.
 */
import type { Logger } from 'pino'
import { type Ask, COMMANDS_AT_ONCE, type DownlinkStore, type OnSent, type Pending, requestJson } from '../../api/downlink.ts'
import { Deadlines } from '../../api/ingest/deadlines.ts'
import { Asks, askFor } from './asks.ts'
import type { Outgoing } from './outgoing.ts'
import { isNothingWanted, type Wanted } from './wanted.ts'

export interface DownlinkOptions {
  store: DownlinkStore
  connections: Pick<Outgoing, 'wanted' | 'publish'>
  /** Devices that are connected here. */
  incarnations: () => number[]
  log: Logger
  onSent?: OnSent
  limits?: Partial<DownlinkLimits>
  now?: () => number
}

export interface DownlinkLimits {
  /** Devices in one look. With COMMANDS_AT_ONCE and the size of a command's input this bounds what is in memory. */
  devicesALook: number
  tickMs: number
  sweepMs: number
  devicesASweep: number
  /** After a query that failed. */
  pauseMs: number
}

const LIMITS: DownlinkLimits = { devicesALook: 200, tickMs: 250, sweepMs: 2000, devicesASweep: 2000, pauseMs: 1000 }

export interface Downlink {
  /** Something may be due for these devices. */
  wake(incarnations: Iterable<number>): void
  /** The device came or asks: all that is pending goes, whatever went before. */
  again(incarnation: number, wanted: Wanted): void
  /** It may be that we were not told of something. */
  wakeAll(): void
  /** A connection has what was published on this topic. */
  acknowledged(incarnation: number, subtopic: string): void
  stop(): Promise<void>
}

export function createDownlink(options: DownlinkOptions): Downlink {
  const { store, connections, log, onSent = () => {}, now = Date.now } = options
  const limits = { ...LIMITS, ...options.limits }
  /** Those with a reason, in order. Bounded by the number of connections. */
  const queue = new Set<number>()
  const all = new Asks()
  const deadlines = new Deadlines()
  /** Cancels that devices know of, until Postgres does. */
  const told = new Set<string>()
  let sweeping: number[] = []
  let sweep = Promise.resolve()
  let running = Promise.resolve()
  let busy = false
  let stopped = false
  let pausedUntil = 0

  const tick = setInterval(() => {
    for (const incarnation of deadlines.due(now(), limits.devicesASweep)) queue.add(incarnation)
    run()
  }, limits.tickMs)
  const sweeps = setInterval(() => {
    sweep = sweep.then(sweepSome)
  }, limits.sweepMs)

  return { wake, again, wakeAll, acknowledged, stop }

  function wake(incarnations: Iterable<number>): void {
    for (const incarnation of incarnations) if (connections.wanted(incarnation)) queue.add(incarnation)
    run()
  }

  function again(incarnation: number, wanted: Wanted): void {
    if (isNothingWanted(wanted)) return
    all.again(incarnation, wanted)
    queue.add(incarnation)
    run()
  }

  function wakeAll(): void {
    wake(options.incarnations())
  }

  function acknowledged(_incarnation: number, subtopic: string): void {
    const [, id] = /^(?:commands|updates)\/(.+)\/cancel$/.exec(subtopic) ?? []
    if (id === undefined) return
    told.add(id)
    run()
  }

  async function stop(): Promise<void> {
    stopped = true
    clearInterval(tick)
    clearInterval(sweeps)
    await Promise.all([running, sweep])
    if (told.size > 0) await store.cancelsTold([...told]).catch(() => {})
  }

  function run(): void {
    if (busy || stopped || (queue.size === 0 && told.size === 0) || now() < pausedUntil) return
    running = lookAtAll()
  }

  async function lookAtAll(): Promise<void> {
    busy = true
    try {
      while (!stopped && (queue.size > 0 || told.size > 0)) {
        await sayTold()
        const asks = takeAsks()
        if (asks.length > 0) await look(asks)
      }
      if (pausedUntil > 0) log.info('What is pending for devices can be read again')
      pausedUntil = 0
    } catch (error) {
      if (pausedUntil === 0) log.warn({ err: error }, 'What is pending for devices could not be read; tried again')
      pausedUntil = now() + limits.pauseMs
    } finally {
      busy = false
    }
  }

  async function sayTold(): Promise<void> {
    if (told.size === 0) return
    const ids = [...told]
    await store.cancelsTold(ids)
    for (const id of ids) told.delete(id)
  }

  /** Of those in the queue that are still here. One that takes no more at the moment is looked at again in a second. */
  function takeAsks(): Ask[] {
    const asks: Ask[] = []
    for (const incarnation of queue) {
      if (asks.length === limits.devicesALook) break
      queue.delete(incarnation)
      const wanted = connections.wanted(incarnation)
      if (wanted === 'full') deadlines.set(incarnation, now() + 1000)
      else if (wanted) asks.push(all.take(incarnation, wanted))
      else all.forget(incarnation)
    }
    return asks
  }

  async function look(asks: Ask[]): Promise<void> {
    let claimed: Map<number, Pending>
    try {
      claimed = await store.claim(asks)
    } catch (error) {
      // Claimed or not, we cannot know: what may be repeated goes again, what may not is spent.
      for (const ask of asks) restore(ask)
      throw error
    }
    for (const ask of asks) send(ask, claimed.get(ask.incarnation))
    await schedule(asks, claimed)
  }

  function send(ask: Ask, pending: Pending | undefined): void {
    if (!pending) return
    const { incarnation } = ask
    const { desired, update } = pending
    if (desired && connections.publish(incarnation, 'desired', desired.body, 'all')) onSent('desired', desired.attempt)
    for (const id of pending.cancels)
      if (!told.has(id) && connections.publish(incarnation, `commands/${id}/cancel`, '{}', 'new')) onSent('cancel', 1)
    for (const command of pending.commands) {
      const { id, repeatable, attempt } = command
      if (connections.publish(incarnation, `commands/${id}/request`, requestJson(command), repeatable ? 'all' : 'newest'))
        onSent('request', attempt)
    }
    for (const id of pending.updateCancels)
      if (!told.has(id) && connections.publish(incarnation, `updates/${id}/cancel`, '{}', 'new')) onSent('update-cancel', 1)
    // It may be repeated, but two programs of one device must not install at once.
    if (update && connections.publish(incarnation, `updates/${update.id}/job`, update.body, 'newest')) onSent('job', update.sends)
    if (ask.commands === 'all' && pending.commands.length === COMMANDS_AT_ONCE)
      restore({ ...ask, desired: 'none', after: pending.commands.at(-1)!.number, updates: 'none' })
  }

  function restore(ask: Ask): void {
    all.restore(ask)
    queue.add(ask.incarnation)
  }

  /** Cancels have no deadline: they go once over each connection. */
  async function schedule(asks: Ask[], claimed: Map<number, Pending>): Promise<void> {
    for (const { incarnation } of asks) deadlines.delete(incarnation)
    let due: Map<number, number>
    try {
      due = await store.whenDue(asks.map((ask) => ({ ...ask, cancels: false, updateCancels: false })))
    } catch (error) {
      for (const { incarnation } of asks) queue.add(incarnation)
      throw error
    }
    for (const [incarnation, ms] of due) {
      // More than one look may give; or somebody else just writes it.
      if (ms === 0 && claimed.has(incarnation)) queue.add(incarnation)
      else deadlines.set(incarnation, now() + Math.max(ms, 1000))
    }
  }

  async function sweepSome(): Promise<void> {
    if (stopped) return
    if (sweeping.length === 0) sweeping = options.incarnations()
    const asks: Ask[] = []
    for (const incarnation of sweeping.splice(0, limits.devicesASweep)) {
      const wanted = connections.wanted(incarnation)
      if (wanted && wanted !== 'full') asks.push(askFor(incarnation, wanted))
    }
    if (asks.length === 0) return
    // While it fails, the next round finds what is due.
    const due = await store.whenDue(asks).catch(() => new Map<number, number>())
    for (const [incarnation, ms] of due) {
      if (ms === 0) queue.add(incarnation)
      else if (!deadlines.has(incarnation)) deadlines.set(incarnation, now() + ms)
    }
    run()
  }
}
