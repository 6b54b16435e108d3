/**
 * What a device's clock is worth (docs/architecture.md §3.16): how far the newest time of a message lies from its receipt.
 *
 * What is kept is what is stored, and changes only by much: a clock that is steady costs no writes. A message without a time of the
 * device's own says nothing about its clock.
 */
import type { DeviceClock } from '../../twin-models/core/types.ts'
import { BELIEVED_AHEAD_MS, isUnset } from './decoding/draft.ts'

export interface KnownClock extends DeviceClock {
  /** Receipt of the newest message that told of it. Not stored. */
  at: number
}

/** A drift that moved by less is the same. */
const MOVED_MS = 10_000
/** What lies behind may be late instead: that counts as the clock's doing only when it told nothing better for so long. */
const PERHAPS_LATE_MS = 10 * 60_000
/** Times of devices may be any number; this is the greatest of JavaScript's. */
const FARTHEST_MS = 8.64e15

/** `ownTime`: the newest time of a message by the device's own clock. True when what is known of the clock changed. */
export function noteClock(device: { clock: KnownClock | null }, ownTime: number, receivedAt: number): boolean {
  const { clock: known } = device
  if (known !== null && receivedAt < known.at) return false
  const now = seenClock(ownTime, receivedAt, known)
  const { driftMs = 0 } = now
  if (driftMs < -MOVED_MS && known !== null && receivedAt < known.at + PERHAPS_LATE_MS) return false
  if (known?.status === now.status && Math.abs(driftMs - (known.driftMs ?? 0)) <= MOVED_MS) {
    known.at = receivedAt
    return false
  }
  device.clock = now
  return true
}

/** As the row holds it. */
export function clockText(clock: KnownClock | null): string | null {
  if (clock === null) return null
  const { at: _, ...stored } = clock
  return JSON.stringify(stored)
}

function seenClock(ownTime: number, at: number, known: KnownClock | null): KnownClock {
  if (isUnset(ownTime)) return { status: 'unset', at }
  const driftMs = Math.min(ownTime - at, FARTHEST_MS)
  // Who is ahead is so until it no longer is at all: statuses do not flicker.
  return { status: driftMs > (known?.status === 'ahead' ? 0 : BELIEVED_AHEAD_MS) ? 'ahead' : 'ok', driftMs, at }
}
