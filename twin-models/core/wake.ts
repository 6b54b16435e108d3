/**
 * Wake conditions: what a twin wants to be woken for at once; everything else may wait (docs/architecture.md §3.6).
 *
 * Three rules that the owner of the inbox keeps, so that a woken twin decides what one fed with every message decides:
 * - a reading that wakes opens its property: from then on its readings are appended as inputs, not merged, until a decision that consumed it;
 * - between a `silent` or offline `hello` that it appended and the answer to it, the next sign of life is appended as `life`, as if `life` were set.
 * - news of reported state, and a wish, open it in the same way: from then on its reports are appended, not dropped.
 */

import { consume } from './consume.ts'
import { isOutstanding } from './delta.ts'
import { toldAt } from './hellos.ts'
import { initialState } from './initial.ts'
import { isChange } from './merge-patch.ts'
import { own } from './plain.ts'
import { isLeft } from './presence.ts'
import { boundsOf } from './ranges.ts'
import { narrow, ruleBounds } from './rule-bounds.ts'
import { dueAt } from './rules.ts'
import type { Reading, TwinInput, TwinSettings, TwinState, Wake } from './types.ts'

/** Longer JSON of reported state is not among the wake conditions: they stand in the row of every device. */
const REPORTED_LENGTH = 4 * 1024

export function wakeOf(state: TwinState): Wake {
  const bounds = ruleBounds(state)
  const due = dueAt(state)
  for (const [name, { status, newest }] of Object.entries(state.ranges)) {
    const range = own(state.settings.ranges, name)
    if (range) narrow(bounds, name, { ...boundsOf(range, status), newest })
  }
  return {
    life: state.presence.status !== 'online',
    presence: state.presence.status,
    ...(state.presence.status === 'offline' ? { offlineSince: state.presence.since, goodbye: isLeft(state.presence) } : {}),
    presenceTimeoutMs: state.settings.presenceTimeoutMs,
    ...restartOf(state.update),
    ...firmwareOf(state.firmware),
    ...(state.health ? { healthOk: state.health.ok } : {}),
    ...toldAt(state),
    bounds,
    ...(due !== undefined && { dueAt: due }),
    ...wishesOf(state.desired),
    ...reportedOf(state.reported.state),
  }
}

function restartOf(update: TwinState['update']): Pick<Wake, 'mayRestart' | 'isBack'> {
  if (update?.phase !== 'released') return {}
  return update.returnsBy === undefined ? { mayRestart: true } : { isBack: true }
}

function firmwareOf(firmware: TwinState['firmware']): Pick<Wake, 'firmware' | 'firmwareSha256'> {
  if (!firmware) return {}
  const { version, sha256 } = firmware
  return { firmware: version, ...(sha256 !== undefined && { firmwareSha256: sha256 }) }
}

function wishesOf({ version, answered, leaves }: TwinState['desired']): Pick<Wake, 'wished' | 'answered' | 'outstanding'> {
  if (version === 0) return {}
  const outstanding = Object.values(leaves).some(isOutstanding)
  return { wished: version, ...(answered > 0 && { answered }), ...(outstanding && { outstanding }) }
}

function reportedOf(reported: TwinState['reported']['state']): Pick<Wake, 'reported'> {
  const isKept = Object.keys(reported).length > 0 && JSON.stringify(reported).length <= REPORTED_LENGTH
  return isKept ? { reported } : {}
}

/** Those of a twin that has decided on these alone, which its first batch begins with: what the owner of the inbox goes by until the first answer. */
export function firstWake(settings: TwinSettings, inputs: TwinInput[] = []): Wake {
  const batch = { messages: 0, lastSeenAt: 0, merged: {}, inputs: [{ kind: 'configured' as const, at: 0, settings }, ...inputs] }
  return wakeOf(consume(initialState(), { seq: 1, batch }, 0).state)
}

/** Called for every reading: keep it small. Without `ts` it counts as news. */
export function wakes(wake: Wake, reading: Pick<Reading, 'name' | 'value'> & { ts?: number; receivedAt?: number }): boolean {
  const bounds = wake.bounds[reading.name]
  if (bounds === undefined || reading.ts! < bounds.newest!) return false
  const { value } = reading
  if (typeof value === 'number' ? value < bounds.low! || value > bounds.high! : 'same' in bounds ? value !== bounds.same : bounds.typed)
    return true
  return reading.receivedAt! - reading.ts! <= bounds.freshMs!
}

/** Whether a twin with these conditions may decide something on a report: it changes what is known, answers a version, or refuses a wish. */
export function isNewsReport(
  wake: Wake,
  { state, version, rejected }: Pick<Extract<TwinInput, { kind: 'reported' }>, 'state' | 'version' | 'rejected'>,
): boolean {
  if (version !== undefined && version > (wake.answered ?? 0) && version <= (wake.wished ?? 0)) return true
  if (wake.outstanding && rejected !== undefined && Object.keys(rejected).length > 0) return true
  return wake.reported ? isChange(wake.reported, state) : Object.keys(state).length > 0
}
