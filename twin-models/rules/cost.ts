/**
 * What a rule costs, in comparisons: a twin makes all of them with each reading that matters to it, and functions of readings are computed with every
 * reading of their property.
 */
import { type Call, type Condition, keyOf, type Leaf, leavesOf } from './language.ts'

const LIKE = 4
const FUNCTIONS: Record<Exclude<Call['name'], 'count'>, number> = { change: 8, deviation: 4, distance: 4, missing: 2, health: 1 }
const COUNT = 4
/** So many times that it keeps cost one comparison. */
const TIMES = 4

/** `countedTo`: of a count, by its key. */
export function costOf(conditions: Condition[], countedTo: (key: string) => number): number {
  const leaves = conditions.flatMap((condition) => [...leavesOf(condition)])
  const calls = new Map(leaves.flatMap(({ path }) => (path.kind === 'call' ? [[keyOf(path), path.call] as const] : [])))
  const ofCalls = [...calls].map(([key, { name }]) => (name === 'count' ? COUNT + Math.ceil(countedTo(key) / TIMES) : FUNCTIONS[name]))
  return [...leaves.map(costOfLeaf), ...ofCalls].reduce((sum, cost) => sum + cost, 0)
}

function costOfLeaf(leaf: Leaf): number {
  if (leaf.kind === 'like') return LIKE
  return leaf.kind === 'in' ? Math.ceil(leaf.values.length / TIMES) : 1
}
