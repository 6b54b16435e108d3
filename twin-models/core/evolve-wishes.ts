/** What events make of desired and reported state. */
import { own } from './plain.ts'
import { applyChanges, isWithin } from './pointer.ts'
import type { Change, TwinEvent, TwinState, WishedLeaf } from './types.ts'

export type WishEvent = Extract<TwinEvent, { kind: `desired-${string}` | 'reported-changed' }>
type Leaves = TwinState['desired']['leaves']

/** Leaves that the device won, and that nobody wishes any more: of so many it stays known. */
const WON_LEAVES = 200

export function evolveWishes(state: TwinState, event: WishEvent): TwinState {
  if (event.kind === 'reported-changed') return { ...state, reported: reportedAfter(state.reported, event.changes, event.ts) }
  return { ...state, desired: desiredAfter(state.desired, event) }
}

function reportedAfter({ state, at }: TwinState['reported'], changes: Change[], ts: number): TwinState['reported'] {
  const times = { ...at }
  for (const { path, after } of changes) {
    if (after === undefined) delete times[path]
    else times[path] = ts
  }
  return { state: applyChanges(state, changes), at: times }
}

function desiredAfter(desired: TwinState['desired'], event: Exclude<WishEvent, { kind: 'reported-changed' }>): TwinState['desired'] {
  const { at, version } = event
  switch (event.kind) {
    case 'desired-changed': {
      const { retryMs: _before, ...others } = desired
      const retry = event.retryMs === undefined ? {} : { retryMs: event.retryMs }
      return { ...others, ...retry, version, state: applyChanges(desired.state, event.changes), leaves: leavesAfter(desired.leaves, event) }
    }
    case 'desired-acknowledged': {
      const leaves = changed(desired.leaves, event.paths, (leaf) => ({ ...leaf, status: 'acknowledged', since: at }))
      return { ...desired, answered: Math.max(desired.answered, version), leaves }
    }
    case 'desired-converged':
      return { ...desired, leaves: changed(desired.leaves, event.paths, (leaf) => statusOf(leaf, 'converged', at)) }
    case 'desired-diverged': {
      const { path, reason, code, message } = event
      const why = { reason, ...(code !== undefined && { code }), ...(message !== undefined && { message }) }
      const leaves = changed(desired.leaves, [path], (leaf) => ({ ...leaf, status: 'diverged', since: at, ...why }))
      if (reason !== 'device') return { ...desired, leaves }
      return { ...desired, state: applyChanges(desired.state, [{ path }]), leaves: boundedWon(leaves) }
    }
    case 'desired-conflict': {
      const { path, winner, deadlineAt } = event
      const leaves = changed(desired.leaves, winner === 'desired' ? [path] : [], (leaf) =>
        leaf.status === 'converged' ? { ...statusOf(leaf, 'pending', at), version, ...(deadlineAt !== undefined && { deadlineAt }) } : leaf,
      )
      return { ...desired, version: Math.max(desired.version, version), leaves }
    }
  }
}

/** What is changed is wished anew. What the device had won there is over. */
function leavesAfter(
  before: Leaves,
  { at, by, version, changes, deadlineAt = {} }: Extract<WishEvent, { kind: 'desired-changed' }>,
): Leaves {
  const leaves = { ...before }
  const wished = changes.filter(({ after }) => after !== undefined)
  for (const { path } of changes) delete leaves[path]
  for (const [path, { reason }] of Object.entries(leaves)) {
    if (reason === 'device' && wished.some((change) => isWithin(change.path, path) || isWithin(path, change.path))) delete leaves[path]
  }
  for (const { path } of wished) {
    const deadline = own(deadlineAt, path)
    leaves[path] = { version, at, by, status: 'pending', since: at, ...(deadline !== undefined && { deadlineAt: deadline }) }
  }
  return leaves
}

function changed(leaves: Leaves, paths: string[], change: (leaf: WishedLeaf) => WishedLeaf): Leaves {
  const after = { ...leaves }
  for (const path of paths) {
    const leaf = own(leaves, path)
    if (leaf) after[path] = change(leaf)
  }
  return after
}

/** Without the deadline and the reasons of the status before. */
function statusOf({ version, at, by }: WishedLeaf, status: WishedLeaf['status'], since: number): WishedLeaf {
  return { version, at, by, status, since }
}

function boundedWon(leaves: Leaves): Leaves {
  const won = Object.entries(leaves).filter(([, { reason }]) => reason === 'device')
  if (won.length <= WON_LEAVES) return leaves
  const oldest = won.reduce((first, other) => (other[1].since < first[1].since ? other : first))
  const { [oldest[0]]: _gone, ...others } = leaves
  return others
}
