/** Whether a wish may be written: its properties are the model's and writable, what results fits the model, and stays within bounds. */
import { mergePatch } from '../../twin-models/core/merge-patch.ts'
import { isDeeper, isObject, own } from '../../twin-models/core/plain.ts'
import { leavesOf } from '../../twin-models/core/pointer.ts'
import type { JsonObject, Value } from '../../twin-models/core/types.ts'
import { DESIRED_LIMITS } from '../../twin-models/core/wishes.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { problemAt } from './refusals.ts'

export type Wish = { patch: JsonObject } | { replace: JsonObject }

/** The desired and the reported state as they stand; another wish may come before, so the twin checks what depends on it. */
export interface Standing {
  state: JsonObject
  reported: JsonObject
}

export function checkWish(model: DeviceModel, standing: Standing, wish: Wish): void {
  const problems =
    'patch' in wish
      ? Object.entries(wish.patch).flatMap(([name, value]) => patchProblems(model, standing, name, value))
      : Object.entries(wish.replace).flatMap(([name, value]) => valueProblems(model, standing, name, value))
  if (problems.length > 0) {
    const shown = problems.slice(0, 20)
    const sentence = shown.map(({ path, detail }) => `${path} ${detail}`).join('; ')
    throw new CastorError('invalid', `This cannot be wished: ${sentence}.`, { errors: shown })
  }
  checkBounds('patch' in wish ? mergePatch(standing.state, wish.patch) : wish.replace)
}

type Problem = { path: string; detail: string }

function patchProblems(model: DeviceModel, standing: Standing, name: string, value: Value): Problem[] {
  const before = own(standing.state, name)
  // What is no longer writable, since the model changed, can still be taken back.
  if (value === null && before !== undefined) return []
  if (value === null) return model.properties.get(name)?.writable ? [] : [notWritable(model, name)]
  return valueProblems(model, standing, name, mergePatch(before, value))
}

/** A part of an object is no mistake where the device has the rest: it is told by a merge patch, too, so what it makes of that must fit. */
function valueProblems(model: DeviceModel, { reported }: Standing, name: string, value: Value): Problem[] {
  const property = model.properties.get(name)
  if (!property?.writable) return [notWritable(model, name)]
  const has = own(reported, name)
  const problem = property.problemOf(value) && property.problemOf(isObject(has) ? mergePatch(has, value) : value)
  if (problem !== undefined) return [problemAt(pointer('', name), problem)]
  const at = nullIn(value, pointer('', name))
  return at === undefined ? [] : [{ path: at, detail: 'is null, which a device cannot report: leave it out' }]
}

function notWritable(model: DeviceModel, name: string): Problem {
  const writable = [...model.properties.values()].filter((property) => property.writable).map((property) => property.name)
  const known = writable.length === 0 ? 'it has none' : `it has ${writable.join(', ')}`
  return { path: pointer('', name), detail: `is no writable property of the model ${model.name}; ${known}` }
}

/** A device reports by merge patches, where null removes. Lists are whole, and may hold it. */
function nullIn(value: Value, path: string): string | undefined {
  if (value === null) return path
  if (typeof value !== 'object' || Array.isArray(value)) return undefined
  for (const [key, inner] of Object.entries(value)) {
    const found = nullIn(inner, pointer(path, key))
    if (found !== undefined) return found
  }
  return undefined
}

/** The twin holds to the same. */
function checkBounds(state: JsonObject): void {
  const { length, leaves, levels } = DESIRED_LIMITS
  if (isDeeper(state, levels)) throw tooLarge('invalid', `deeper than ${levels} levels`)
  if (leavesOf(state).size > leaves) throw tooLarge('too-large', `of more than ${leaves} values`)
  if (JSON.stringify(state).length > length) throw tooLarge('too-large', `longer than ${length} characters of JSON`)
}

function tooLarge(code: 'invalid' | 'too-large', detail: string): CastorError {
  return new CastorError(code, `The whole desired state would be ${detail}.`, { errors: [{ path: '', detail: `would be ${detail}` }] })
}

function pointer(above: string, key: string): string {
  return `${above}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
}
