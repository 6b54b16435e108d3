/** How a twin was at an earlier time: as it is now, less all that it decided since. */
import { applyChanges } from '../core/pointer.ts'
import type { TwinEvent } from '../core/types.ts'
import type { Standing } from './simulate.ts'

/** `since`: what it decided from then on, in order. `reason`: of the last change of its presence before. */
export function standingBefore(now: Standing, since: TwinEvent[], reason: Standing['presence']['reason'] | undefined): Standing {
  const before = since.toReversed().reduce(without, now)
  const { status } = before.presence
  return { ...before, presence: { ...before.presence, reason: status === 'never' ? 'registered' : (reason ?? before.presence.reason) } }
}

function without(standing: Standing, event: TwinEvent): Standing {
  switch (event.kind) {
    case 'presence-changed':
      return { ...standing, presence: { ...standing.presence, status: event.before } }
    case 'firmware-changed':
      return { ...standing, firmware: event.before }
    case 'health-changed':
      return { ...standing, health: event.before }
    case 'reported-changed': {
      const state = applyChanges(standing.reported.state, event.changes.map(undone))
      return { ...standing, reported: { ...standing.reported, state } }
    }
    case 'desired-changed': {
      const state = applyChanges(standing.desired.state, event.changes.map(undone))
      return { ...standing, desired: { ...standing.desired, state } }
    }
    // The device won there: what was wished was taken out.
    case 'desired-conflict': {
      if (event.winner !== 'device') return standing
      const state = applyChanges(standing.desired.state, [{ path: event.path, after: event.desired }])
      return { ...standing, desired: { ...standing.desired, state } }
    }
    default:
      return standing
  }
}

function undone({ path, before }: { path: string; before?: unknown }): { path: string; after?: never } {
  return { path, ...(before !== undefined && { after: before as never }) }
}
