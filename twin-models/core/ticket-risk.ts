/** What a prediction model says of the device of a ticket: when its answer is looked for, and how it is told. */
import { percent } from './markdown.ts'
import type { SeenPrediction, TicketRisk } from './ticket-types.ts'

/** The answer is looked for then, after twice the time, and so on. */
const FIRST_LOOK_MS = 2_000

/** When the answer is looked for next; at last when it is given up. */
export function nextLook(askedAt: number, now: number, patienceMs: number): number {
  let after = FIRST_LOOK_MS
  while (askedAt + after <= now) after *= 2
  return askedAt + Math.min(after, patienceMs)
}

/** Undefined: there is no answer, or none that says something. */
export function riskOf(prediction: SeenPrediction | undefined, at: number): TicketRisk | undefined {
  const { status, probability, threshold } = prediction ?? {}
  if (status !== 'answered' || probability === undefined || threshold === undefined) return undefined
  return { probability, threshold, at }
}

export function riskWords(model: string, { probability, threshold }: Pick<TicketRisk, 'probability' | 'threshold'>): string {
  return `${model} predicts ${percent(probability)}, its threshold is ${percent(threshold)}`
}
