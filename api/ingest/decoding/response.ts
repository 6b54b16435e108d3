/** What a device says of a command: `{status, progress?, output?, code?, message?, id?, ts?}`. The topic names the command. */
import { isObject } from '../../../twin-models/core/plain.ts'
import type { DeviceAnswer, JsonObject, Value } from '../../../twin-models/core/types.ts'
import type { Part } from '../decode.ts'
import { messageDigest } from '../message-digest.ts'
import { addProblem, type Draft, pointer, shown } from './draft.ts'
import { idOf } from './id.ts'
import { reasonOf } from './reported.ts'
import { timeOf } from './time.ts'
import { type ValueProblem, valueProblem } from './value.ts'

export interface Response {
  command: string
  word: Underway | DeviceAnswer
}

export interface Underway {
  status: 'acknowledged' | 'running'
  /** JSON. Null: nothing was said. */
  progress: string | null
}

const MAX_PROGRESS_LENGTH = 1_024
const MAX_OUTPUT_LENGTH = 32_768
const FIELDS = new Set(['id', 'ts', 'ageMs', 'status', 'progress', 'output', 'code', 'message'])
const STATUSES = ['acknowledged', 'running', 'succeeded', 'failed']
/** As we make them: nothing else names a command. */
const COMMAND_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function decodeResponse(draft: Draft<Part>, json: Value): undefined {
  const command = draft.message.name ?? ''
  if (!COMMAND_ID.test(command)) return addProblem(draft, 'unknown-command', '', `there is no command ${JSON.stringify(shown(command))}`)
  if (!isObject(json)) return addProblem(draft, 'wrong-type', '', 'must be an object: {"status": "succeeded"}')
  const id = idOf(draft, json.id, '/id')
  if (id === null) return
  const word = wordOf(draft, json, id)
  if (word === undefined) return
  for (const field in json) {
    if (!FIELDS.has(field)) addProblem(draft, 'unknown-field', pointer(field), `a response has no ${shown(field)}`, id)
  }
  // A time that is wrong is noted, and takes nothing from what became of the command.
  timeOf(draft, json.ts, json.ageMs, '', id)
  const response: Response = { command, word }
  // Devices may number their words on each command anew.
  if (id === undefined) draft.parts.push({ readings: [], response })
  else draft.parts.push({ id, digest: messageDigest(`response ${command}`, id), readings: [], response })
}

function wordOf(draft: Draft<Part>, json: JsonObject, id: string | undefined): Response['word'] | undefined {
  const { status } = json
  switch (status) {
    case 'acknowledged':
    case 'running':
      return { status, progress: progressOf(draft, json.progress, id) }
    case 'succeeded':
      return succeeded(draft, json.output, id)
    case 'failed':
      return failed(draft, json, id)
  }
  return addProblem(draft, 'wrong-type', '/status', `must be one of ${STATUSES.join(', ')}`, id)
}

function progressOf(draft: Draft<Part>, progress: Value | undefined, id: string | undefined): string | null {
  if (progress === undefined || progress === null) return null
  const problem = progressProblem(progress)
  if (problem === undefined) return JSON.stringify(progress)
  addProblem(draft, problem.reason, `/progress${problem.path}`, problem.detail, id)
  return null
}

function progressProblem(progress: Value): ValueProblem | undefined {
  if (typeof progress === 'boolean' || Array.isArray(progress)) {
    return { reason: 'wrong-type', path: '', detail: 'must be a number from 0 to 100, a text or an object' }
  }
  const problem = valueProblem(progress, MAX_PROGRESS_LENGTH)
  if (problem !== undefined || typeof progress !== 'number' || (progress >= 0 && progress <= 100)) return problem
  return { reason: 'invalid-value', path: '', detail: 'a number must be from 0 to 100' }
}

/** The device did it, but what it says of it cannot be kept: the command ends all the same. */
function succeeded(draft: Draft<Part>, output: Value | undefined, id: string | undefined): DeviceAnswer {
  const problem = outputProblem(output)
  if (problem === undefined) return { status: 'succeeded', ...withOutput(output) }
  addProblem(draft, problem.reason, `/output${problem.path}`, problem.detail, id)
  return { status: 'failed', code: 'invalid-output', message: problem.detail }
}

function failed(draft: Draft<Part>, json: JsonObject, id: string | undefined): DeviceAnswer | undefined {
  const reason = reasonOf(draft, json, '', id)
  if (reason === undefined)
    return addProblem(draft, 'wrong-type', '/code', 'what failed needs a code: a text of at most 128 characters', id)
  const problem = outputProblem(json.output)
  if (problem === undefined) return { status: 'failed', ...reason, ...withOutput(json.output) }
  addProblem(draft, problem.reason, `/output${problem.path}`, problem.detail, id)
  return { status: 'failed', ...reason }
}

function outputProblem(output: Value | undefined): ValueProblem | undefined {
  return output === undefined || output === null ? undefined : valueProblem(output, MAX_OUTPUT_LENGTH)
}

/** Null says that there is none. */
function withOutput(output: Value | undefined): { output?: Value } {
  return output === undefined || output === null ? {} : { output }
}
