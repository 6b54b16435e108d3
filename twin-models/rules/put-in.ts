/** Conditions as a twin carries them: attributes of the device put in as values, functions under the names of features.ts. */
import { nameOfFeature } from '../core/features.ts'
import { isObject } from '../core/plain.ts'
import type { JsonObject, Value } from '../core/types.ts'
import type { Comparison, Filter, Literal, Path } from '../filter/language.ts'
import { type Call, type Condition, keyOf, type Leaf, leavesOf, type Right, RULE_LIMITS, type Subject } from './language.ts'

/** What can never be true: a comparison with an attribute that is absent. */
const NEVER: Filter = { kind: 'or', terms: [] }

/** The conditions of one rule, for a device with these attributes. Counts that several of them compare are one. */
export function putIn(conditions: Condition[], attributes: JsonObject): Filter[] {
  const counts = countsOf(conditions, attributes)
  return conditions.map((condition) => filterOf(condition, attributes, counts))
}

/** An attribute that may stand for a value. */
function literalAt(attributes: JsonObject, path: Path): Literal | undefined {
  const value = valueAt(attributes, path)
  if (typeof value === 'string') return value.length <= RULE_LIMITS.attribute ? value : undefined
  return typeof value === 'number' || typeof value === 'boolean' ? value : undefined
}

export function valueAt(attributes: JsonObject, [, ...keys]: Path): Value | undefined {
  let value: Value | undefined = attributes
  for (const key of keys) value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  return value
}

/** Up to what a count has to be counted for this comparison to be as true or false as if all were. */
export function countedTo(comparison: Comparison, limit: number): number {
  switch (comparison) {
    case '>=':
    case '<':
      return Math.max(1, Math.ceil(limit))
    case '>':
    case '<=':
      return Math.max(1, Math.floor(limit) + 1)
    case '=':
    case '!=':
      return Number.isInteger(limit) && limit >= 0 ? limit + 1 : 1
  }
}

function countsOf(conditions: Condition[], attributes: JsonObject): Map<string, number> {
  const counts = new Map<string, number>()
  for (const condition of conditions)
    for (const leaf of leavesOf(condition)) {
      const most = mostOf(leaf, attributes)
      if (most !== undefined && most <= RULE_LIMITS.count) counts.set(keyOf(leaf.path), Math.max(most, counts.get(keyOf(leaf.path)) ?? 1))
    }
  return counts
}

function mostOf(leaf: Leaf, attributes: JsonObject): number | undefined {
  if (leaf.kind !== 'compare' || leaf.path.kind !== 'call' || leaf.path.call.name !== 'count') return undefined
  const value = literalOf(leaf.value, attributes)
  return typeof value === 'number' ? countedTo(leaf.comparison, value) : undefined
}

function filterOf(condition: Condition, attributes: JsonObject, counts: Map<string, number>): Filter {
  if ('terms' in condition) return { kind: condition.kind, terms: condition.terms.map((term) => filterOf(term, attributes, counts)) }
  if (condition.kind === 'not') return { kind: 'not', term: filterOf(condition.term, attributes, counts) }
  return leafOf(condition, attributes, counts)
}

function leafOf(leaf: Leaf, attributes: JsonObject, counts: Map<string, number>): Filter {
  const path = pathOf(leaf.path, attributes, counts)
  if (!path) return NEVER
  if (leaf.kind !== 'compare') return { ...leaf, path }
  const value = literalOf(leaf.value, attributes)
  const isNumber = leaf.path.kind === 'call' && leaf.path.call.name !== 'missing'
  if (value === undefined || (isNumber && typeof value !== 'number')) return NEVER
  if ((mostOf(leaf, attributes) ?? 0) > RULE_LIMITS.count) return NEVER
  return { kind: 'compare', path, comparison: leaf.comparison, value }
}

function literalOf(right: Right, attributes: JsonObject): Literal | undefined {
  return right.kind === 'literal' ? right.value : literalAt(attributes, right.path)
}

/** Undefined: an attribute that it needs is absent. */
function pathOf(subject: Subject, attributes: JsonObject, counts: Map<string, number>): Path | undefined {
  if (subject.kind === 'path') return subject.path
  const name = nameOf(subject.call, attributes, counts.get(keyOf(subject)) ?? 1)
  return name === undefined ? undefined : ['telemetry', name, 'value']
}

function nameOf(call: Call, attributes: JsonObject, most: number): string | undefined {
  switch (call.name) {
    case 'change':
    case 'deviation':
    case 'missing':
      return nameOfFeature({ kind: call.name, of: call.of, ms: call.ms })
    case 'health':
      return nameOfFeature({ kind: 'health', of: call.of })
    case 'distance': {
      const from = Array.isArray(call.from) ? placeAt(attributes, call.from) : (call.from as { lat: number; lon: number })
      return from && nameOfFeature({ kind: 'distance', of: call.of, ...from })
    }
    case 'count': {
      const { of, event, only, ms } = call
      const value = only && literalOf(only.value, attributes)
      if (only && value === undefined) return undefined
      return nameOfFeature({
        kind: 'count',
        of,
        event,
        ...(only && { only: { comparison: only.comparison, value: value! } }),
        ms,
        most,
      })
    }
  }
}

function placeAt(attributes: JsonObject, path: Path): { lat: number; lon: number } | undefined {
  const place = valueAt(attributes, path)
  if (!isObject(place)) return undefined
  const { lat, lon } = place
  const isPlace = typeof lat === 'number' && typeof lon === 'number' && Math.abs(lat) <= 90 && Math.abs(lon) <= 180
  return isPlace ? { lat, lon } : undefined
}
