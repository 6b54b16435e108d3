/** Rounds until so many steps are done. Each has a seed of its own, made of the one given, and can be run again alone. */
import { Round, type RoundFailure, type RoundReport } from './round.ts'
import type { Violation } from './world.ts'

const STEPS_A_ROUND = 20_000

export interface SimulationResult {
  steps: number
  rounds: RoundReport[]
  failure: RoundFailure | undefined
}

export interface SimulationOptions {
  seed: string
  steps: number
  /** A device to note everything of. */
  device?: number | undefined
  onRound?: (report: RoundReport) => void
}

export async function simulate({ seed, steps, device, onRound = () => {} }: SimulationOptions): Promise<SimulationResult> {
  const rounds: RoundReport[] = []
  let done = 0
  for (let n = 0; done < steps; n++) {
    // The first round is that of the seed itself, so that a failing one can be given again.
    const planned = Math.min(STEPS_A_ROUND, steps - done)
    const round = new Round(n === 0 ? seed : `${seed}/${n}`)
    round.world.watched = device
    try {
      const report = await round.run(planned)
      done += report.steps
      rounds.push(report)
      onRound(report)
    } catch (error) {
      const { world } = round
      const { rule = 'the simulation itself', message = String(error) } = error as Partial<Violation>
      const detail = rule === 'the simulation itself' ? String((error as Error).stack) : message
      return {
        steps: done + world.steps,
        rounds,
        failure: { seed: world.seed, planned, step: world.steps, rule, message: detail, notes: world.notes },
      }
    }
  }
  return { steps: done, rounds, failure: undefined }
}

export function failureText({ seed, planned, step, rule, message, notes }: RoundFailure): string {
  return [
    ...notes,
    '',
    `VIOLATED at step ${step}: ${rule}`,
    message,
    '',
    `Again: npm run simulate:core -- --steps ${planned} --seed ${seed}`,
  ].join('\n')
}
