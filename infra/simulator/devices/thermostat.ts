/** A room with a radiator: loses warmth to an outside that follows the sun, heats with hysteresis, and the radiator cools slowly. */
import { type DeviceKind, round, type Step } from './device.ts'

export interface ThermostatState {
  temperature: number
  humidity: number
  heating: boolean
  /** Warmth in the radiator, 0 to 1: it follows `heating` with inertia. */
  radiator: number
  /** Mean outside temperature of this place, Celsius. */
  climate: number
  dayTarget: number
}

const ROOM_HOURS = 6 // in which the room would lose two thirds of its difference to the outside
const RADIATOR_HOURS = 0.2
const HEATING_PER_HOUR = 6
const NIGHT_SETBACK = 3
const HYSTERESIS = 0.3
const LONGEST_STEP_SECONDS = 60

export const thermostat: DeviceKind<ThermostatState> = {
  model: 'thermostat',
  firmware: '1.4.2',
  initial(random) {
    const dayTarget = round(random.between(20, 22), 1)
    return {
      temperature: dayTarget + random.between(-1.5, 0.5),
      humidity: random.between(38, 55),
      heating: random.chance(0.5),
      radiator: random.next(),
      climate: random.between(2, 12),
      dayTarget,
    }
  },
  step(before, step) {
    const state = { ...before }
    // In short pieces, so that a long pause does not make the numbers run away.
    for (let rest = Math.min(step.seconds, 86_400); rest > 0; rest -= LONGEST_STEP_SECONDS) {
      advance(state, Math.min(rest, LONGEST_STEP_SECONDS) / 3600, step)
    }
    const values = {
      temperature: round(state.temperature + step.random.normal() * 0.03, 2),
      humidity: round(clamp(state.humidity + step.random.normal() * 0.2, 5, 95), 1),
    }
    return { state, measurement: { values, events: [] } }
  },
}

function advance(state: ThermostatState, hours: number, { dayFraction, random }: Step): void {
  const target = dayFraction > 0.25 && dayFraction < 0.92 ? state.dayTarget : state.dayTarget - NIGHT_SETBACK
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
