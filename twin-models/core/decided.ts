/** The decided part of the twin document (docs/architecture.md §10), as `devices.decided` stores it. What is not known is absent. */
import type { Firmware, Health, RangeStatus, TwinState } from './types.ts'

export interface DecidedPart {
  presence: { status: 'never' } | { status: 'online' | 'offline'; since: string; reason: string }
  ranges?: { [name: string]: { status: RangeStatus; since: string; value: number; ts: string } }
  firmware?: Firmware
  health?: Health
}

export function decidedPart(state: TwinState): DecidedPart {
  const { status, since, reason } = state.presence
  const ranges: NonNullable<DecidedPart['ranges']> = {}
  for (const [name, range] of Object.entries(state.ranges)) {
    if (range.newest > 0) ranges[name] = { status: range.status, since: iso(range.since), value: range.value, ts: iso(range.newest) }
  }
  return {
    presence: status === 'never' ? { status } : { status, since: iso(since), reason },
    ...(Object.keys(ranges).length > 0 ? { ranges } : {}),
    ...(state.firmware ? { firmware: state.firmware } : {}),
    ...(state.health ? { health: state.health } : {}),
  }
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}
