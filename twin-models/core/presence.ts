/**
 * Presence: `online`, `offline` or `never`, with since when and why.
 *
 * Any sign of life makes a device online; its own goodbye, its last will, silence found by the lanes or by the backstop make it offline.
 * A closed connection alone decides nothing (docs/architecture.md §3.7).
 */
import type { Cause, PresenceReason, PresenceStatus, TwinEvent, TwinState } from './types.ts'

type Presence = TwinState['presence']

export function signOfLife(presence: Presence, at: number, reason: PresenceReason, cause: Cause): TwinEvent[] {
  if (presence.status === 'online') return []
  // What was received before a goodbye, or before what the backstop looked at, and is only told of after it, is no return.
  if (isLeft(presence) && at < presence.since) return []
  return [changed(presence, 'online', at, reason, cause)]
}

export function goodbye(presence: Presence, at: number, will: boolean, cause: Cause): TwinEvent[] {
  if (presence.status === 'offline' || at < presence.since) return []
  return [changed(presence, 'offline', at, will ? 'will' : 'goodbye', cause)]
}

/** `lastSeenAt` is what the silence was counted from: a later sign of life voids it. */
export function silence(presence: Presence, at: number, lastSeenAt: number): TwinEvent[] {
  if (presence.status !== 'online' || presence.lastSeenAt > lastSeenAt) return []
  return [changed(presence, 'offline', at, 'silence', { by: 'lane' })]
}

/** `at` is how far the lane has looked: silence is proven only up to there, whatever the clock says. */
export function backstop(
  presence: Presence,
  at: number,
  lastSeenAt: number,
  connected: boolean,
  timeoutMs: number,
  now: number,
): TwinEvent[] {
  const seen = Math.max(presence.lastSeenAt, lastSeenAt)
  if (presence.status !== 'online' || connected || Math.min(at, now) - seen <= timeoutMs) return []
  return [changed(presence, 'offline', Math.min(at, now), 'backstop', { by: 'timer' })]
}

function changed(presence: Presence, after: PresenceStatus, at: number, reason: PresenceReason, cause: Cause): TwinEvent {
  return { kind: 'presence-changed', at: Math.max(at, presence.since), before: presence.status, after, reason, cause }
}

/** Offline, and what was received before it is older news than that. */
export function isLeft({ status, reason }: Presence): boolean {
  return status === 'offline' && (reason === 'goodbye' || reason === 'will' || reason === 'backstop')
}
