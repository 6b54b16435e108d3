/** A pump that runs and rests in turns. Its bearing wears, so vibration creeps up until it is serviced; now and then it leaks. */
import { type DeviceKind, round, type Step } from './device.ts'

export interface PumpState {
  running: boolean
  /** Seconds until it starts or stops. */
  switchIn: number
  /** Speed of the impeller, 0 to 1: it follows `running` with inertia. */
  spin: number
  /** Wear of the bearing, 0 to 1; at 1 it is serviced. */
  wear: number
  /** Of the bearing, Celsius: it warms while the pump runs, the more so the more it is worn. */
  temperature: number
  /** Seconds for which a leak still lasts; pressure is lower meanwhile. */
  leakFor: number
  nominalFlow: number
  nominalPressure: number
}

const SPIN_UP_SECONDS = 8
const WARM_UP_SECONDS = 400
const WEAR_PER_HOUR = 0.004
const LEAKS_PER_HOUR = 0.5
const LEAK_SECONDS = 240

export const pump: DeviceKind<PumpState> = {
  model: 'pump',
  firmware: '2.0.1',
  initial(random) {
    const running = random.chance(0.7)
    return {
      running,
      switchIn: random.between(30, 1500),
      spin: Number(running),
      wear: random.between(0, 0.6),
      temperature: running ? 42 : 22,
      leakFor: 0,
      nominalFlow: random.between(35, 60),
      nominalPressure: random.between(2.5, 4),
    }
  },
  step(before, step) {
    const state = { ...before }
    switchOnOff(state, step)
    state.spin += (Number(state.running) - state.spin) * (1 - Math.exp(-step.seconds / SPIN_UP_SECONDS))
    state.wear += ((state.spin * step.seconds) / 3600) * WEAR_PER_HOUR
    if (state.wear >= 1) state.wear = 0
    const warm = 22 + state.spin * (20 + 18 * state.wear)
    state.temperature += (warm - state.temperature) * (1 - Math.exp(-step.seconds / WARM_UP_SECONDS))
    const events = leak(state, step)
    return { state, measurement: { values: measure(state, step), events } }
  },
  settings: () => ({}),
  wishes: {},
  actions: {},
}

function switchOnOff(state: PumpState, { seconds, random }: Step): void {
  state.switchIn -= seconds
  if (state.switchIn > 0) return
  state.running = !state.running
  state.switchIn = state.running ? random.between(600, 2400) : random.between(300, 900)
}

function leak(state: PumpState, { seconds, random }: Step) {
  state.leakFor = Math.max(0, state.leakFor - seconds)
  if (!state.running || state.leakFor > 0 || !random.chance((seconds / 3600) * LEAKS_PER_HOUR)) return []
  state.leakFor = LEAK_SECONDS
  return [{ name: 'leak', data: { litresPerMinute: round(random.between(0.2, 3), 2), location: random.pick(['seal', 'inlet', 'outlet']) } }]
}

function measure(state: PumpState, { random }: Step) {
  const flow = state.spin * state.nominalFlow * (state.leakFor > 0 ? 0.9 : 1) + random.normal() * 0.3 * state.spin
  const pressure = 1 + state.spin ** 2 * (state.nominalPressure - 1) * (state.leakFor > 0 ? 0.7 : 1) + random.normal() * 0.02
  const vibration = 0.1 + state.spin * (1.2 + 3 * state.wear ** 2) + Math.abs(random.normal()) * 0.08
  return {
    vibration: round(vibration, 3),
    temperature: round(state.temperature + random.normal() * 0.05, 2),
    flow: round(Math.max(0, flow), 2),
    pressure: round(Math.max(0, pressure), 3),
    running: state.running,
  }
}
