/** A filter applied to a twin document in memory. The meaning stands in parse.ts; sql.ts is its twin for stored documents. */
import type { Filter, Literal, Path } from './parse.ts'

export function matches(filter: Filter, document: object): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.terms.every((term) => matches(term, document))
    case 'or':
      return filter.terms.some((term) => matches(term, document))
    case 'not':
      return !matches(filter.term, document)
    case 'exists':
      return (valueAt(document, filter.path) ?? null) !== null
    case 'in': {
      const value = valueAt(document, filter.path)
      return filter.values.some((literal) => value === literal)
    }
    case 'like': {
      const value = valueAt(document, filter.path)
      return typeof value === 'string' && isLike(value, filter.pattern)
    }
    case 'compare': {
      const value = valueAt(document, filter.path)
      switch (filter.comparison) {
        case '=':
          return value === filter.value
        case '!=':
          return value !== filter.value
        default: {
          const order = orderOf(value, filter.value)
          if (order === undefined) return false
          if (filter.comparison === '<') return order < 0
          if (filter.comparison === '<=') return order <= 0
          if (filter.comparison === '>') return order > 0
          return order >= 0
        }
      }
    }
  }
}

function valueAt(document: object, path: Path): unknown {
  let value: unknown = document
  for (const segment of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<string, unknown>)[segment]
  }
  return value
}

/** Undefined where there is no order: absent, or another type. */
function orderOf(value: unknown, literal: Literal): number | undefined {
  if (typeof value === 'number' && typeof literal === 'number') return value < literal ? -1 : value > literal ? 1 : 0
  if (typeof value === 'string' && typeof literal === 'string') return compareCodePoints(value, literal)
  return undefined
}

/** JavaScript orders text by UTF-16 units, which puts U+E000..U+FFFF after everything beyond U+FFFF; UTF-8 bytes, and so Postgres, do not. */
export function compareCodePoints(left: string, right: string): number {
  const shared = Math.min(left.length, right.length)
  for (let index = 0; index < shared; index++) {
    const a = left.charCodeAt(index)
    const b = right.charCodeAt(index)
    if (a !== b) return rank(a) - rank(b)
  }
  return left.length - right.length
}

/** Moves the surrogates above all other units. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

/** Greedy with one point to go back to (the last `%`): at most length × length steps, whatever the pattern. */
function isLike(text: string, pattern: string): boolean {
  const characters = Array.from(text)
  const parts = partsOf(pattern)
  let at = 0
  let part = 0
  let lastAny = -1
  let resume = 0
  while (at < characters.length) {
    const wanted = parts[part]
    if (wanted === ANY) {
      lastAny = part++
      resume = at
    } else if (wanted !== undefined && (wanted === ONE || wanted === characters[at])) {
      part++
      at++
    } else if (lastAny >= 0) {
      part = lastAny + 1
      at = ++resume
    } else {
      return false
    }
  }
  while (parts[part] === ANY) part++
  return part === parts.length
}

const ANY = Symbol('any text')
const ONE = Symbol('any character')

function partsOf(pattern: string): Array<string | symbol> {
  const parts: Array<string | symbol> = []
  let escaped = false
  for (const character of pattern) {
    if (!escaped && character === '\\') {
      escaped = true
      continue
    }
    parts.push(escaped ? character : character === '%' ? ANY : character === '_' ? ONE : character)
    escaped = false
  }
  return parts
}
