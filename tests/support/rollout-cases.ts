/** What tables of rollouts begin with: a plan, how one stands, and counts of its waves. */
import { initialRollout } from '../../twin-models/core/rollout.ts'
import type { RolloutCounts, RolloutPlan, RolloutState, WaveCounts } from '../../twin-models/core/rollout-types.ts'
import { EMPTY_WAVE } from '../../twin-models/core/rollout-waves.ts'

export const plan: RolloutPlan = {
  gate: 0.95,
  failures: { share: 0.1, minimum: 10 },
  soakMs: 0,
  pace: { perSecond: 10, atOnce: 100 },
  onHalt: 'continue',
  lateJoiners: 'ignore',
  approval: 'one',
  by: 'ann',
}
export const running: RolloutState = { ...initialRollout({ ...plan, approval: 'none' }), chosen: true }
export const back: RolloutState = { ...running, status: 'rolling-back', direction: 'back', back: { which: 'updated', chooseBy: 0 } }

/** What is not said of the total waits. */
export function wave(total: number, counted: Partial<WaveCounts> = {}): WaveCounts {
  const { underway = 0, healthy = 0, failed = 0, left = 0 } = counted
  return { ...EMPTY_WAVE, total, waiting: total - underway - healthy - failed - left, ...counted }
}
export const counts = (...waves: WaveCounts[]): RolloutCounts => ({ waves, ahead: 0 })
