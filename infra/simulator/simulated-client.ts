/**
 * One simulated device at work: measures, obeys, keeps what is not acknowledged, connects, and comes back when the line breaks.
 *
 *   measure ──► mischief ──► voice ──► line ──► acknowledged
 *   obedience, updater ────────▲        │
 *       ▲                               │
 *       └──────────── asked ────────────┘
 *
 * A sleeper leaves its line when there is nothing more to say or to do, and takes it up again at its next check-in. So does a device that boots
 * its new firmware.
 */
import type { JsonObject } from '../../twin-models/core/types.ts'
import type { Asked } from './asked.ts'
import type { Mischief } from './chaos.ts'
import type { SimulatedDevice } from './devices/device.ts'
import { download } from './firmware/download.ts'
import { createUpdater, type UpdaterOptions } from './firmware/updater.ts'
import { createLine, type LineOptions } from './line.ts'
import { deviceEvent, type Outgoing, presence, reported, telemetry } from './message.ts'
import { createObedience, type Temper } from './obedience.ts'
import type { Random } from './random.ts'
import type { Figures } from './report.ts'
import { createSleep } from './sleep.ts'
import { createTimers } from './timers.ts'
import { createVoice } from './voice.ts'

export interface ClientOptions
  extends Pick<UpdaterOptions, 'tenant' | 'hardware' | 'fate' | 'locks' | 'keys' | 'flash'>,
    Pick<LineOptions, 'open' | 'token' | 'renewToken'> {
  id: string
  device: SimulatedDevice
  intervalMs: number
  /** Does its telemetry carry ids? Its device events always do. */
  withIds: boolean
  /** Only where there is a connection: others are offline when they have been silent for a while. */
  saysGoodbye: boolean
  /** So many messages may be under way at once. */
  window: number
  temper: Temper
  /** Undefined: it is always awake. */
  checkInMs: number | undefined
  random: Random
  mischief: Mischief
  figures: Figures
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

export function createSimulatedClient(options: ClientOptions): SimulatedClient {
  const { random, mischief, device } = options
  const timers = createTimers()
  const { later } = timers
  const voice = createVoice(options)
  const speaks = { ...options, say: voice.say, nextId: () => nextId(Date.now()), now: Date.now, later }
  const obedience = createObedience({ ...speaks, random: random.fork('obedience') })
  const updater = createUpdater({
    ...speaks,
    slow: options.temper.slow,
    random: random.fork('updates'),
    download,
    breaksAfter: mischief.breaksAfter,
    reboot: (ms, boot) => line.leaveFor(ms, boot),
    die() {
      timers.callOffAll()
      line.die()
    },
  })
  const line = createLine({
    ...options,
    voice,
    timers,
    random: random.fork('backoff'),
    hello: () => presence(Date.now(), { status: 'online', model: device.model, firmware: device.firmware, health: device.health() }),
    up,
    renewed: updater.forgetRegistration,
    asked,
  })
  const sleep =
    options.checkInMs === undefined
      ? undefined
      : createSleep({
          checkInMs: options.checkInMs,
          later,
          isIdle: () => line.isUp && voice.size === 0 && !obedience.isBusy && !updater.isBusy,
          fallAsleep: line.leave,
          wake: line.connect,
        })
  let isQuiet = false
  let hasReported = false
  let count = 0

  function up(): void {
    if (!hasReported) report(device.settings())
    hasReported = true
    sleep?.stir()
  }

  function asked(what: Asked): void {
    sleep?.stir()
    if (what.kind === 'update') updater.take(what)
    else if (what.kind === 'cancel-update') updater.cancel(what.id)
    else obedience.ask(what)
  }

  function report(settings: JsonObject): void {
    if (Object.keys(settings).length === 0) return
    const now = Date.now()
    voice.say(reported(now, nextId(now), { state: settings }))
  }

  function tick(): void {
    if (isQuiet) return
    later(options.intervalMs, tick)
    const now = Date.now()
    const { values, events, changed } = device.measure(now)
    add(telemetry(now, values, options.withIds ? nextId(now) : undefined))
    for (const event of events) add(deviceEvent(event.name, now, event.data, nextId(now)))
    if (hasReported) report(changed)
    if (line.isUp && mischief.cutNow()) line.cut()
  }

  function add(message: Outgoing): void {
    for (const deed of mischief.mangle(message)) {
      if (deed.afterMs > 0) later(deed.afterMs, () => voice.say(deed.message))
      else voice.say(deed.message)
    }
  }

  function nextId(now: number): string {
    count += 1
    return `${now.toString(36)}-${count}`
  }

  return {
    start(afterMs) {
      later(afterMs, () => {
        line.connect()
        tick()
      })
    },
    quiet() {
      isQuiet = true
      sleep?.endForGood()
    },
    async stop(goodbye) {
      isQuiet = true
      timers.callOffAll()
      updater.stop()
      await line.end(goodbye && options.saysGoodbye)
    },
    get unacknowledged() {
      return voice.size
    },
  }
}
