/** Where a device differs from what is wished of it, and what of that it is still to be told. */

import { isObject, own, put, same } from './plain.ts'
import { leavesOf, objectOf, propertyOf } from './pointer.ts'
import type { JsonObject, TwinSettings, TwinState, Value, WishedLeaf, WishRule } from './types.ts'

/** Whether a leaf is as wished. Any object is the empty object that was wished: a merge patch could not tell a device to empty it. */
export function meets(wished: Value, reported: Value | undefined): boolean {
  return isObject(wished) && Object.keys(wished).length === 0 ? isObject(reported) : same(wished, reported)
}

/** All of desired that differs, at any depth, arrays whole: as a merge patch of reported it makes every wished leaf as wished. */
export function deltaOf(desired: JsonObject, reported: JsonObject): JsonObject {
  const delta: JsonObject = {}
  for (const [key, wished] of Object.entries(desired)) {
    const is = own(reported, key)
    if (!isObject(wished)) {
      if (!same(wished, is)) put(delta, key, wished)
    } else if (isObject(is)) {
      const part = deltaOf(wished, is)
      if (Object.keys(part).length > 0) put(delta, key, part)
    } else put(delta, key, wished)
  }
  return delta
}

/** It is pursued: the device is to be told, or has heard and not done it yet. So its reported value differs. */
export function isOutstanding({ status }: WishedLeaf): boolean {
  return status === 'pending' || status === 'acknowledged'
}

/** The outstanding part of desired state, as it is sent; null when there is none. */
export function outstandingOf({ state, leaves }: TwinState['desired']): JsonObject | null {
  const outstanding = [...leavesOf(state)].filter(([path]) => {
    const leaf = own(leaves, path)
    return leaf !== undefined && isOutstanding(leaf)
  })
  return outstanding.length === 0 ? null : objectOf(outstanding)
}

export function ruleOf({ wishes }: TwinSettings, path: string): WishRule | undefined {
  return wishes && own(wishes, propertyOf(path))
}
