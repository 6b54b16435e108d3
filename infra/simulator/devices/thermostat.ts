/**
 * A room with a radiator: loses warmth to an outside that follows the sun, heats with hysteresis, and the radiator cools slowly. It keeps
 * its target by day and lets the room cool at night, until somebody sets another target: that it holds.
 */
import { type DeviceKind, numberWithin, round, type Step } from './device.ts'

export interface ThermostatState {
  temperature: number
  humidity: number
  heating: boolean
  /** Warmth in the radiator, 0 to 1: it follows `heating` with inertia. */
  radiator: number
  /** Mean outside temperature of this place, Celsius. */
  climate: number
  target: number
  /** Cools at night. */
  program: boolean
}

const ROOM_HOURS = 6 // in which the room would lose two thirds of its difference to the outside
const RADIATOR_HOURS = 0.2
const HEATING_PER_HOUR = 6
const NIGHT_SETBACK = 3
const HYSTERESIS = 0.3
/** How often somebody in the room turns the knob. */
const KNOB_TURNS_PER_DAY = 0.5
const LONGEST_STEP_SECONDS = 60

export const thermostat: DeviceKind<ThermostatState> = {
  model: 'thermostat',
  firmware: '1.4.2',
  initial(random) {
    const target = round(random.between(20, 22), 1)
    return {
      temperature: target + random.between(-1.5, 0.5),
      humidity: random.between(38, 55),
      heating: random.chance(0.5),
      radiator: random.next(),
      climate: random.between(2, 12),
      target,
      program: true,
    }
  },
  step(before, step) {
    const state = { ...before }
    // In short pieces, so that a long pause does not make the numbers run away.
    for (let rest = Math.min(step.seconds, 86_400); rest > 0; rest -= LONGEST_STEP_SECONDS) {
      advance(state, Math.min(rest, LONGEST_STEP_SECONDS) / 3600, step)
    }
    if (step.random.chance(Math.min(step.seconds / 86_400, 1) * KNOB_TURNS_PER_DAY)) {
      state.target = Math.round(step.random.between(36, 48)) / 2
      state.program = false
    }
    const values = {
      temperature: round(state.temperature + step.random.normal() * 0.03, 2),
      humidity: round(clamp(state.humidity + step.random.normal() * 0.2, 5, 95), 1),
    }
    return { state, measurement: { values, events: [] } }
  },
  settings: ({ target }) => ({ targetTemperature: target }),
  wishes: {
    targetTemperature(state, value) {
      const target = numberWithin(value, 5, 35)
      return typeof target === 'number' ? { ...state, target, program: false } : target
    },
  },
  actions: {
    identify: { takes: [100, 500], act: (state) => ({ state }) },
  },
}

function advance(state: ThermostatState, hours: number, { dayFraction, random }: Step): void {
  const isDay = dayFraction > 0.25 && dayFraction < 0.92
  const target = isDay || !state.program ? state.target : state.target - NIGHT_SETBACK
  if (state.temperature < target - HYSTERESIS) state.heating = true
  if (state.temperature > target + HYSTERESIS) state.heating = false
  state.radiator += (Number(state.heating) - state.radiator) * Math.min(1, hours / RADIATOR_HOURS)
  // Coldest before dawn, warmest in the afternoon.
  const outside = state.climate + 5 * Math.sin(2 * Math.PI * (dayFraction - 0.375))
  state.temperature += hours * ((outside - state.temperature) / ROOM_HOURS + state.radiator * HEATING_PER_HOUR)
  const comfortable = 46 - 1.2 * (state.temperature - 21)
  state.humidity += (comfortable - state.humidity) * Math.min(1, hours / 2) + random.normal() * Math.sqrt(hours) * 0.8
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value))
}
