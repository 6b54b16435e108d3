/** Values: what may be stored at all, whatever the model says of it. */
import type { Value } from '../../../twin-models/core/types.ts'
import type { ModelEvent } from '../../../twin-models/model.ts'
import type { Reason } from '../reasons.ts'
import { pointer } from './draft.ts'

/** Characters of a text, or of the JSON of an object or array. */
export const MAX_VALUE_LENGTH = 4_096
export const MAX_DEPTH = 32

export interface ValueProblem {
  reason: Reason
  /** Below the value. */
  path: string
  detail: string
}

/** Undefined when it can be stored. */
export function valueProblem(value: Value, maxLength: number = MAX_VALUE_LENGTH): ValueProblem | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : NOT_FINITE
    case 'boolean':
      return undefined
    case 'string':
      return value.length > maxLength ? tooLong(`the text has ${value.length} characters`, maxLength) : textProblem(value)
  }
  if (value === null) return { reason: 'wrong-type', path: '', detail: 'null is no value: leave the name out' }
  const problem = insideProblem(value, 1)
  if (problem !== undefined) return problem
  const { length } = JSON.stringify(value)
  return length > maxLength ? tooLong(`its JSON has ${length} characters`, maxLength) : undefined
}

/** Of the type that a model names, whatever else the model says of it. */
export function isOfType(type: ModelEvent['type'], value: Value): boolean {
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return typeof value === 'object' && !Array.isArray(value)
  return typeof value === (type === 'integer' ? 'number' : type)
}

const NOT_FINITE: ValueProblem = { reason: 'not-finite', path: '', detail: 'the number is too large for 64 bits' }

export function textProblem(text: string): ValueProblem | undefined {
  if (text.includes('\0')) return { reason: 'invalid-text', path: '', detail: 'the text holds U+0000' }
  return text.isWellFormed() ? undefined : { reason: 'invalid-text', path: '', detail: 'the text holds half of a surrogate pair' }
}

function tooLong(what: string, maxLength: number): ValueProblem {
  return { reason: 'value-too-long', path: '', detail: `${what}, at most ${maxLength} are taken` }
}

/** Of an object or array. Recursion is bounded by the depth. */
function insideProblem(value: Value, depth: number): ValueProblem | undefined {
  if (typeof value === 'string') return textProblem(value)
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : NOT_FINITE
  if (typeof value !== 'object' || value === null) return undefined
  if (depth > MAX_DEPTH) return { reason: 'too-deep', path: '', detail: `it is nested deeper than ${MAX_DEPTH} levels` }
  for (const key of Object.keys(value)) {
    const problem = keyProblem(key) ?? insideProblem((value as { [key: string]: Value })[key] as Value, depth + 1)
    // A path of thirty levels helps nobody: the first few steps do.
    if (problem !== undefined) return depth > 8 ? problem : { ...problem, path: `${pointer(key)}${problem.path}` }
  }
  return undefined
}

function keyProblem(key: string): ValueProblem | undefined {
  if (key === '__proto__') return { reason: 'reserved-name', path: '', detail: '__proto__ is no name' }
  return textProblem(key)
}
