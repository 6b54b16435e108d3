/** Which values a subject can have, as far as one can tell, and a value of each kind that comparisons tell apart. */
import { compareCodePoints } from '../filter/evaluate.ts'
import type { Literal } from '../filter/language.ts'
import type { DataType, DeviceModel } from '../model.ts'
import { type Leaf, RULE_LIMITS, type Subject } from './language.ts'
import { RANGE_WORDS, readableAt } from './readable.ts'

/** Undefined: absent. `{}`: anything that is compared with nothing. */
export type Sample = Literal | undefined | object

export interface Domain {
  accepts(value: Sample): boolean
  /** Where it begins and ends, or all that it has. */
  points: Literal[]
}

export const ANYTHING: Domain = { accepts: () => true, points: [] }

/** `model`: the one that the rule is for, where there is only one. */
export function domainOf(subject: Subject, model: DeviceModel | undefined): Domain {
  if (subject.kind === 'call') return domainOfCall(subject.call.name)
  const readable = readableAt(subject.path)
  if (typeof readable === 'string') return ANYTHING
  switch (readable.kind) {
    case 'telemetry':
      return domainOfProperty(model, readable.of)
    case 'range':
      return among(RANGE_WORDS)
    case 'words':
      return readable.words ? among(readable.words) : ofTypes('string')
    case 'flag':
      return ofTypes('boolean')
    default:
      return ANYTHING
  }
}

/** Half around the earth, in whole metres. */
const FARTHEST_METRES = 20_015_115

/** One for each range of values that these comparisons of one subject tell apart, the literals themselves first. */
export function samplesOf(leaves: Leaf[], { accepts, points }: Domain): Sample[] {
  const literals: Literal[] = [...points]
  for (const leaf of leaves) {
    if (leaf.kind === 'in') literals.push(...leaf.values)
    if (leaf.kind === 'compare' && leaf.value.kind === 'literal') literals.push(leaf.value.value)
  }
  const numbers = numbersAround(literals.filter((literal) => typeof literal === 'number'))
  const texts = literals.filter((literal) => typeof literal === 'string').toSorted(compareCodePoints)
  const samples: Sample[] = [...numbers, ...texts, ...texts.map((text) => `${text}\u0001`), '', true, false, {}, undefined]
  return [...new Set(samples)].filter(accepts)
}

function numbersAround(limits: number[]): number[] {
  const sorted = [...new Set(limits)].sort((a, b) => a - b)
  const [first = 0, last = 0] = [sorted[0], sorted.at(-1)]
  const between = [-Number.MAX_VALUE, first - 1, ...sorted, last + 1, Number.MAX_VALUE]
  const middles = between.slice(1).map((limit, i) => limit / 2 + between[i]! / 2)
  return [...sorted, ...between, ...middles, ...middles.flatMap((middle) => [Math.floor(middle), Math.ceil(middle)])]
}

function domainOfCall(name: string): Domain {
  switch (name) {
    case 'missing':
      return ofTypes('boolean', false)
    case 'count':
      return { accepts: (value) => isIntegerFrom0(value) && (value as number) <= RULE_LIMITS.count, points: [0, RULE_LIMITS.count] }
    case 'distance':
      return { accepts: (value) => value === undefined || isWithin(value, FARTHEST_METRES), points: [0, FARTHEST_METRES] }
    case 'deviation':
      return { accepts: (value) => value === undefined || isWithin(value, Infinity), points: [0] }
    default:
      return ofTypes('number')
  }
}

function isWithin(value: Sample, most: number): boolean {
  return typeof value === 'number' && value >= 0 && value <= most
}

function isIntegerFrom0(value: Sample): boolean {
  return Number.isInteger(value) && (value as number) >= 0
}

function among(words: readonly string[]): Domain {
  return { accepts: (value) => typeof value === 'string' && words.includes(value), points: [...words] }
}

function ofTypes(type: string, mayBeAbsent = true): Domain {
  return { accepts: (value) => (value === undefined ? mayBeAbsent : typeof value === type), points: [] }
}

const TYPES: Record<DataType, string> = {
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  string: 'string',
  object: 'object',
  array: 'object',
}
const BOUNDS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']
/** Words that narrow values in ways that samples cannot show. */
const OTHERS = ['oneOf', 'allOf', 'anyOf', 'not', 'pattern', 'minLength', 'maxLength', 'multipleOf', 'format']

function domainOfProperty(model: DeviceModel | undefined, name: string): Domain {
  const property = model?.properties.get(name)
  if (!model || !property) return ANYTHING
  const affordances = model.thingModel.properties as { [name: string]: { [word: string]: unknown } }
  const schema = affordances[name] ?? {}
  if (OTHERS.some((word) => word in schema)) return ofTypes(TYPES[property.type])
  const all = [...BOUNDS.map((word) => schema[word]), schema.const, ...(Array.isArray(schema.enum) ? schema.enum : [])]
  return {
    accepts: (value) => value === undefined || (typeof value !== 'object' && property.problemOf(value) === undefined),
    points: all.filter((point) => typeof point === 'number' || typeof point === 'string' || typeof point === 'boolean'),
  }
}
