/** A water meter: people draw water by day, more in the morning and in the evening, and its battery lasts for years. */
import { type DeviceKind, numberWithin, round } from './device.ts'

export interface MeterState {
  /** Cubic metres. */
  volume: number
  /** Litres a minute. */
  flow: number
  battery: number
  leakThreshold: number
}

const BATTERY_PER_DAY = 0.02
const EMPTY = 5
const DRAWS_PER_HOUR = 3
const ENDS_PER_HOUR = 20

export const meter: DeviceKind<MeterState> = {
  model: 'meter',
  firmware: '0.9.4',
  initial(random) {
    return { volume: random.between(10, 900), flow: 0, battery: random.between(30, 100), leakThreshold: 0.5 }
  },
  step(before, { seconds, dayFraction, random }) {
    const state = { ...before }
    state.volume += (state.flow / 1000) * (seconds / 60)
    state.battery = state.battery > EMPTY ? state.battery - (seconds / 86_400) * BATTERY_PER_DAY : 100
    const isNight = dayFraction < 0.25 || dayFraction > 0.95
    if (state.flow > 0) state.flow = random.chance((seconds / 3600) * ENDS_PER_HOUR) ? 0 : state.flow
    else if (!isNight && random.chance((seconds / 3600) * DRAWS_PER_HOUR)) state.flow = random.between(2, 14)
    const values = { volume: round(state.volume, 4), flow: round(state.flow, 1), battery: round(state.battery, 1) }
    return { state, measurement: { values, events: [] } }
  },
  settings: ({ leakThreshold }) => ({ leakThreshold }),
  wishes: {
    leakThreshold(state, value) {
      const leakThreshold = numberWithin(value, 0.1, 10)
      return typeof leakThreshold === 'number' ? { ...state, leakThreshold } : leakThreshold
    },
  },
  actions: {},
}
