/**
 * Leaves of a JSON object by JSON pointer (RFC 6901): each value that is no object, and each empty object. An array is one leaf, whole.
 * The leaves say all of an object, so two objects differ by their leaves, and changes of leaves make one of the other.
 */
import { isObject, own, put, same } from './plain.ts'
import type { Change, JsonObject, Value } from './types.ts'

export type Leaves = Map<string, Value>

/** What is nested deeper counts as one leaf: nothing here recurses deeper. */
export const MOST_LEVELS = 32

export function leavesOf(object: JsonObject): Leaves {
  const leaves: Leaves = new Map()
  collect(object, '', MOST_LEVELS, leaves)
  return leaves
}

function collect(object: JsonObject, pointer: string, levels: number, leaves: Leaves): void {
  for (const [key, value] of Object.entries(object)) {
    const path = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (isObject(value) && levels > 1 && Object.keys(value).length > 0) collect(value, path, levels - 1, leaves)
    else leaves.set(path, value)
  }
}

/** The keys that lead there. The pointer to the whole, '', has none. */
export function keysOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The property of the model that it is in. */
export function propertyOf(pointer: string): string {
  return keysOf(pointer)[0] ?? ''
}

export function valueAt(object: JsonObject, pointer: string): Value | undefined {
  let value: Value | undefined = object
  for (const key of keysOf(pointer)) value = isObject(value) ? own(value, key) : undefined
  return value
}

/** There is a value there, or one above that is no object and so leaves no room for it. */
export function isTaken(object: JsonObject, pointer: string): boolean {
  let value: Value = object
  for (const key of keysOf(pointer)) {
    if (!isObject(value)) return true
    const next: Value | undefined = own(value, key)
    if (next === undefined) return false
    value = next
  }
  return true
}

/** It is this one, or lies in it. */
export function isWithin(pointer: string, outer: string): boolean {
  return pointer === outer || pointer.startsWith(`${outer}/`)
}

/** The pointers from here up to the whole, this one first. */
export function upwards(pointer: string): string[] {
  const pointers = [pointer]
  for (let end = pointer.lastIndexOf('/'); end >= 0; end = pointer.lastIndexOf('/', end - 1)) {
    pointers.push(pointer.slice(0, end))
    if (end === 0) break
  }
  return pointers
}

export function changesBetween(before: JsonObject, after: JsonObject): Change[] {
  const [old, fresh] = [leavesOf(before), leavesOf(after)]
  const changes: Change[] = []
  for (const [path, value] of old) if (!fresh.has(path)) changes.push({ path, before: value })
  for (const [path, value] of fresh) {
    const known = old.get(path)
    if (known === undefined) changes.push({ path, after: value })
    else if (!same(known, value)) changes.push({ path, before: known, after: value })
  }
  return changes
}

/** An object that is left without leaves is gone, too. */
export function applyChanges(object: JsonObject, changes: Change[]): JsonObject {
  const leaves = leavesOf(object)
  for (const { path, after } of changes) {
    if (after === undefined) leaves.delete(path)
    else leaves.set(path, after)
  }
  return objectOf(leaves)
}

export function objectOf(leaves: Iterable<[path: string, value: Value]>): JsonObject {
  const object: JsonObject = {}
  for (const [path, value] of leaves) {
    const keys = keysOf(path)
    const last = keys.pop()
    let place = object
    for (const key of keys) {
      const known = own(place, key)
      const next = isObject(known) ? known : {}
      if (next !== known) put(place, key, next)
      place = next
    }
    if (last !== undefined) put(place, last, value)
  }
  return object
}
