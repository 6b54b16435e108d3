/**
 * Which readings of a name would change the truth of a comparison of some rule: the wake conditions of rules (docs/architecture.md §3.6).
 *
 * A rule that reads one name alone is looked at as it stands: without an alarm only `when` counts, with one only what clears or worsens it, so
 * noise around the threshold that raised an alarm wakes nobody while it is there. One that reads several names, or other parts of the twin,
 * has to know the truth of each comparison at every moment of another: all of them count always.
 */
import { own } from './plain.ts'
import { type Atom, atomsOf, conditionsOf, isOfOneName, nameOf, namesOf } from './rule-names.ts'
import type { Condition, TwinRule } from './rule-types.ts'
import type { Scalar, TwinState, Value, WakeBounds } from './types.ts'

export function ruleBounds(state: TwinState): { [name: string]: WakeBounds } {
  const bounds: { [name: string]: WakeBounds } = {}
  for (const rule of Object.values(state.rules)) {
    const { late } = own(state.memory, rule.id) ?? {}
    for (const name of namesOf(rule)) narrow(bounds, name, { lateMs: rule.lateMs, ...(late && { freshMs: rule.lateMs }) })
    for (const condition of relevant(state, rule)) {
      for (const atom of atomsOf(condition)) {
        const name = nameOf(atom)
        if (name !== undefined) narrow(bounds, name, boundsOfAtom(atom, own(state.values, name)?.[0]))
      }
    }
  }
  for (const [name, bound] of Object.entries(bounds)) {
    const newest = own(state.values, name)?.[1]
    if (newest !== undefined) bound.newest = newest
  }
  return bounds
}

/** What is inside both. */
export function narrow(bounds: { [name: string]: WakeBounds }, name: string, more: WakeBounds): void {
  const known = own(bounds, name)
  if (!known) {
    bounds[name] = { ...more }
    return
  }
  if (more.low !== undefined && !(known.low! >= more.low)) known.low = more.low
  if (more.high !== undefined && !(known.high! <= more.high)) known.high = more.high
  if (more.lateMs !== undefined && !(known.lateMs! <= more.lateMs)) known.lateMs = more.lateMs
  if (more.freshMs !== undefined && !(known.freshMs! >= more.freshMs)) known.freshMs = more.freshMs
  if (more.typed) known.typed = true
  if ('same' in more) known.same = more.same!
  if (more.newest !== undefined) known.newest = Math.max(known.newest ?? 0, more.newest)
}

function relevant(state: TwinState, rule: TwinRule): Condition[] {
  // Where time alone will raise or clear it, all has to be known at that moment.
  if (!isOfOneName(rule) || own(state.memory, rule.id)?.heldSince !== undefined) return conditionsOf(rule)
  if (!own(state.alarms, rule.id)) return [rule.when]
  return [rule.clear ?? rule.when, ...(rule.worse ?? []).map(({ when }) => when)]
}

/** Any value changes something, as far as one can tell. */
const ANY: WakeBounds = { low: 1, high: 0, typed: true }

/** The values that leave an atom as true or false as it is with `value`. */
function boundsOfAtom(atom: Atom, value: Value | undefined): WakeBounds {
  if (value === undefined) return ofAbsent(atom)
  if (value === null) return { ...ofAbsent(atom), same: null }
  if (typeof value === 'object') return ANY
  if (typeof value !== 'number') return { low: 1, high: 0, same: value }
  // A number may become something else: then it is looked at anew.
  switch (atom.kind) {
    case 'exists':
    case 'like':
      return { typed: true }
    case 'in':
      return { ...between(atom.values, value), typed: true }
    case 'compare':
      return { ...ofComparison(atom, value), typed: true }
  }
}

function ofComparison({ comparison, value: limit }: Extract<Atom, { kind: 'compare' }>, value: number): WakeBounds {
  if (typeof limit !== 'number') return {}
  switch (comparison) {
    case '=':
    case '!=':
      return between([limit], value)
    case '>':
      return value > limit ? { low: next(limit, 1) } : { high: limit }
    case '>=':
      return value >= limit ? { low: limit } : { high: next(limit, -1) }
    case '<':
      return value < limit ? { high: next(limit, -1) } : { low: limit }
    case '<=':
      return value <= limit ? { high: limit } : { low: next(limit, 1) }
  }
}

/** Up to the nearest of these numbers on both sides, or that number alone. */
function between(limits: Scalar[], value: number): WakeBounds {
  const bounds: WakeBounds = {}
  for (const limit of limits) {
    if (typeof limit !== 'number') continue
    if (limit === value) return { low: value, high: value }
    if (limit < value) bounds.low = Math.max(bounds.low ?? -Infinity, next(limit, 1))
    else bounds.high = Math.min(bounds.high ?? Infinity, next(limit, -1))
  }
  return bounds
}

/** Nothing is known yet: a comparison by size is false, and stays so on one side. */
function ofAbsent(atom: Atom): WakeBounds {
  if (atom.kind !== 'compare' || typeof atom.value !== 'number') return ANY
  const { comparison, value: limit } = atom
  if (comparison === '>') return { high: limit, typed: true }
  if (comparison === '>=') return { high: next(limit, -1), typed: true }
  if (comparison === '<') return { low: limit, typed: true }
  if (comparison === '<=') return { low: next(limit, 1), typed: true }
  return ANY
}

/** The next number above (1) or below (-1) it that a double can be. */
function next(number: number, direction: 1 | -1): number {
  if (number === 0) return direction * Number.MIN_VALUE
  const bits = new BigInt64Array(new Float64Array([number]).buffer)
  bits[0]! += number > 0 === direction > 0 ? 1n : -1n
  const [found] = new Float64Array(bits.buffer)
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, found!))
}
