/**
 * One simulated device at work: measures, obeys, keeps what is not acknowledged, connects, and comes back when the line breaks.
 *
 *   measure ──► mischief ──► outbox ──► link ──► acknowledged
 *   obedience ─────────────►   ▲          │
 *       ▲                      └── down ──┘   with backoff and full jitter
 *       └──────────── asked ──────────────┘
 *
 * A sleeper closes its link when there is nothing more to say or to do, and opens it again at its next check-in.
 */
import type { JsonObject } from '../../twin-models/core/types.ts'
import { createBackoff } from './backoff.ts'
import type { Mischief } from './chaos.ts'
import type { SimulatedDevice } from './devices/device.ts'
import type { Down, Link, LinkEvents } from './link.ts'
import { deviceEvent, type Outgoing, presence, reported, telemetry } from './message.ts'
import { createObedience, type Temper } from './obedience.ts'
import { createOutbox } from './outbox.ts'
import type { Random } from './random.ts'
import type { Figures } from './report.ts'
import { createSleep } from './sleep.ts'
import { createTimers } from './timers.ts'

export interface ClientOptions {
  id: string
  device: SimulatedDevice
  intervalMs: number
  /** Does its telemetry carry ids? Its device events always do. */
  withIds: boolean
  /** Hello and goodbye on `presence`: only where there is a connection. */
  saysHello: boolean
  /** So many messages may be under way at once. */
  window: number
  temper: Temper
  /** Undefined: it is always awake. */
  checkInMs: number | undefined
  random: Random
  mischief: Mischief
  figures: Figures
  open(token: string, will: Outgoing, events: LinkEvents): Link
  token: string
  /** A new token, when the old one is not accepted. */
  renewToken(): Promise<string>
  acknowledged(message: Outgoing, at: number): void
}

export interface SimulatedClient {
  start(afterMs: number): void
  /** Measures no more, and sleeps no more; what waits goes on being sent. */
  quiet(): void
  /** Says goodbye if asked to, and ends the connection. */
  stop(goodbye: boolean): Promise<void>
  readonly unacknowledged: number
}

const OUTBOX_CAPACITY = 1_000
const GOODBYE_TIMEOUT_MS = 2_000

export function createSimulatedClient(options: ClientOptions): SimulatedClient {
  const { figures, random, mischief, device } = options
  const outbox = createOutbox(OUTBOX_CAPACITY, options.window)
  const backoff = createBackoff(random.fork('backoff'))
  const timers = createTimers()
  const { later } = timers
  const will = presence(0, { status: 'offline' })
  const obedience = createObedience({
    device,
    temper: options.temper,
    random: random.fork('obedience'),
    figures,
    say: enqueue,
    nextId: () => nextId(Date.now()),
    now: Date.now,
    later,
  })
  const sleep =
    options.checkInMs === undefined
      ? undefined
      : createSleep({
          checkInMs: options.checkInMs,
          later,
          isIdle: () => isUp && outbox.size === 0 && !obedience.isBusy,
          fallAsleep,
          wake: connect,
        })
  let token = options.token
  let link: Link | undefined
  let isUp = false
  let isStopped = false
  let isQuiet = false
  let hasReported = false
  let count = 0
  let saidGoodbye: (() => void) | undefined

  function connect(): void {
    if (isStopped) return
    // Late callbacks of an earlier link must not touch this one.
    const mine: Link = options.open(token, will, {
      up: () => link === mine && up(),
      down: (why) => link === mine && down(why),
      acknowledged: (message) => link === mine && acknowledged(message),
      refused: (message) => link === mine && refused(message),
      told: () => {
        figures.told += 1
      },
      asked: (asked) => {
        if (link !== mine) return
        sleep?.stir()
        obedience.ask(asked)
      },
    })
    link = mine
  }

  function up(): void {
    isUp = true
    figures.online += 1
    figures.connects += 1
    if (options.saysHello) put(presence(Date.now(), hello()))
    if (!hasReported) report(device.settings())
    hasReported = true
    flush()
    sleep?.stir()
  }

  function fallAsleep(): void {
    isUp = false
    figures.online -= 1
    const closing = link
    link = undefined
    void closing?.end()
  }

  function report(settings: JsonObject): void {
    if (Object.keys(settings).length === 0) return
    const now = Date.now()
    enqueue(reported(now, nextId(now), { state: settings }))
  }

  function down(why: Down): void {
    if (isUp) figures.online -= 1
    isUp = false
    link = undefined
    saidGoodbye?.()
    outbox.rewind()
    if (isStopped) return
    figures.downs.set(why.reason, (figures.downs.get(why.reason) ?? 0) + 1)
    const wait = (why.retryAfterMs ?? 0) + backoff.next()
    later(wait, why.credential ? renewAndConnect : connect)
  }

  function renewAndConnect(): void {
    options.renewToken().then(
      (renewed) => {
        token = renewed
        connect()
      },
      () => !isStopped && later(backoff.next(), renewAndConnect),
    )
  }

  function acknowledged(message: Outgoing): void {
    const now = Date.now()
    backoff.reset()
    if (message.kind === 'presence') {
      if (message.values.status === 'offline') saidGoodbye?.()
    } else if (!outbox.done(message)) return
    figures.acknowledged += 1
    figures.latency.add(now - message.sentAt)
    options.acknowledged(message, now)
    flush()
  }

  function refused(message: Outgoing): void {
    if (!outbox.done(message)) return
    figures.refused += 1
    flush()
  }

  function tick(): void {
    if (isQuiet) return
    later(options.intervalMs, tick)
    const now = Date.now()
    const { values, events, changed } = device.measure(now)
    add(telemetry(now, values, options.withIds ? nextId(now) : undefined))
    for (const event of events) add(deviceEvent(event.name, now, event.data, nextId(now)))
    if (hasReported) report(changed)
    if (isUp && mischief.cutNow()) link?.cut()
  }

  function add(message: Outgoing): void {
    for (const deed of mischief.mangle(message)) {
      if (deed.afterMs > 0) later(deed.afterMs, () => enqueue(deed.message))
      else enqueue(deed.message)
    }
  }

  function enqueue(message: Outgoing): void {
    if (outbox.add(message)) figures.dropped += 1
    flush()
  }

  function flush(): void {
    while (isUp) {
      const message = outbox.take()
      if (!message) return
      put(message)
    }
  }

  function put(message: Outgoing): void {
    if (message.attempts === 0) figures.sent += 1
    else figures.retried += 1
    message.attempts += 1
    message.sentAt = Date.now()
    link?.send(message)
  }

  function hello(): Outgoing['values'] {
    return { status: 'online', model: device.model, firmware: { version: device.firmware }, health: device.health() }
  }

  function nextId(now: number): string {
    count += 1
    return `${now.toString(36)}-${count}`
  }

  return {
    start(afterMs) {
      later(afterMs, () => {
        connect()
        tick()
      })
    },
    quiet() {
      isQuiet = true
      sleep?.endForGood()
    },
    async stop(goodbye) {
      isQuiet = true
      isStopped = true
      timers.callOffAll()
      if (goodbye && isUp && options.saysHello) {
        const said = new Promise<void>((resolve) => {
          saidGoodbye = resolve
          setTimeout(resolve, GOODBYE_TIMEOUT_MS).unref()
        })
        put(presence(Date.now(), { status: 'offline' }))
        await said
      }
      await link?.end()
      if (isUp) figures.online -= 1
      isUp = false
      link = undefined
    },
    get unacknowledged() {
      return outbox.size
    },
  }
}
