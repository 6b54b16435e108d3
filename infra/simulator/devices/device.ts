/** What a simulated device measures, and how it obeys: pure models, a step at a time. Transport and misbehaviour stand elsewhere. */
import { createHash } from 'node:crypto'
import type { DeviceAnswer, JsonObject, Rejections, Value } from '../../../twin-models/core/types.ts'
import type { Random } from '../random.ts'
import { lock } from './lock.ts'
import { meter } from './meter.ts'
import { pump } from './pump.ts'
import { thermostat } from './thermostat.ts'

/** How far the world went on since the last step. */
export interface Step {
  /** Seconds since the last step. */
  seconds: number
  /** Time of day as a fraction: 0 is midnight, 0.5 noon. */
  dayFraction: number
  random: Random
}

export interface Measurement {
  values: Record<string, Value>
  /** Device events that happened in this step. */
  events: Array<{ name: string; data: Value }>
}

/** How its world treats it. */
export interface Conditions {
  /** In which its bearing wears out, in seconds of its world. Undefined: as usual. */
  lifeSeconds: number | undefined
  /** Share of the repairs that do not hold. */
  relapse: number
}

/** A kind of device. `State` is plain data; each function gives the next one and leaves the old one as it was. */
export interface DeviceKind<State> {
  model: string
  firmware: string
  initial(random: Random, conditions: Conditions): State
  step(state: State, step: Step): { state: State; measurement: Measurement }
  /** How it is configured, as it reports it. */
  settings(state: State): JsonObject
  /** What it can be wished, by name: the next state, or why not. */
  wishes: { [name: string]: (state: State, value: Value) => State | Refusal }
  /** What it can be told to do, besides `diagnose`, which all know. */
  actions: { [name: string]: Action<State> }
}

export interface Refusal {
  code: string
  message: string
}

export interface Action<State> {
  /** Milliseconds of real time. */
  takes: readonly [least: number, most: number]
  act(state: State, random: Random): { state: State; output?: Value }
}

export const DEVICE_KINDS = { thermostat, pump, lock, meter }
export type DeviceKindName = keyof typeof DEVICE_KINDS

/** A device with its state inside. */
export interface SimulatedDevice {
  model: string
  /** What runs. */
  readonly firmware: { version: string; sha256: string }
  /** `changed`: settings that somebody at the device changed in this step. */
  measure(now: number): Measurement & { changed: JsonObject }
  settings(): JsonObject
  /** Takes what it can, and says what it cannot, by JSON pointer. */
  configure(wish: JsonObject): Rejections
  /** How long the action will take, in ms. Undefined: it has none of that name. */
  takes(action: string): number | undefined
  /** `changed`: settings that are other than before. */
  act(action: string, now: number): { answer: DeviceAnswer; changed: JsonObject }
  health(): { ok: boolean; battery: number; rssi: number }
  /** Starts with this firmware, and is well with it or not. */
  boot(firmware: { version: string; sha256: string }, ok: boolean): void
}

const DIAGNOSE = 'diagnose'
const DIAGNOSE_TAKES = [50, 400] as const

/** In real time, however long a simulated day lasts. */
export interface WearOptions {
  /** In which a new bearing wears out. Undefined: as usual, a year of its world. */
  wearMs?: number | undefined
  /** Share of the repairs that do not hold, 0 to 1. */
  relapseShare?: number
}

/** `dayMs` is how long a simulated day lasts. */
export function createSimulatedDevice(
  kind: DeviceKindName,
  random: Random,
  start: number,
  dayMs: number,
  wear: WearOptions = {},
): SimulatedDevice {
  return run(DEVICE_KINDS[kind] as unknown as DeviceKind<unknown>, random, start, dayMs, wear)
}

function run<State>(
  kind: DeviceKind<State>,
  random: Random,
  start: number,
  dayMs: number,
  { wearMs, relapseShare = 0 }: WearOptions,
): SimulatedDevice {
  const own = random.fork('besides')
  // A shorter day makes everything faster, not only the sun.
  const haste = 86_400_000 / dayMs
  const lifeSeconds = wearMs === undefined ? undefined : (wearMs / 1000) * haste
  let state = kind.initial(random, { lifeSeconds, relapse: relapseShare })
  let last = start
  let firmware = factoryFirmware(kind)
  let isWell = true

  function become(next: State): JsonObject {
    const changed = difference(kind.settings(state), kind.settings(next))
    state = next
    return changed
  }

  const health = () => ({ ok: isWell, battery: Math.round(own.between(60, 100)), rssi: Math.round(own.between(-85, -45)) })

  return {
    model: kind.model,
    get firmware() {
      return firmware
    },
    measure(now) {
      const seconds = (Math.max(0, now - last) / 1000) * haste
      last = now
      const result = kind.step(state, { seconds, dayFraction: (now % dayMs) / dayMs, random })
      return { ...result.measurement, changed: become(result.state) }
    },
    settings: () => kind.settings(state),
    configure(wish) {
      const rejected: Rejections = {}
      for (const [name, value] of Object.entries(wish)) {
        const next = Object.hasOwn(kind.wishes, name) ? kind.wishes[name]!(state, value) : UNKNOWN_SETTING
        if (isRefusal(next)) rejected[`/${name}`] = next
        else state = next
      }
      return rejected
    },
    takes(action) {
      const takes = action === DIAGNOSE ? DIAGNOSE_TAKES : Object.hasOwn(kind.actions, action) ? kind.actions[action]!.takes : undefined
      return takes && own.between(...takes)
    },
    act(action, now) {
      if (action === DIAGNOSE) {
        const output = {
          health: health(),
          firmware: { version: firmware.version },
          uptimeSeconds: Math.floor((now - start) / 1000),
          errors: [],
        }
        return { answer: { status: 'succeeded', output }, changed: {} }
      }
      const { state: next, output } = kind.actions[action]!.act(state, random)
      return { answer: { status: 'succeeded', ...(output !== undefined && { output }) }, changed: become(next) }
    },
    health,
    boot(next, ok) {
      firmware = next
      isWell = ok
    },
  }
}

/** The image that it comes with is the text `model version`: so an artifact of it can be made, and be returned to. */
export function factoryFirmware({ model, firmware }: Pick<DeviceKind<unknown>, 'model' | 'firmware'>): { version: string; sha256: string } {
  return { version: firmware, sha256: createHash('sha256').update(`${model} ${firmware}`).digest('hex') }
}

const UNKNOWN_SETTING: Refusal = { code: 'unknown-setting', message: 'I have no such setting' }

function isRefusal<State>(result: State | Refusal): result is Refusal {
  return typeof (result as Refusal).code === 'string'
}

function difference(before: JsonObject, after: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => value !== before[name]))
}

export function round(value: number, digits: number): number {
  const factor = 10 ** digits
  return Math.round(value * factor) / factor
}

/** For a wish: the number within its bounds, or why it cannot be. */
export function numberWithin(value: Value, least: number, most: number): number | Refusal {
  if (typeof value === 'number' && value >= least && value <= most) return value
  return { code: 'out-of-range', message: `I can do ${least} to ${most}` }
}
