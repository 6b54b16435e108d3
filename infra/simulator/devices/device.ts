/** What a simulated device measures: pure models, a step at a time. Transport and misbehaviour stand elsewhere. */
import type { Value } from '../../../twin-models/core/types.ts'
import type { Random } from '../random.ts'
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

/** A kind of device. `State` is plain data; `step` returns the next one and leaves the old one as it was. */
export interface DeviceKind<State> {
  model: string
  firmware: string
  initial(random: Random): State
  step(state: State, step: Step): { state: State; measurement: Measurement }
}

export const DEVICE_KINDS = { thermostat, pump }
export type DeviceKindName = keyof typeof DEVICE_KINDS

/** A device with its state inside. `dayMs` is how long a simulated day lasts. */
export interface SimulatedDevice {
  model: string
  firmware: string
  measure(now: number): Measurement
}

export function createSimulatedDevice(kind: DeviceKindName, random: Random, start: number, dayMs: number): SimulatedDevice {
  return run(DEVICE_KINDS[kind] as DeviceKind<unknown>, random, start, dayMs)
}

function run<State>(kind: DeviceKind<State>, random: Random, start: number, dayMs: number): SimulatedDevice {
  let state = kind.initial(random)
  let last = start
  return {
    model: kind.model,
    firmware: kind.firmware,
    measure(now) {
      // A shorter day makes everything faster, not only the sun.
      const seconds = (Math.max(0, now - last) / 1000) * (86_400_000 / dayMs)
      last = now
      const result = kind.step(state, { seconds, dayFraction: (now % dayMs) / dayMs, random })
      state = result.state
      return result.measurement
    },
  }
}

export function round(value: number, digits: number): number {
  const factor = 10 ** digits
  return Math.round(value * factor) / factor
}
