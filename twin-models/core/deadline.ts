/** When the twin must look again by itself: one timer is enough, for the earliest of all that has a time. */
import { isOutstanding } from './delta.ts'
import type { TwinState } from './types.ts'

export function nextDeadline({ commands, desired, update }: TwinState): number | undefined {
  let earliest = update?.deadlineAt ?? Infinity
  for (const { expiresAt } of commands) earliest = Math.min(earliest, expiresAt)
  for (const leaf of Object.values(desired.leaves)) {
    if (leaf.deadlineAt !== undefined && isOutstanding(leaf)) earliest = Math.min(earliest, leaf.deadlineAt)
  }
  return earliest === Infinity ? undefined : earliest
}
