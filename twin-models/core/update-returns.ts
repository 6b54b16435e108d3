/**
 * A device that comes back from its reboot with what it had: that it had begun to install, or to reboot, its twin learns by the way, and then a hello
 * with the firmware of before is news. It has a minute from then on to come with the new one after all: some reconnect shortly before they reboot.
 */
import { BY_TIMER, byMessage } from './causes.ts'
import type { OpenUpdate, TwinEvent, TwinInput, TwinState } from './types.ts'

const RETURN_MS = 60_000

/** Keeps the books on what it says of its update. One that says anything of it after that hello is still at it. */
export function noteStep(state: TwinState, { id, status, at }: Extract<TwinInput, { kind: 'update-step' }>): TwinState {
  const { update } = state
  if (update?.id !== id || update.phase !== 'released') return state
  const { returnsBy, ...same } = update
  if (returnsBy === undefined && update.said !== undefined && isAfter(update.said, status)) return state
  return { ...state, update: { ...same, said: status, saidAt: at } }
}

/** The same, or later on its way. */
export function isAfter(said: 'installing' | 'rebooting', status: 'installing' | 'rebooting'): boolean {
  return said === status || said === 'rebooting'
}

/** What follows from a hello for an update that is let go, besides what it says of presence, firmware and health: that stands in the state. */
export function decideReturn(state: TwinState, { at, status, firmware, messageId }: Extract<TwinInput, { kind: 'hello' }>): TwinEvent[] {
  const { update, presence } = state
  if (update?.phase !== 'released' || status !== 'online' || presence.status !== 'online' || firmware === undefined) return []
  const { id, said, saidAt = 0, returnsBy, deadlineAt } = update
  if (said === undefined || at < saidAt || returnsBy !== undefined || !runsOld(state, update)) return []
  const by = at + RETURN_MS
  return [{ kind: 'update-awaited', at, id, deadlineAt: Math.min(deadlineAt, by), returnsBy: by, cause: byMessage(messageId) }]
}

/** It said that it runs what it had before, and nothing else since. */
export function isBack(state: TwinState, update: OpenUpdate): boolean {
  return update.returnsBy !== undefined && runsOld(state, update)
}

export function awaited({ id }: OpenUpdate, at: number, deadlineAt: number, returnsBy?: number): TwinEvent {
  return { kind: 'update-awaited', at, id, deadlineAt, ...(returnsBy !== undefined && { returnsBy }), cause: BY_TIMER }
}

/** Where both have the same version, their hashes tell them apart. */
function runsOld({ firmware: runs }: Pick<TwinState, 'firmware'>, { from, firmware }: OpenUpdate): boolean {
  if (runs === null || runs.version !== from?.version) return false
  return runs.version !== firmware.version || (runs.sha256 !== undefined && runs.sha256 === from.sha256 && runs.sha256 !== firmware.sha256)
}
