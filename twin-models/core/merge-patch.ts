/** JSON merge patch (RFC 7396). Its keys come from outside, and any name is a name like others. Nothing that is given is changed. */

import { isObject, own, put, same } from './plain.ts'
import { MOST_LEVELS } from './pointer.ts'
import type { JsonObject, Value } from './types.ts'

export function mergePatch(target: Value | undefined, patch: JsonObject): JsonObject
export function mergePatch(target: Value | undefined, patch: Value): Value
export function mergePatch(target: Value | undefined, patch: Value): Value {
  return isObject(patch) ? merged(isObject(target) ? target : {}, patch, MOST_LEVELS) : patch
}

/** What is nested deeper than these levels replaces what was there: callers have looked at the depth before. */
function merged(target: JsonObject, patch: JsonObject, levels: number): JsonObject {
  const result = { ...target }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else if (isObject(value) && levels > 1) {
      const known = own(target, key)
      put(result, key, merged(isObject(known) ? known : {}, value, levels - 1))
    } else put(result, key, value)
  }
  return result
}

/** What a patch makes of nothing: in objects null removes; arrays are taken whole. Callers have looked at the depth before. */
export function withoutNulls(patch: JsonObject): JsonObject
export function withoutNulls(patch: Value): Value
export function withoutNulls(patch: Value): Value {
  if (!isObject(patch)) return patch
  const kept: JsonObject = {}
  for (const [name, value] of Object.entries(patch)) if (value !== null) put(kept, name, withoutNulls(value))
  return kept
}

/** Whether a patch would change anything. It makes nothing, since it is asked of every report. */
export function isChange(target: JsonObject, patch: JsonObject, levels = MOST_LEVELS): boolean {
  for (const key in patch) {
    if (!Object.hasOwn(patch, key)) continue
    const value = patch[key]!
    const known = own(target, key)
    if (value === null) {
      if (known !== undefined) return true
    } else if (isObject(value)) {
      if (levels <= 1 || !isObject(known) || isChange(known, value, levels - 1)) return true
    } else if (!same(known, value)) return true
  }
  return false
}
