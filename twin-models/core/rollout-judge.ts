/** The judge of a rollout: whether its current wave has reached its gate, and whether too much went wrong. What is counted how: rollout.ts. */
import { type ErrorLimit, tooManyFailed } from './pacing.ts'
import type { RolloutState, WaveCounts } from './rollout-types.ts'
import { portion, summed } from './rollout-waves.ts'

export interface Gate {
  /** Devices that have to be healthy. */
  needed: number
  /** Devices that count: not those that left, nor failures that a resume took note of. */
  counted: number
  reached: boolean
  /** Even if all that wait and are under way became healthy, it would not be reached. */
  lost: boolean
}

export function gateOf(gate: number, wave: WaveCounts, acknowledged: number): Gate {
  const counted = wave.total - wave.left - Math.min(acknowledged, wave.failed)
  const needed = portion(counted, gate)
  return { needed, counted, reached: wave.healthy >= needed, lost: wave.healthy + wave.waiting + wave.underway < needed }
}

/** Why it has to halt; undefined when it has not. */
export function haltReason(
  { gate, failures }: { gate: number; failures: ErrorLimit },
  { wave, acknowledged }: Pick<RolloutState, 'wave' | 'acknowledged'>,
  waves: readonly WaveCounts[],
): string | undefined {
  const current = waves[wave]
  if (!current) return undefined
  const { share, minimum, count } = failures
  const inWave = tooManyFailed({ share, minimum }, judged(current, acknowledged.wave))
  if (inWave !== undefined) return `Wave ${wave + 1}: ${inWave}${silentOnes(current)}.`
  const all = summed(waves)
  const inAll = count === undefined ? undefined : tooManyFailed({ share: 1, minimum: 1, count }, judged(all, acknowledged.all))
  if (inAll !== undefined) return `All waves: ${inAll}${silentOnes(all)}.`
  const { needed, counted, lost } = gateOf(gate, current, acknowledged.wave)
  if (!lost) return undefined
  const failed = current.failed - Math.min(acknowledged.wave, current.failed)
  return `Wave ${wave + 1}: ${failed} of ${counted} devices failed: the gate, ${needed} healthy, is out of reach${silentOnes(current)}.`
}

function judged(wave: WaveCounts, acknowledged: number) {
  const { total, waiting, underway, healthy, failed, left } = wave
  return { total, waiting, underway, succeeded: healthy, failed: Math.max(0, failed - acknowledged), skipped: left }
}

function silentOnes({ silent }: WaveCounts): string {
  return silent === 0 ? '' : `; fell silent after the update until now: ${silent}`
}
