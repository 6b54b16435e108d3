/**
 * The device's word on how it is configured: `{id?, ts?, version?, state, rejected?}`. `state` is a merge patch (RFC 7396): what the model
 * names is held against it value by value, and a wrong one does not spoil the others.
 */
import { withoutNulls } from '../../../twin-models/core/merge-patch.ts'
import { isObject } from '../../../twin-models/core/plain.ts'
import type { JsonObject, Rejections, Value } from '../../../twin-models/core/types.ts'
import type { Part, Report } from '../decode.ts'
import { messageDigest } from '../message-digest.ts'
import { addProblem, type Draft, pointer, shown } from './draft.ts'
import { idOf } from './id.ts'
import { refusesName } from './telemetry.ts'
import { timeOf } from './time.ts'
import { isOfType, MAX_DEPTH, textProblem, valueProblem } from './value.ts'

const MAX_STATE_LENGTH = 32_768
const MAX_LEAVES = 500
const MAX_REJECTED = 200
const MAX_POINTER = 512
const MAX_CODE = 128
const MAX_MESSAGE = 500
const FIELDS = new Set(['id', 'ts', 'ageMs', 'version', 'state', 'rejected'])
/** RFC 6901. '' is all of it. */
const POINTER = /^(?:\/(?:[^/~]|~[01])*)*$/

export function decodeReported(draft: Draft<Part>, json: Value): undefined {
  if (!isObject(json)) return addProblem(draft, 'wrong-type', '', 'must be an object: {"version": …, "state": {"name": value}}')
  const id = idOf(draft, json.id, '/id')
  if (id === null) return
  for (const field in json) {
    if (!FIELDS.has(field)) addProblem(draft, 'unknown-field', pointer(field), `a report has no ${shown(field)}: values stand in state`, id)
  }
  const { version, state = {}, rejected = {} } = json
  if (!isObject(state)) return addProblem(draft, 'wrong-type', '/state', 'must be an object: {"name": value}', id)
  if (json.state === undefined && version === undefined && json.rejected === undefined) {
    return addProblem(draft, 'wrong-type', '/state', 'a report needs a state, or the version that it answers', id)
  }
  // Without its version an answer would count as a change that the device made by itself.
  if (version !== undefined && !isVersion(version)) {
    return addProblem(draft, 'wrong-type', '/version', 'must be the version of the desired state that is answered, a whole number', id)
  }
  const ts = timeOf(draft, json.ts, json.ageMs, '', id)
  if (Number.isNaN(ts)) return
  if (leavesOf(state, 0) > MAX_LEAVES) return addProblem(draft, 'too-many-values', '/state', `more than ${MAX_LEAVES} values`, id)
  const taken = stateOf(draft, state, id)
  if (JSON.stringify(taken).length > MAX_STATE_LENGTH) {
    return addProblem(draft, 'value-too-long', '/state', `its JSON is longer than ${MAX_STATE_LENGTH} characters`, id)
  }
  if (isObject(rejected) && Object.keys(rejected).length > MAX_REJECTED) {
    return addProblem(draft, 'too-many-values', '/rejected', `more than ${MAX_REJECTED} paths`, id)
  }
  const refusals = rejectionsOf(draft, rejected, id)
  const report: Report = { ts, state: taken, ...(version === undefined ? {} : { version }), ...(refusals && { rejected: refusals }) }
  draft.parts.push(id === undefined ? { readings: [], report } : { id, digest: messageDigest('reported', id), readings: [], report })
}

function isVersion(version: Value): version is number {
  return Number.isSafeInteger(version) && (version as number) >= 0
}

function stateOf(draft: Draft<Part>, state: JsonObject, id: string | undefined): JsonObject {
  const taken: JsonObject = {}
  for (const name in state) {
    const value = state[name] as Value
    const property = draft.model.properties.get(name)
    if (property === undefined && refusesName(draft, name, '/state', id)) continue
    // Null removes what was reported.
    const problem = value === null ? undefined : valueProblem(value, MAX_STATE_LENGTH)
    const path = `/state${pointer(name)}`
    if (problem !== undefined) {
      addProblem(draft, problem.reason, path + problem.path, problem.detail, id)
      continue
    }
    const misfit = value === null ? undefined : property?.problemOf(withoutNulls(value))
    if (property === undefined || misfit === undefined) taken[name] = value
    else addProblem(draft, isOfType(property.type, value) ? 'invalid-value' : 'wrong-type', path, `${name} ${shown(misfit)}`, id)
  }
  return taken
}

/** Values that are no objects, and empty objects. Bounded by the depth, beyond which nothing is taken anyway. */
function leavesOf(value: Value, depth: number): number {
  if (!isObject(value) || depth > MAX_DEPTH) return 1
  const members = Object.values(value)
  if (members.length === 0) return depth === 0 ? 0 : 1
  return members.reduce<number>((sum, member) => sum + leavesOf(member, depth + 1), 0)
}

/** Undefined when nothing was refused. */
function rejectionsOf(draft: Draft<Part>, rejected: Value, id: string | undefined): Rejections | undefined {
  if (!isObject(rejected)) {
    return addProblem(draft, 'wrong-type', '/rejected', 'must be an object: {"/path": {"code": …, "message": …}}', id)
  }
  const refusals: Rejections = {}
  for (const path in rejected) {
    const at = `/rejected${pointer(path)}`
    if (path.length > MAX_POINTER || !POINTER.test(path) || textProblem(path) !== undefined) {
      addProblem(draft, 'invalid-name', at, `${JSON.stringify(shown(path))} is no JSON pointer of at most ${MAX_POINTER} characters`, id)
      continue
    }
    const refusal = rejected[path] as Value
    const said = isObject(refusal) ? reasonOf(draft, refusal, at, id) : undefined
    if (said !== undefined) refusals[path] = said
    else addProblem(draft, 'wrong-type', at, `must be {"code": text of at most ${MAX_CODE}, "message": text}`, id)
  }
  return Object.keys(refusals).length === 0 ? undefined : refusals
}

/** The code and the message of `refusal`, as a device words what it will not or cannot do. Undefined when there is no good code. */
export function reasonOf(draft: Draft<Part>, refusal: JsonObject, at: string, id: string | undefined): Rejections[string] | undefined {
  const { code, message } = refusal
  if (typeof code !== 'string' || code === '' || code.length > MAX_CODE || textProblem(code) !== undefined) return undefined
  if (message === undefined || message === null) return { code }
  const problem = typeof message === 'string' ? valueProblem(message, MAX_MESSAGE) : NO_TEXT
  if (problem === undefined) return { code, message: message as string }
  addProblem(draft, problem.reason, `${at}/message`, problem.detail, id)
  return { code }
}

const NO_TEXT = { reason: 'wrong-type', detail: 'must be a text' } as const
