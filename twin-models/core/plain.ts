/** Small helpers on plain JSON. */
import type { JsonObject, Value } from './types.ts'

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

export function isObject(value: Value | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Sets an own property, also one of the name `__proto__`, which an assignment would not make one. */
export function put(object: JsonObject, key: string, value: Value): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  else object[key] = value
}

/** Objects and arrays within each other, more levels of them than these. `{}` is one level, a scalar none. */
export function isDeeper(value: Value, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1))
}

/** Somebody's words, so short, as every store takes them: without U+0000 and halves of surrogate pairs. */
export function words(text: string, limit: number): string {
  return text.slice(0, limit).toWellFormed().replaceAll('\0', '\ufffd')
}
