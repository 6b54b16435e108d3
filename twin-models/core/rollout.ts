/**
 * A rollout as a pure machine: nextRolloutStep says what is to be done, afterStep what is carried then; a person comes in by steer
 * (rollout-steer.ts). Who uses it counts, starts and waits.
 *
 *   draft ──approve──► running ──────────────────────────────► completed       forward
 *                       │ ▲ │ ▲                 rollback (from running, paused, halted, completed, cancelled)
 *                 pause ▼ │ ▼ │ resume             ▼
 *                     paused halted ◄───────── rolling-back ─► completed       back; paused and halted go on to rolling-back
 *   any but completed ──cancel──► cancelled
 *
 * What is counted. A device of a wave waits, is under way, or has ended: `healthy` (online, the reported version and hash match, healthy all
 * through the soak), `failed` (failed, rolled back, rejected, timed out; silence after the update is a time-out, so a bricked device counts),
 * or `left` (skipped, cancelled, excluded, deleted, decommissioned, away until its offer ran out, no maintenance window). Who `left` is in no
 * share and in no denominator. total = waiting + underway + healthy + failed + left, always.
 *
 * Gate. The next wave begins when healthy >= ⌈gate · counted⌉ in the current one, where counted = total − left − acknowledged: who waits or is
 * under way counts as not healthy yet. So a gate of 0 holds nothing up, one of 1 wants all. A wave with counted = 0 (empty, or all left) is
 * passed at once. `advance` passes the gate of the current wave. What still waits in a wave that was passed is asked before the next wave's.
 *
 * Halt, in the current wave (the last one too), as soon as one of these is true:
 *   - judged >= failures.minimum and failed / judged > failures.share, where failed is less what was acknowledged, judged = healthy + failed;
 *   - failed of all waves, less what was acknowledged, > failures.count (absent: no number is too many);
 *   - healthy + waiting + underway < ⌈gate · counted⌉: the gate is out of reach. So one failure of a wave of one halts, whatever the minimum.
 * It is judged while paused too. Halted or paused it starts nothing, goes on to no wave and does not end. Paused, updates under way go on. Halted,
 * those go on that devices were told of, or are cancelled when onHalt or the person says so (they are `left` then: a resume does not ask them
 * again); what no device was told of yet, since it waits for a window, for a device that is away, or for its next attempt, is cancelled in any
 * case, and its device waits again: a resume asks it anew. Resume of a halted one acknowledges all failures that are counted at that time: they
 * are in no share any more, nor in the gate's denominator. Waves before the current one weigh only in failures.count.
 *
 * Rollback has the same rules over waves of its own: nobody who waits is asked any more, updates under way are cancelled, then those that run
 * what the rollout brought are chosen. A device that installs or reboots cannot be called back: the rollback does not end before it is known
 * what it runs (`ahead`), and if that is the new firmware it joins the last wave. A rollout without devices is completed.
 *
 * The result of a step may be lost, and the step done again: whoever does it sees to it that twice is once.
 */
import { pacedStart, watchMs } from './pacing.ts'
import { gateOf, haltReason } from './rollout-judge.ts'
import type { RolloutCounts, RolloutPlan, RolloutState, RolloutStep } from './rollout-types.ts'
import { summed } from './rollout-waves.ts'

const SOAK_LOOKS = 60
/** Counts, and so a halt, are no later than this while updates are under way. */
const UNDERWAY_LOOK_MS = 10_000

export function initialRollout({ approval, pace }: RolloutPlan): RolloutState {
  return {
    v: 1,
    status: approval === 'none' ? 'running' : 'draft',
    direction: 'forward',
    chosen: false,
    wave: 0,
    pace,
    startedAt: 0,
    idle: 0,
    seen: '',
    acknowledged: { wave: 0, all: 0 },
    joined: false,
  }
}

export function nextRolloutStep(state: RolloutState, plan: RolloutPlan, counts: RolloutCounts, now: number): RolloutStep {
  const step = stepOf(state, plan, counts, now)
  if (step.kind !== 'wait' || step.ms === undefined || !areUnderway(counts)) return step
  return { kind: 'wait', ms: Math.min(step.ms, UNDERWAY_LOOK_MS) }
}

function stepOf(state: RolloutState, plan: RolloutPlan, counts: RolloutCounts, now: number): RolloutStep {
  switch (state.status) {
    case 'draft':
      return { kind: 'wait' }
    case 'completed':
      return { kind: 'done', status: 'completed' }
    case 'cancelled':
      return areUnderway(counts) ? watch(state, plan, counts) : { kind: 'done', status: 'cancelled' }
    case 'halted':
      return areUnderway(counts) ? watch(state, plan, counts) : { kind: 'wait' }
    case 'paused':
      return haltStep(state, plan, counts) ?? (areUnderway(counts) ? watch(state, plan, counts) : { kind: 'wait' })
    case 'running':
    case 'rolling-back':
      return state.chosen ? workStep(state, plan, counts, now) : chooseStep(state, counts, now)
  }
}

/** What is carried when the step was done; `counts` are those that it was decided by. */
export function afterStep(state: RolloutState, step: RolloutStep, counts: RolloutCounts, now: number): RolloutState {
  const { passed: _, ...same } = state
  switch (step.kind) {
    case 'choose':
      return { ...state, chosen: true, idle: 0 }
    case 'start':
      return { ...state, startedAt: now, idle: 0 }
    case 'advance':
      return { ...same, wave: step.to, acknowledged: { ...state.acknowledged, wave: 0 }, idle: 0 }
    case 'join':
      return { ...state, joined: true, idle: 0 }
    case 'halt':
      return { ...same, status: 'halted', reason: step.reason, idle: 0 }
    case 'wait':
      return { ...state, idle: idleLooks(state, counts) + 1, seen: seenOf(counts) }
    case 'done':
      return { ...state, status: step.status }
  }
}

function chooseStep(state: RolloutState, counts: RolloutCounts, now: number): RolloutStep {
  const { direction, back } = state
  if (!back) return { kind: 'choose', direction }
  const leftMs = back.chooseBy - now
  if (counts.ahead === 0 || leftMs <= 0) return { kind: 'choose', direction, which: back.which }
  return { kind: 'wait', ms: Math.min(leftMs, watchMs(idleLooks(state, counts))) }
}

function workStep(state: RolloutState, plan: RolloutPlan, counts: RolloutCounts, now: number): RolloutStep {
  const { waves, ahead } = counts
  const last = waves.length - 1
  const halt = haltStep(state, plan, counts)
  if (halt) return halt
  const doJoin = state.direction === 'back' || plan.lateJoiners === 'join'
  if (state.wave < last && (state.passed || isPassed(state.wave, state.acknowledged.wave))) {
    let to = state.wave + 1
    while (to < last && isPassed(to, 0)) to++
    return { kind: 'advance', to, join: doJoin && to === last }
  }
  const all = summed(waves)
  if (all.waiting === 0 && all.underway === 0) {
    if (ahead > 0) return watch(state, plan, counts)
    return doJoin && !state.joined ? { kind: 'join' } : { kind: 'done', status: 'completed' }
  }
  const open = summed(waves.slice(0, state.wave + 1))
  const able = open.waiting - open.later
  if (able === 0) return watch(state, plan, counts)
  const before = { startedAt: state.startedAt, idle: idleLooks(state, counts) }
  const step = pacedStart(state.pace, { waiting: able, underway: all.underway }, before, now)
  return step.kind === 'start' ? { ...step, wave: state.wave } : step

  function isPassed(wave: number, acknowledged: number): boolean {
    return gateOf(plan.gate, waves[wave]!, acknowledged).reached
  }
}

function haltStep(state: RolloutState, plan: RolloutPlan, { waves }: RolloutCounts): RolloutStep | undefined {
  const reason = state.chosen ? haltReason(plan, state, waves) : undefined
  return reason === undefined ? undefined : { kind: 'halt', reason, cancelRunning: plan.onHalt === 'cancel' }
}

/** A wave that soaks for long needs no look every second. */
function watch(state: RolloutState, { soakMs }: RolloutPlan, counts: RolloutCounts): RolloutStep {
  return { kind: 'wait', ms: Math.max(watchMs(idleLooks(state, counts)), Math.min(soakMs / SOAK_LOOKS, watchMs(Number.POSITIVE_INFINITY))) }
}

/** Looks in a row that found the same: it is looked at ever more seldom while nothing happens. */
function idleLooks(state: RolloutState, counts: RolloutCounts): number {
  return state.seen === seenOf(counts) ? state.idle : 0
}

function seenOf({ waves, ahead }: RolloutCounts): string {
  const { waiting, later, underway, healthy, failed, left } = summed(waves)
  return [waiting, later, underway, healthy, failed, left, ahead].join('/')
}

function areUnderway({ waves, ahead }: RolloutCounts): boolean {
  return ahead > 0 || waves.some(({ underway }) => underway > 0)
}
