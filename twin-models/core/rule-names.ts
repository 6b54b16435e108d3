/** What a rule reads, by name: properties, and functions of readings (features.ts). */
import type { Filter } from '../filter/parse.ts'
import { isFeature } from './features.ts'
import type { Condition, TwinRule } from './rule-types.ts'

export type Atom = Exclude<Filter, { kind: 'and' | 'or' } | { kind: 'not' }>

export function conditionsOf({ when, clear, worse = [] }: TwinRule): Condition[] {
  return [when, ...(clear ? [clear] : []), ...worse.map((step) => step.when)]
}

/** Names of readings: also of those whose range it reads, which changes with them. */
export function namesOf(rule: TwinRule): readonly string[] {
  return factsOf(rule).names
}

/** It reads nothing but the readings of one name. */
export function isOfOneName(rule: TwinRule): boolean {
  const { names, others } = factsOf(rule)
  return names.length === 1 && !others
}

/** Names of functions of readings. */
export function featuresOf(rule: TwinRule): string[] {
  return namesOf(rule).filter(isFeature)
}

/** The comparisons that a condition is made of. */
export function* atomsOf(condition: Condition): Generator<Atom> {
  if ('terms' in condition) for (const term of condition.terms) yield* atomsOf(term)
  else if (condition.kind === 'not') yield* atomsOf(condition.term)
  else yield condition
}

/** The reading whose value an atom looks at. Undefined: another part of the twin. */
export function nameOf({ path }: Atom): string | undefined {
  return path[0] === 'telemetry' ? path[1] : undefined
}

interface Facts {
  names: readonly string[]
  /** It reads other parts of the twin, too. */
  others: boolean
}

/** Rules are carried as they came, so each is looked through once. */
const known = new WeakMap<TwinRule, Facts>()

function factsOf(rule: TwinRule): Facts {
  let facts = known.get(rule)
  if (!facts) {
    const names = new Set<string>()
    let others = false
    for (const condition of conditionsOf(rule))
      for (const atom of atomsOf(condition)) {
        const { path } = atom
        const name = nameOf(atom) ?? (path[0] === 'ranges' ? path[1] : undefined)
        if (path[0] !== 'telemetry') others = true
        if (name !== undefined) names.add(name)
      }
    facts = { names: [...names], others }
    known.set(rule, facts)
  }
  return facts
}
