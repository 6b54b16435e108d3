/**
 * Repairs of a device. A ticket's is its own: it alone changes and ends it. That of people is one for all of them. The device is in maintenance until the
 * last of them has ended, and while it is, its alarms are muted.
 */
import { byRequest } from './causes.ts'
import { same } from './plain.ts'
import type { Cause, Maintenance, MaintenanceAsk, Repair, TwinEvent, TwinInput, TwinState } from './types.ts'

/** Beside the longest one. Few tickets of a device are in progress at a time: of more than these the shortest are left out. */
const MOST_OTHERS = 20

export function decideMaintenance(state: TwinState, input: Extract<TwinInput, { kind: 'maintenance' }>): TwinEvent[] {
  const { at, request, until, by, ticket, reason } = input
  const repair =
    until !== null && until > at ? { until, by, ...(ticket && { ticket }), ...(reason !== undefined && { reason }) } : undefined
  const known = repairsOf(state.maintenance)
  const before = askedOf(known, input)
  if (same(before, repair)) return []
  const cause = byRequest(request, by)
  const others = known.filter((other) => other !== before && other.until > at)
  const [longest, ...rest] = [...(repair ? [repair] : []), ...others].sort((a, b) => b.until - a.until)
  if (!longest) return maintenanceEnds(state, at, cause)
  const since = state.maintenance?.since ?? at
  const maintenance: Maintenance = { since, ...longest, ...(rest.length > 0 && { others: rest.slice(0, MOST_OTHERS) }) }
  return [{ kind: 'maintenance-changed', at, maintenance, cause }, ...muting(state, true, at, cause)]
}

/** All of them: those that are still there of its alarms are heard. */
export function maintenanceEnds(state: TwinState, at: number, cause: Cause): TwinEvent[] {
  if (!state.maintenance) return []
  return [{ kind: 'maintenance-changed', at, maintenance: null, cause }, ...muting(state, false, at, cause)]
}

function repairsOf(maintenance: Maintenance | null): Repair[] {
  if (!maintenance) return []
  const { since: _, others = [], ...longest } = maintenance
  return [longest, ...others]
}

/** By its name too: of a ticket that began it under an older version nothing else says that it is one. */
function askedOf(known: Repair[], { by, ticket }: MaintenanceAsk): Repair | undefined {
  return known.find((repair) => repair.by === by) ?? (ticket ? undefined : known.find((repair) => !repair.ticket))
}

function muting({ alarms }: TwinState, muted: boolean, at: number, cause: Cause): TwinEvent[] {
  const others = Object.values(alarms).filter((alarm) => (alarm.muted ?? false) !== muted)
  return others.map(({ n, rule }) => ({ kind: 'alarm-updated', at, n, rule, muted, cause }))
}
