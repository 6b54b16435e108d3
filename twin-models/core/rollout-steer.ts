/** How a person steers a rollout: what each thing asked for makes of it, with an answer to read, or why it makes no sense now. */
import type { RolloutAsk, RolloutCounts, RolloutPlan, RolloutReturn, RolloutState, SteerEffects, Steered } from './rollout-types.ts'
import { summed } from './rollout-waves.ts'

/** Forward updates that were cancelled have so long to end before those who go back are chosen. */
const TURN_MS = 60_000
const GOES_ON = 'Updates under way go on.'
const TOLD_GO_ON = 'Updates that devices were told of go on; the other devices wait until it is resumed.'
const CANCELLED = 'Updates under way are cancelled.'
const INTERRUPTED =
  'Its workflow was ended from outside (terminated or cancelled, say), and was started again. Resume it if it is to go on.'
const NOT_CHOSEN = 'Its devices are not chosen yet'

/**
 * `counts` are those of the last look: a resume acknowledges the failures that stand in them. `unusable`: why its firmware must not go to further
 * devices.
 */
export function steer(
  state: RolloutState,
  plan: RolloutPlan,
  ask: RolloutAsk,
  counts: RolloutCounts,
  now: number,
  unusable?: string,
): Steered {
  const refused = refusal(state, plan, ask, counts) ?? (ask.action === 'resume' ? unusableWords(state, unusable) : undefined)
  if (refused !== undefined) return { refused }
  const { reason: _, passed: __, ...same } = state
  const cancelRunning = (('running' in ask && ask.running) || plan.onHalt) === 'cancel'
  const onRunning = cancelRunning ? CANCELLED : GOES_ON
  switch (ask.action) {
    case 'approve':
      return steered({ ...same, status: 'running', approvedBy: ask.by }, 'It is approved and begins.')
    case 'pause':
      return steered({ ...state, status: 'paused' }, `It is paused: no further device is asked. ${GOES_ON}`)
    case 'resume':
      return resumed(state, counts)
    case 'advance':
      return steered(
        { ...state, passed: true },
        `It goes on to wave ${state.wave + 2} without waiting for the gate of wave ${state.wave + 1}.`,
      )
    case 'halt': {
      const reason = (state.status === 'halted' && state.reason) || (ask.interrupted ? INTERRUPTED : 'Somebody halted it.')
      return steered(
        { ...same, status: 'halted', reason },
        `It is halted: no further device is asked. ${cancelRunning ? CANCELLED : TOLD_GO_ON}`,
        {
          ...(cancelRunning && { cancelRunning }),
        },
      )
    }
    case 'cancel': {
      const reason = (state.status === 'cancelled' && state.reason) || 'Somebody cancelled it.'
      const effects: SteerEffects = { dropWaiting: true, ...(cancelRunning && { cancelRunning }) }
      return steered({ ...same, status: 'cancelled', reason }, `It ends: no further device is asked. ${onRunning}`, effects)
    }
    case 'rollback':
      return state.direction === 'back' ? backFurther(state, ask.which, counts, now) : turned(state, ask.which, now)
    case 'pace': {
      const pace = { perSecond: ask.perSecond ?? state.pace.perSecond, atOnce: ask.atOnce ?? state.pace.atOnce }
      return steered({ ...state, pace }, `From now on at most ${pace.perSecond} devices a second, and ${pace.atOnce} under way at once.`)
    }
    case 'exclude':
      return steered(
        state,
        `${ask.device} is left out: it is not asked, and an update of it that is under way is cancelled. One that has ended stays as it is.`,
        {
          exclude: ask.device,
        },
      )
  }
}

function steered(state: RolloutState, answer: string, effects: SteerEffects = {}): Steered {
  return { state: { ...state, idle: 0 }, answer, effects }
}

function turned({ reason: _, passed: __, ...same }: RolloutState, which: RolloutReturn = 'updated', now: number): Steered {
  const back = { which, chooseBy: now + TURN_MS }
  const fresh = { chosen: false, wave: 0, acknowledged: { wave: 0, all: 0 }, joined: false }
  const answer = `It rolls back. ${CANCELLED} ${returning(which)}, in waves.`
  return steered({ ...same, ...fresh, status: 'rolling-back', direction: 'back', back }, answer, { cancelRunning: true, dropWaiting: true })
}

/** On its way back, or at the end of that: those that it was not for, or did not get to since it was cancelled, join its last wave. */
function backFurther({ reason: _, ...same }: RolloutState, asked: RolloutReturn = 'updated', counts: RolloutCounts, now: number): Steered {
  const which = same.back?.which === 'updated' ? 'updated' : asked
  const back = { which, chooseBy: now + TURN_MS }
  const acknowledged = failuresUntilNow(same, counts)
  const answer = `It goes on rolling back. ${returning(which)}: those that it did not ask yet, too, in its last wave.`
  return steered({ ...same, status: 'rolling-back', joined: false, acknowledged, back }, answer)
}

function returning(which: RolloutReturn): string {
  const whom = which === 'updated' ? 'Devices that run the new version' : 'Devices that run the new version and did not end healthy'
  return `${whom} return to their former one`
}

function resumed({ reason: _, ...state }: RolloutState, counts: RolloutCounts): Steered {
  const status = state.direction === 'back' ? 'rolling-back' : 'running'
  if (state.status === 'paused') return steered({ ...state, status }, 'It goes on.')
  const acknowledged = failuresUntilNow(state, counts)
  return steered({ ...state, status, acknowledged }, `It goes on.${acknowledgedWords(acknowledged.all)}`)
}

function failuresUntilNow({ wave }: Pick<RolloutState, 'wave'>, { waves }: RolloutCounts): RolloutState['acknowledged'] {
  return { wave: waves[wave]?.failed ?? 0, all: summed(waves).failed }
}

function acknowledgedWords(failures: number): string {
  if (failures === 0) return ''
  if (failures === 1) return ' The failure until now is acknowledged: it does not halt because of it again.'
  return ` The ${failures} failures until now are acknowledged: it does not halt because of them again.`
}

/** In the UI who approves types a name: however it is written, it is the same person. */
function isSame(one: string, other: string): boolean {
  return plain(one) === plain(other)
}

function plain(name: string): string {
  return name.trim().normalize('NFKC').toLowerCase()
}

/** On the way back it is not its firmware that goes to devices. */
function unusableWords({ direction }: RolloutState, unusable: string | undefined): string | undefined {
  if (direction === 'back' || unusable === undefined) return undefined
  return `It would halt again at once: its firmware must not go to further devices. ${unusable}`
}

function backAlready({ status, back }: RolloutState, which: RolloutReturn = 'updated'): string | undefined {
  if (status === 'cancelled' || (back?.which === 'failed' && which === 'updated')) return undefined
  if (status === 'rolling-back') return 'It rolls back already.'
  const is = `It rolls back already, and is ${status}`
  if (status === 'paused' || status === 'halted') return `${is}: resume it.`
  return `${is}. Who did not come back goes back by an update of the kind rollback.`
}

/** Why it makes no sense now; undefined when it does. */
function refusal(state: RolloutState, plan: RolloutPlan, ask: RolloutAsk, counts: RolloutCounts): string | undefined {
  const { status, direction, chosen } = state
  const { action } = ask
  if (action === 'approve') {
    if (status !== 'draft') return `Only a draft is approved: it is ${status}.`
    return plan.approval === 'four-eyes' && isSame(ask.by, plan.by)
      ? `${plan.by} asked for it: somebody else has to approve it.`
      : undefined
  }
  if (action === 'rollback' && status !== 'draft') {
    if (direction === 'back') return backAlready(state, ask.which)
    return chosen ? undefined : `${NOT_CHOSEN}: nobody has the new version by it.`
  }
  if (status === 'completed') return `It is completed: there is nothing to ${action} any more.`
  if (status === 'cancelled') {
    const stops = action === 'cancel' && ask.running === 'cancel' && (counts.ahead > 0 || summed(counts.waves).underway > 0)
    return stops ? undefined : 'It is cancelled already.'
  }
  if (action === 'cancel' || action === 'pace' || action === 'exclude') return undefined
  if (status === 'draft') return 'It is a draft: approve it or cancel it.'
  const isWorking = status === 'running' || status === 'rolling-back'
  switch (action) {
    case 'pause':
      if (status === 'halted') return 'It is halted: it starts nothing until it is resumed.'
      return isWorking ? undefined : 'It is paused already.'
    case 'resume':
      return isWorking ? `It is neither paused nor halted: it is ${status}.` : undefined
    case 'halt':
      return status === 'halted' && ask.running !== 'cancel' ? 'It is halted already.' : undefined
    case 'advance':
      if (!isWorking) return `It is ${status}: resume it first.`
      if (!chosen) return `${NOT_CHOSEN}.`
      return state.wave >= counts.waves.length - 1 ? 'It is in its last wave: there is no gate to pass.' : undefined
  }
}
