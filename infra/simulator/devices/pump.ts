/**
 * A pump that runs and rests in turns, and now and then leaks. Its bearing wears (wear.ts): vibration creeps up and temperature follows, until it
 * trips and stands still. Then, or before, somebody puts in a new bearing and says so with `resetBearing`.
 *
 * Usually that takes a year. A pump whose bearing is to wear quickly runs without rest, so that what is seen is the bearing.
 */
import { type Conditions, type DeviceKind, round, type Step } from './device.ts'
import { type Bearing, hasFailed, heatOf, repaired, someBearing, vibrationOf, type Wear, worn } from './wear.ts'

export interface PumpState {
  running: boolean
  /** It stopped by itself, and does not start again. */
  tripped: boolean
  /** Seconds until it starts or stops; Infinity: it runs without rest. */
  switchIn: number
  /** Speed of the impeller, 0 to 1: it follows `running` with inertia. */
  spin: number
  bearing: Bearing
  /** Of its bearings. */
  usual: Wear
  /** Of the bearing, Celsius: it warms while the pump runs, the more so the more it is worn. */
  temperature: number
  /** Seconds for which a leak still lasts; pressure is lower meanwhile. */
  leakFor: number
  nominalFlow: number
  nominalPressure: number
}

const SPIN_UP_SECONDS = 8
const WARM_UP_SECONDS = 400
/** Where a bearing wears quickly, temperature follows as quickly: in this share of its life. */
const WARM_UP_SHARE = 0.03
const USUAL_LIFE_SECONDS = 365 * 86_400
/** At first: of a fleet none fails at once, and vibration is normal. */
const MOST_WEAR = 0.4
const LEAKS_PER_HOUR = 0.5
const LEAK_SECONDS = 240

export const pump: DeviceKind<PumpState> = {
  model: 'pump',
  firmware: '2.0.1',
  initial(random, { lifeSeconds, relapse }: Conditions) {
    const usual = { lifeSeconds: lifeSeconds ?? USUAL_LIFE_SECONDS, relapse }
    const isQuick = lifeSeconds !== undefined
    const runs = random.chance(0.7)
    const running = runs || isQuick
    const switchIn = random.between(30, 1500)
    return {
      running,
      tripped: false,
      switchIn: isQuick ? Infinity : switchIn,
      spin: Number(running),
      bearing: someBearing(usual, MOST_WEAR, random),
      usual,
      temperature: running ? 42 : 22,
      leakFor: 0,
      nominalFlow: random.between(35, 60),
      nominalPressure: random.between(2.5, 4),
    }
  },
  step(before, step) {
    const state = { ...before }
    if (!state.tripped) switchOnOff(state, step)
    state.bearing = worn(state.bearing, step.seconds, state.spin)
    const events = [...trip(state), ...leak(state, step)]
    state.spin += (Number(state.running) - state.spin) * (1 - Math.exp(-step.seconds / SPIN_UP_SECONDS))
    const warm = 22 + state.spin * (20 + heatOf(state.bearing))
    const warmUp = Math.min(WARM_UP_SECONDS, state.usual.lifeSeconds * WARM_UP_SHARE)
    state.temperature += (warm - state.temperature) * (1 - Math.exp(-step.seconds / warmUp))
    return { state, measurement: { values: measure(state, step), events } }
  },
  settings: () => ({}),
  wishes: {},
  actions: {
    resetBearing: {
      takes: [500, 2_000],
      act: ({ tripped, ...state }, random) => ({
        state: { ...state, tripped: false, running: state.running || tripped, bearing: repaired(state.bearing, state.usual, random) },
      }),
    },
  },
}

function switchOnOff(state: PumpState, { seconds, random }: Step): void {
  state.switchIn -= seconds
  if (state.switchIn > 0) return
  state.running = !state.running
  state.switchIn = state.running ? random.between(600, 2400) : random.between(300, 900)
}

function trip(state: PumpState) {
  if (state.tripped || !hasFailed(state.bearing)) return []
  Object.assign(state, { tripped: true, running: false })
  return [{ name: 'tripped', data: { vibration: round(vibrationOf(state.bearing), 1) } }]
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
  const vibration = 0.1 + state.spin * vibrationOf(state.bearing) * (1 + random.normal() * 0.03) + Math.abs(random.normal()) * 0.08
  return {
    vibration: round(Math.max(0, vibration), 3),
    temperature: round(state.temperature + random.normal() * 0.05, 2),
    flow: round(Math.max(0, flow), 2),
    pressure: round(Math.max(0, pressure), 3),
    running: state.running,
  }
}
