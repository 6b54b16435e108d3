/** Small helpers on plain JSON. */
import type { Value } from './types.ts'

/** An own property: names come from devices, and `constructor` is a name too. */
export function own<T>(record: { [name: string]: T }, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined
}

/** Same JSON, whatever the order of keys. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [a as { [key: string]: unknown }, b as { [key: string]: unknown }]
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every((key) => Object.hasOwn(right, key) && same(left[key], right[key]))
}

/** Whether a value's JSON is at most so long; scalars are not serialised for it. */
export function isShort(value: Value, limit: number): boolean {
  if (typeof value === 'string') return value.length <= limit
  if (typeof value !== 'object' || value === null) return true
  return JSON.stringify(value).length <= limit
}
