/** Decisions on what is wished of a device: which of it is new, what it takes the place of, and what has not come true in time. */
import { BY_TIMER, byRequest } from './causes.ts'
import { isOutstanding, meets, ruleOf } from './delta.ts'
import { mergePatch } from './merge-patch.ts'
import { isDeeper, own } from './plain.ts'
import { changesBetween, isTaken, leavesOf, valueAt } from './pointer.ts'
import type { Change, JsonObject, TwinEvent, TwinInput, TwinState } from './types.ts'

type WishInput = Extract<TwinInput, { kind: 'wish' }>

export const DESIRED_LIMITS = { length: 16 * 1024, leaves: 200, levels: 10 }

export interface WishRefusal {
  refused: 'precondition-failed' | 'too-large'
  detail: string
}

/** The desired state that a wish makes, or why it makes none. */
export function wishedState({ desired }: TwinState, { ifVersion, patch = {}, replace }: WishInput): { state: JsonObject } | WishRefusal {
  if (ifVersion !== undefined && ifVersion !== desired.version) {
    return { refused: 'precondition-failed', detail: `The desired version is ${desired.version}, not ${ifVersion}.` }
  }
  const { length, leaves, levels } = DESIRED_LIMITS
  const tooLarge = (detail: string): WishRefusal => ({ refused: 'too-large', detail })
  if (isDeeper(replace ?? patch, levels)) return tooLarge(`Desired state is at most ${levels} levels deep.`)
  const state = replace ? mergePatch({}, replace) : mergePatch(desired.state, patch)
  if (JSON.stringify(state).length > length) return tooLarge(`Desired state is at most ${length} characters of JSON.`)
  if (leavesOf(state).size > leaves) return tooLarge(`Desired state has at most ${leaves} values.`)
  return { state }
}

export function decideWish(state: TwinState, input: WishInput): TwinEvent[] {
  const wished = wishedState(state, input)
  if ('refused' in wished) return []
  const changes = changesOf(state.desired, wished.state, input)
  if (changes.length === 0) return []
  const { at, by, retryMs } = input
  const cause = byRequest(input.request, by)
  const version = state.desired.version + 1
  const deadlineAt = deadlinesOf(state, input, changes)
  const events: TwinEvent[] = []
  for (const { path } of changes) {
    const leaf = own(state.desired.leaves, path)
    if (!leaf || !isOutstanding(leaf) || !isTaken(wished.state, path)) continue
    events.push({ kind: 'desired-diverged', at, version: leaf.version, path, reason: 'other-writer', by, cause })
  }
  events.push({
    kind: 'desired-changed',
    at,
    version,
    changes,
    by,
    ...(Object.keys(deadlineAt).length > 0 && { deadlineAt }),
    ...(retryMs !== undefined && { retryMs }),
    cause,
  })
  const { state: reported } = state.reported
  const paths = changes.flatMap(({ path, after }) => (after !== undefined && meets(after, valueAt(reported, path)) ? [path] : []))
  if (paths.length > 0) events.push({ kind: 'desired-converged', at, version, paths, cause })
  return events
}

/** What differs, and what had diverged and is wished again though it is the same. */
function changesOf(desired: TwinState['desired'], next: JsonObject, { patch = {}, replace }: WishInput): Change[] {
  const changes = changesBetween(desired.state, next)
  const changed = new Set(changes.map(({ path }) => path))
  for (const path of leavesOf(replace ?? patch).keys()) {
    const value = valueAt(next, path)
    if (value === undefined || changed.has(path) || own(desired.leaves, path)?.status !== 'diverged') continue
    changes.push({ path, before: value, after: value })
  }
  return changes
}

function deadlinesOf({ settings }: TwinState, { at, deadlineMs }: WishInput, changes: Change[]): { [pointer: string]: number } {
  const deadlines: { [pointer: string]: number } = {}
  for (const { path, after } of changes) {
    const ms = deadlineMs ?? ruleOf(settings, path)?.deadlineMs
    if (after !== undefined && ms !== undefined) deadlines[path] = at + ms
  }
  return deadlines
}

/** Wishes whose time is over: they are no longer sent, and come true late if the device does it by itself. */
export function decideDeadlines({ desired }: TwinState, now: number): TwinEvent[] {
  return Object.entries(desired.leaves).flatMap(([path, leaf]): TwinEvent[] => {
    if (!isOutstanding(leaf) || leaf.deadlineAt === undefined || leaf.deadlineAt > now) return []
    return [{ kind: 'desired-diverged', at: now, version: leaf.version, path, reason: 'deadline', cause: BY_TIMER }]
  })
}
