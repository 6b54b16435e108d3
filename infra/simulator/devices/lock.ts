/** A door lock: people come and go with their keys, it locks itself after a while, and its battery runs down slowly. */
import { type DeviceKind, numberWithin, round } from './device.ts'

export interface LockState {
  locked: boolean
  /** Seconds since it was unlocked. */
  openFor: number
  autoLockSeconds: number
  battery: number
}

const UNLOCKS_PER_HOUR = 0.5
/** By hand, where it does not lock itself. */
const LOCKS_PER_HOUR = 4
const BATTERY_PER_DAY = 0.5
const EMPTY = 5

export const lock: DeviceKind<LockState> = {
  model: 'lock',
  firmware: '3.1.0',
  initial(random) {
    return { locked: true, openFor: 0, autoLockSeconds: random.pick([0, 30, 60, 300]), battery: random.between(30, 100) }
  },
  step(before, { seconds, random }) {
    const state = { ...before }
    state.battery = state.battery > EMPTY ? state.battery - (seconds / 86_400) * BATTERY_PER_DAY : 100
    if (state.locked) state.locked = !random.chance((seconds / 3600) * UNLOCKS_PER_HOUR)
    else {
      state.openFor += seconds
      const locksItself = state.autoLockSeconds > 0 && state.openFor >= state.autoLockSeconds
      state.locked = locksItself || random.chance((seconds / 3600) * LOCKS_PER_HOUR)
    }
    if (state.locked) state.openFor = 0
    return { state, measurement: { values: { locked: state.locked, battery: round(state.battery, 1) }, events: [] } }
  },
  settings: ({ locked, autoLockSeconds }) => ({ locked, autoLockSeconds }),
  wishes: {
    autoLockSeconds(state, value) {
      const autoLockSeconds = numberWithin(value, 0, 3_600)
      return typeof autoLockSeconds === 'number' ? { ...state, autoLockSeconds } : autoLockSeconds
    },
  },
  actions: {
    lock: { takes: [500, 2_000], act: (state) => turned(state, true) },
    unlock: { takes: [500, 2_000], act: (state) => turned(state, false) },
  },
}

function turned(state: LockState, locked: boolean) {
  return { state: { ...state, locked, openFor: 0 }, output: { locked } }
}
