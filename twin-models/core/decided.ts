/** The decided part of the twin document (docs/architecture.md §10), as `devices.decided` stores it. What is not known is absent. */
import { deltaOf } from './delta.ts'
import type {
  DivergedReason,
  Firmware,
  Health,
  JsonObject,
  Maintenance,
  OpenAlarm,
  OpenUpdate,
  RangeStatus,
  Repair,
  TwinState,
  WishedLeaf,
} from './types.ts'
import { hasWaited } from './update-steps.ts'

export interface DecidedPart {
  presence: { status: 'never' } | { status: 'online' | 'offline'; since: string; reason: string }
  ranges?: { [name: string]: { status: RangeStatus; since: string; value: number; ts: string } }
  firmware?: Firmware
  health?: Health
  update?: UpdatePart
  desired?: { state: JsonObject; version: number; metadata: { [pointer: string]: WishMetadata } }
  reported?: { state: JsonObject; metadata: { [pointer: string]: { ts: string } } }
  /** All of desired that the device is not. */
  delta?: JsonObject
  /** Those that were not cleared, by the name of the rule. */
  alarms?: AlarmPart[]
  maintenance?: MaintenancePart
}

/** The longest of its repairs, and the others. */
export interface MaintenancePart extends RepairPart {
  since: string
  others?: RepairPart[]
}
type RepairPart = Omit<Repair, 'until'> & { until: string }

/** The firmware update that is under way, as the twin knows it. How far its device is stands in REST (`/v1/updates`). */
export interface UpdatePart {
  id: string
  rollout?: string
  firmware: { version: string; sha256: string }
  status: 'scheduled' | 'soaking'
  attempt: number
  /** Asked for, or booted. */
  since: string
  /** When the twin looks at it next. */
  deadline: string
  /** Why the attempt before failed, or why it waits. */
  code?: string
}

export interface AlarmPart extends Omit<OpenAlarm, 'since' | 'raisedAt' | 'acknowledged' | 'shelvedUntil'> {
  status: 'raised' | 'acknowledged'
  since: string
  raisedAt: string
  acknowledged?: { at: string; by: string; note?: string }
  shelvedUntil?: string
}

/** How far a wish has come. */
export interface WishMetadata {
  version: number
  at: string
  by: string
  status: WishedLeaf['status']
  since: string
  deadline?: string
  reason?: DivergedReason
  code?: string
  message?: string
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
    ...(state.update ? { update: updatePart(state.update) } : {}),
    ...wishesOf(state),
    ...reportedOf(state.reported),
    ...alarmsOf(state),
  }
}

function updatePart(update: OpenUpdate): UpdatePart {
  const { id, rollout, firmware, phase, attempt, requestedAt, bootedAt, deadlineAt, code } = update
  return {
    id,
    ...(rollout !== undefined && { rollout }),
    firmware,
    status: phase === 'soaking' ? 'soaking' : 'scheduled',
    attempt,
    since: iso(bootedAt ?? requestedAt),
    deadline: iso(deadlineAt),
    ...(code !== undefined && !hasWaited(update) && { code }),
  }
}

function alarmsOf({ alarms, maintenance }: TwinState): Pick<DecidedPart, 'alarms' | 'maintenance'> {
  const open = Object.values(alarms).sort((a, b) => a.n - b.n)
  return {
    ...(open.length > 0 && { alarms: open.map(alarmPart) }),
    ...(maintenance && { maintenance: maintenancePart(maintenance) }),
  }
}

export function maintenancePart({ since, until, others, ...longest }: Maintenance): MaintenancePart {
  return {
    ...longest,
    since: iso(since),
    until: iso(until),
    ...(others && { others: others.map((other) => ({ ...other, until: iso(other.until) })) }),
  }
}

function alarmPart({ since, raisedAt, shelvedUntil, acknowledged, ...alarm }: OpenAlarm): AlarmPart {
  return {
    ...alarm,
    status: acknowledged ? 'acknowledged' : 'raised',
    since: iso(since),
    raisedAt: iso(raisedAt),
    ...(acknowledged && { acknowledged: { ...acknowledged, at: iso(acknowledged.at) } }),
    ...(shelvedUntil !== undefined && { shelvedUntil: iso(shelvedUntil) }),
  }
}

function wishesOf({ desired, reported }: TwinState): Pick<DecidedPart, 'desired' | 'delta'> {
  const { version, state, leaves } = desired
  if (version === 0) return {}
  const metadata = Object.fromEntries(Object.entries(leaves).map(([path, leaf]) => [path, metadataOf(leaf)]))
  return { desired: { state, version, metadata }, delta: deltaOf(state, reported.state) }
}

function metadataOf({ at, since, deadlineAt, ...leaf }: WishedLeaf): WishMetadata {
  return { ...leaf, at: iso(at), since: iso(since), ...(deadlineAt !== undefined && { deadline: iso(deadlineAt) }) }
}

function reportedOf({ state, at }: TwinState['reported']): Pick<DecidedPart, 'reported'> {
  const times = Object.entries(at)
  if (times.length === 0) return {}
  return { reported: { state, metadata: Object.fromEntries(times.map(([path, ts]) => [path, { ts: iso(ts) }])) } }
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}
