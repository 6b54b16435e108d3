/** When a device may be told of its update, or that it never will be; and the end of an update as an event. */
import { words } from './plain.ts'
import type { Cause, Firmware, OpenUpdate, TwinEvent, TwinState, UpdateRequest } from './types.ts'

type Ended = Extract<TwinEvent, { kind: 'update-ended' }>
export type End = Pick<Ended, 'status' | 'code' | 'message'>
/** It may be told until then; it waits; or it is over. */
export type Next = { until: number } | { waitUntil: number; code?: string } | { end: End }

export const MESSAGE_LENGTH = 500
/** What a device cannot do now, and may later: no attempt is used up. */
export const LATER: ReadonlySet<string> = new Set(['locked', 'low-battery', 'busy'])
/** Somebody repairs the device: what is not let go waits for the end of that. */
export const IN_MAINTENANCE = 'maintenance'
/** Waits that were counted: from there on none is doubled. */
export const MOST_WAITS = 20
const HOUR_MS = 3_600_000

/** Of one that is not let go. */
export function nextOf(update: UpdateRequest | OpenUpdate, { firmware, health, maintenance }: TwinState, at: number): Next {
  const { fromVersions, minBattery, windows, offerUntil } = update
  const over = (end: End): Next => ({ end: endOf(update, end) })
  if (fromVersions && !(firmware && fromVersions.includes(firmware.version))) {
    const message = `This update does not start from ${firmware ? firmware.version : 'an unknown version'}.`
    return over({ status: 'skipped', code: 'from-version', message })
  }
  if (at >= offerUntil) return over({ status: 'timed-out', code: 'away', message: 'It could not be told in time.' })
  // The current one, or the next.
  const [from, until] = windows ? (windows.find(([, until]) => until > at) ?? [Infinity, Infinity]) : [at, Infinity]
  if (from >= offerUntil) return over({ status: 'timed-out', code: 'no-window', message: 'It has no maintenance window left.' })
  if (from > at) return { waitUntil: from }
  // Its end may not have been decided yet.
  if (maintenance && maintenance.until > at) return { waitUntil: Math.min(maintenance.until, offerUntil), code: IN_MAINTENANCE }
  const last = Math.min(until, offerUntil)
  if (minBattery !== undefined && health?.battery !== undefined && health.battery < minBattery)
    return { waitUntil: Math.min(at + waitMs(update, at, last), offerUntil), code: 'low-battery' }
  return { until: last }
}

/**
 * Before it is tried again what costs no attempt: doubled each time, to an hour, so that one that is locked for days is not decided on every
 * minute. Nor more than half of what is left until `until`, of its window and its offer, so that the end of them is not slept through. Never less
 * than the request says.
 */
export function waitMs(update: UpdateRequest | OpenUpdate, at: number, until: number): number {
  const { retryMs } = update
  const waits = 'waits' in update ? (update.waits ?? 0) : 0
  return Math.max(retryMs, Math.min(retryMs * 2 ** waits, HOUR_MS, Math.floor((until - at) / 2)))
}

/** It was let go after it had waited for its device or its window: why it did is no news any more. (It is kept for how it may end.) */
export function hasWaited({ phase, code }: OpenUpdate): boolean {
  return phase === 'released' && code !== undefined && (LATER.has(code) || code === 'window-over')
}

/** `from`: what ran before it. */
export function endedUpdate(update: UpdateRequest, from: Firmware | null, at: number, cause: Cause, end: End): TwinEvent {
  const { id, rollout, firmware } = update
  const { message, ...why } = end
  return {
    kind: 'update-ended',
    at,
    id,
    ...(rollout !== undefined && { rollout }),
    ...why,
    ...(message !== undefined && { message: words(message, MESSAGE_LENGTH) }),
    firmware,
    from,
    cause,
  }
}

/** Of one that its device is not told of any more: so, but one whose attempt failed, and that found no time for another, has failed by that. */
export function endOf(update: UpdateRequest | OpenUpdate, end: End): End {
  if (!('attempt' in update) || update.attempt === 1 || update.code === undefined) return end
  const { code, message } = update
  return { status: 'failed', code, ...(message !== undefined && { message }) }
}
