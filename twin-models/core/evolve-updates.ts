/** What an event makes of a twin's update (updates.ts), and what its device's coming and going does to one. */
import type { OpenAlarm, OpenUpdate, TwinEvent, TwinState } from './types.ts'
import { LATER, MOST_WAITS } from './update-steps.ts'

export type UpdateEvent = Extract<TwinEvent, { kind: `update-${string}` }>
type PresenceChanged = Extract<TwinEvent, { kind: 'presence-changed' }>

const ENDED_UPDATES = 5

export function evolveUpdates(state: TwinState, event: UpdateEvent): TwinState {
  if (event.kind === 'update-requested') return state.update === null ? { ...state, update: requested(event) } : state
  if (event.kind === 'update-ended') {
    const { id, status, at, firmware, code } = event
    const ended = { id, status, version: firmware.version, at, ...(code !== undefined && { code }) }
    return {
      ...state,
      update: state.update?.id === id ? null : state.update,
      endedUpdates: [ended, ...state.endedUpdates].slice(0, ENDED_UPDATES),
    }
  }
  return state.update?.id === event.id ? { ...state, update: moved(state, state.update, event) } : state
}

/**
 * A device that may be told and comes back is expected to be told, and to install, from then on. One that soaks and falls silent begins its soak
 * anew when it is back; one that said goodbye sleeps, and its soak goes on.
 */
export function updateOnPresence(update: OpenUpdate, { at, after, reason }: PresenceChanged): OpenUpdate {
  const { phase, deadlineAt, installMs, soakMs } = update
  if (phase === 'waiting') return update
  if (phase === 'released') return after === 'online' ? { ...update, deadlineAt: Math.min(deadlineAt, at + installMs) } : update
  const { soakingSince, ...rest } = update
  if (after === 'online')
    return soakingSince === undefined ? { ...rest, soakingSince: at, deadlineAt: Math.min(at + soakMs, giveUpAt(update)) } : update
  return reason === 'goodbye' ? update : { ...rest, deadlineAt: giveUpAt(update) }
}

/** It is there, or it sleeps: said goodbye by itself. */
export function isThere({ status, reason }: TwinState['presence']): boolean {
  return status === 'online' || (status === 'offline' && reason === 'goodbye')
}

export function criticalAlarms({ alarms }: Pick<TwinState, 'alarms'>): OpenAlarm[] {
  return Object.values(alarms).filter(({ severity }) => severity === 'critical')
}

export function giveUpAt({ giveUpAt = 0 }: OpenUpdate): number {
  return giveUpAt
}

function requested({ at, update, from, deadlineAt }: Extract<UpdateEvent, { kind: 'update-requested' }>): OpenUpdate {
  return { ...update, requestedAt: at, from, attempt: 1, phase: 'waiting', deadlineAt }
}

function moved(
  state: TwinState,
  update: OpenUpdate,
  event: Exclude<UpdateEvent, { kind: 'update-requested' | 'update-ended' }>,
): OpenUpdate {
  const { firmware, presence } = state
  const { deadlineAt } = event
  const { returnsBy: _returnsBy, ...known } = update
  if (event.kind === 'update-awaited') return { ...known, deadlineAt, ...(event.returnsBy !== undefined && { returnsBy: event.returnsBy }) }
  const { said: _said, saidAt: _saidAt, ...withoutSteps } = known
  const { until: _until, code: _code, message: _message, ...rest } = withoutSteps
  switch (event.kind) {
    case 'update-released': {
      const { attempt, until } = event
      // While it waited another may have put something else on it.
      return { ...withoutSteps, phase: 'released', from: firmware, attempt, until, deadlineAt }
    }
    case 'update-postponed': {
      const { attempt, code, message } = event
      const { waits: before = 0, ...same } = rest
      const waits = attempt === rest.attempt ? Math.min(before + (LATER.has(code) ? 1 : 0), MOST_WAITS) : 0
      return {
        ...same,
        ...(waits > 0 && { waits }),
        phase: 'waiting',
        attempt,
        deadlineAt,
        code,
        ...(message !== undefined && { message }),
      }
    }
    case 'update-soaking': {
      const criticalBefore = criticalAlarms(state).map(({ n }) => n)
      return {
        ...rest,
        phase: 'soaking',
        deadlineAt,
        bootedAt: event.at,
        giveUpAt: event.giveUpAt,
        ...(isThere(presence) && { soakingSince: event.at }),
        ...(criticalBefore.length > 0 && { criticalBefore }),
      }
    }
  }
}
