/**
 * A reference model for the simulator's pump: a hand-made score, not a trained model. A bearing that wears vibrates more, and more by the day, and
 * runs warmer; the score is a logistic function of the three. Its weights were chosen by hand from what the simulated pump does: new, it vibrates
 * with 1.3 mm/s at 42 °C while it runs, and worn out with 4.3 mm/s at 60 °C. Starting and stopping are changes too, so a change counts for little.
 */

export const PUMP_MODEL = {
  name: 'pump-failure',
  versions: ['1'],
  platform: 'castor-reference',
  inputs: [{ name: 'features', datatype: 'FP64', shape: [-1, 3] }],
  outputs: [
    { name: 'probability', datatype: 'FP64', shape: [-1] },
    { name: 'explanation', datatype: 'BYTES', shape: [-1] },
  ],
} as const

/** In the order of the tensor. `usual`: of a pump that is well; `least` and `most`: what is beyond counts as that. */
export const PUMP_INPUTS = [
  { name: 'vibration', unit: 'mm/s', usual: 1.5, weight: 2, least: 0, most: 20 },
  { name: 'change of vibration', unit: 'mm/s', usual: 0, weight: 0.8, least: 0, most: 1 },
  { name: 'temperature', unit: '°C', usual: 42, weight: 0.08, least: 0, most: 120 },
] as const

/** Of a pump that is well: a failure in two days is rare. */
const USUAL_LOG_ODDS = -4.5
/** What adds less explains nothing. */
const NOTABLE = 0.5

export interface PumpScore {
  probability: number
  explanation: string
}

/** `row`: as many numbers as PUMP_INPUTS. */
export function scorePump(row: readonly number[]): PumpScore {
  const parts = PUMP_INPUTS.map(({ name, unit, usual, weight, least, most }, i) => {
    const value = row[i]!
    return { name, unit, value, adds: weight * (Math.min(Math.max(value, least), most) - usual) }
  })
  const logOdds = parts.reduce((sum, { adds }) => sum + adds, USUAL_LOG_ODDS)
  const strongest = parts.filter(({ adds }) => adds >= NOTABLE).sort((a, b) => b.adds - a.adds)
  const explanation = strongest.map(({ name, unit, value, adds }) => `${name} ${round(value)} ${unit} (+${adds.toFixed(1)})`).join(', ')
  return { probability: 1 / (1 + Math.exp(-logOdds)), explanation: explanation || 'nothing stands out' }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
