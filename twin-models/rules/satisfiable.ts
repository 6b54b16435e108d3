/**
 * Whether a condition can be true at all, as far as that can be seen: each subject may have any value of its domain, whatever the others have. What
 * is compared with an attribute, or by `like`, may always be true or false: so nothing is called impossible that is not.
 */
import { matches } from '../filter/evaluate.ts'
import type { Filter } from '../filter/language.ts'
import { type Domain, type Sample, samplesOf } from './domain.ts'
import { type Condition, keyOf, type Leaf, leavesOf, type Subject } from './language.ts'

export interface Look {
  /** Of the condition itself or a part of it. `wanted`: true or false. */
  canBe(part: Condition, wanted: boolean): boolean
}

/** Beyond so many alternatives nothing is seen. */
const MOST_ALTERNATIVES = 500

export function lookAt(condition: Condition, domainOf: (subject: Subject) => Domain): Look {
  const bySubject = Map.groupBy(leavesOf(condition), ({ path }) => keyOf(path))
  const known = new Map<Leaf, Known>()
  for (const [key, leaves] of bySubject) {
    const samples = samplesOf(leaves, domainOf(leaves[0]!.path))
    for (const leaf of leaves) known.set(leaf, { key, all: (1n << BigInt(samples.length)) - 1n, mask: maskOf(leaf, samples) })
  }
  return {
    canBe: (part, wanted) => {
      const alternatives = alternativesOf(part, !wanted)
      return alternatives === undefined || alternatives.some((signed) => canAllBe(signed, known))
    },
  }
}

/** A value for which both are true, where both are about one and the same subject and compare it with literals alone. Undefined: none is seen. */
export function shared(
  one: Condition,
  other: Condition,
  domainOf: (subject: Subject) => Domain,
): { subject: Subject; value: Sample } | undefined {
  const leaves = [...leavesOf(one), ...leavesOf(other)]
  const subject = leaves[0]!.path
  if (leaves.some(({ path }) => keyOf(path) !== keyOf(subject)) || leaves.some(isOfAttribute)) return undefined
  for (const value of samplesOf(leaves, domainOf(subject))) if (isTrueOf(one, value) && isTrueOf(other, value)) return { subject, value }
  return undefined
}

interface Known {
  /** Of its subject. */
  key: string
  /** One bit for each sample of the subject, and those of which it is true. Undefined: that is not known. */
  all: bigint
  mask: bigint | undefined
}

interface Signed {
  leaf: Leaf
  isNegated: boolean
}

function maskOf(leaf: Leaf, samples: Sample[]): bigint | undefined {
  if (isOfAttribute(leaf)) return undefined
  return samples.reduce<bigint>((mask, value, i) => (isTrueOf(leaf, value) ? mask | (1n << BigInt(i)) : mask), 0n)
}

/** Each is true when all of its comparisons are as they are signed. Undefined: too many. */
function alternativesOf(condition: Condition, isNegated: boolean): Signed[][] | undefined {
  if (condition.kind === 'not') return alternativesOf(condition.term, !isNegated)
  if (!('terms' in condition)) return [[{ leaf: condition, isNegated }]]
  const isOr = (condition.kind === 'or') !== isNegated
  let found: Signed[][] = isOr ? [] : [[]]
  for (const term of condition.terms) {
    const alternatives = alternativesOf(term, isNegated)
    if (!alternatives || (isOr ? found.length + alternatives.length : found.length * alternatives.length) > MOST_ALTERNATIVES)
      return undefined
    found = isOr ? [...found, ...alternatives] : found.flatMap((before) => alternatives.map((after) => [...before, ...after]))
  }
  return found
}

function canAllBe(all: Signed[], known: Map<Leaf, Known>): boolean {
  const bySubject = Map.groupBy(all, ({ leaf }) => known.get(leaf)!.key)
  return [...bySubject.values()].every((signed) => {
    // Samples do not show all that `like` tells apart, unless a value is named.
    const isNamed = signed.some(namesValue)
    let possible = known.get(signed[0]!.leaf)!.all
    for (const { leaf, isNegated } of signed) {
      const { mask, all } = known.get(leaf)!
      if (mask !== undefined && (leaf.kind !== 'like' || isNamed)) possible &= isNegated ? all & ~mask : mask
    }
    return possible !== 0n
  })
}

function isOfAttribute(leaf: Leaf): boolean {
  return leaf.kind === 'compare' && leaf.value.kind === 'attribute'
}

function namesValue({ leaf, isNegated }: Signed): boolean {
  if (leaf.kind === 'in') return !isNegated
  return leaf.kind === 'compare' && !isOfAttribute(leaf) && leaf.comparison === (isNegated ? '!=' : '=')
}

function isTrueOf(condition: Condition, value: Sample): boolean {
  return matches(plain(condition), value === undefined ? {} : { value })
}

/** Over a document that is the one value. Comparisons with attributes are not asked. */
function plain(condition: Condition): Filter {
  if ('terms' in condition) return { kind: condition.kind, terms: condition.terms.map(plain) }
  if (condition.kind === 'not') return { kind: 'not', term: plain(condition.term) }
  if (condition.kind !== 'compare') return { ...condition, path: ['value'] }
  const value = condition.value.kind === 'literal' ? condition.value.value : false
  return { kind: 'compare', path: ['value'], comparison: condition.comparison, value }
}
