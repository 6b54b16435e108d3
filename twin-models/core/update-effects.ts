/** What a decision makes of the rows of its device's updates: one change an update, since one statement changes a row only once. */
import type { UpdateChange, UpdateRelease } from './effects.ts'
import type { UpdateEvent } from './evolve-updates.ts'
import { words } from './plain.ts'
import type { Firmware, OpenUpdate, TwinEvent, TwinState } from './types.ts'
import { hasWaited } from './update-steps.ts'

const TEXT_LENGTH = 200

export function updateChanges({ update }: TwinState, events: TwinEvent[]): UpdateChange[] {
  const changes = new Map<string, UpdateChange>()
  for (const event of events) {
    if (!isOfUpdate(event) || event.kind === 'update-awaited') continue
    const id = event.kind === 'update-requested' ? event.update.id : event.id
    changes.set(id, changed(changes.get(id) ?? { id }, event, update))
  }
  return [...changes.values()]
}

function changed(
  { release: _release, ...before }: UpdateChange,
  event: Exclude<UpdateEvent, { kind: 'update-awaited' }>,
  open: OpenUpdate | null,
): UpdateChange {
  switch (event.kind) {
    case 'update-requested':
      return { ...before, from: stored(event.from) }
    case 'update-released': {
      const { withdraw: _withdraw, ...rest } = before
      // One that ended in the same decision is not told.
      if (open?.id !== event.id) return before
      const change = { ...rest, attempt: event.attempt, release: releaseOf(open, event), from: stored(open.from) }
      // Why it waited is over; why an attempt failed is not.
      return hasWaited(open) ? { ...change, status: 'scheduled' } : change
    }
    case 'update-postponed': {
      const { attempt, code, message } = event
      return { ...withoutWhy(before), status: 'scheduled', attempt, withdraw: true, code, ...(message !== undefined && { message }) }
    }
    case 'update-soaking':
      return { ...withoutWhy(before), status: 'soaking', withdraw: true }
    case 'update-ended': {
      const { status, code, message } = event
      return {
        ...withoutWhy(before),
        status,
        withdraw: true,
        ...(code !== undefined && { code }),
        ...(message !== undefined && { message }),
        // One that ends for any other reason has ended for its device, too.
        ...((status === 'cancelled' || status === 'timed-out') && { tell: true }),
      }
    }
  }
}

function releaseOf({ kind, firmware, installMs }: OpenUpdate, { id, attempt, until }: Extract<UpdateEvent, { kind: 'update-released' }>) {
  return { id, attempt, kind, firmware, until, linkUntil: until + installMs } satisfies UpdateRelease
}

function withoutWhy({ code: _code, message: _message, ...change }: UpdateChange): UpdateChange {
  return change
}

/** As columns take it: it is a device that says it. */
function stored(firmware: Firmware | null): Firmware | null {
  if (!firmware) return null
  const { version, sha256 } = firmware
  return { version: words(version, TEXT_LENGTH), ...(sha256 !== undefined && { sha256: words(sha256, TEXT_LENGTH) }) }
}

function isOfUpdate(event: TwinEvent): event is UpdateEvent {
  return event.kind.startsWith('update-')
}
