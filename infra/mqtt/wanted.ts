/** What of all that goes down a device has subscribed to. */
import { filterCovers } from '../../api/mqtt/topics.ts'

export interface Wanted {
  desired: boolean
  commands: boolean
  cancels: boolean
  updates: boolean
  updateCancels: boolean
}

export const NOTHING_WANTED: Wanted = { desired: false, commands: false, cancels: false, updates: false, updateCancels: false }

/** By these filters. An id that no command and no update has stands for any. */
export function wantedBy(filters: string[], prefix: string): Wanted {
  const covers = (subtopic: string) => filters.some((filter) => filterCovers(filter, prefix + subtopic))
  return {
    desired: covers('desired'),
    commands: covers('commands/0/request'),
    cancels: covers('commands/0/cancel'),
    updates: covers('updates/0/job'),
    updateCancels: covers('updates/0/cancel'),
  }
}

export function isNothingWanted({ desired, commands, cancels, updates, updateCancels }: Wanted): boolean {
  return !(desired || commands || cancels || updates || updateCancels)
}

/** What one of them wants, or both. */
export function wantedTogether(one: Wanted, other: Wanted): Wanted {
  return {
    desired: one.desired || other.desired,
    commands: one.commands || other.commands,
    cancels: one.cancels || other.cancels,
    updates: one.updates || other.updates,
    updateCancels: one.updateCancels || other.updateCancels,
  }
}
