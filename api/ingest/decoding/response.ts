/** What a device says of a command: `{status, progress?, output?, code?, message?, id?, ts?}`. The topic names the command. */
import type { DeviceAnswer, JsonObject, Value } from '../../../twin-models/core/types.ts'
import type { Part } from '../decode.ts'
import { type AskedWord, decodeAskedWord, failureOf, progressOf } from './asked-word.ts'
import { addProblem, type Draft } from './draft.ts'
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

const MAX_OUTPUT_LENGTH = 32_768
const STATUSES = ['acknowledged', 'running', 'succeeded', 'failed']

const ON_COMMAND: AskedWord<Response['word']> = {
  of: 'command',
  unknown: 'unknown-command',
  example: '{"status": "succeeded"}',
  fields: new Set(['output']),
  wordOf,
  partOf: (command, word) => ({ response: { command, word } }),
}

export function decodeResponse(draft: Draft<Part>, json: Value): undefined {
  decodeAskedWord(draft, json, ON_COMMAND)
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

/** The device did it, but what it says of it cannot be kept: the command ends all the same. */
function succeeded(draft: Draft<Part>, output: Value | undefined, id: string | undefined): DeviceAnswer {
  const problem = outputProblem(output)
  if (problem === undefined) return { status: 'succeeded', ...withOutput(output) }
  addProblem(draft, problem.reason, `/output${problem.path}`, problem.detail, id)
  return { status: 'failed', code: 'invalid-output', message: problem.detail }
}

function failed(draft: Draft<Part>, json: JsonObject, id: string | undefined): DeviceAnswer | undefined {
  const failure = failureOf(draft, json, id)
  if (failure === undefined) return
  const problem = outputProblem(json.output)
  if (problem === undefined) return { status: 'failed', ...failure, ...withOutput(json.output) }
  addProblem(draft, problem.reason, `/output${problem.path}`, problem.detail, id)
  return { status: 'failed', ...failure }
}

function outputProblem(output: Value | undefined): ValueProblem | undefined {
  return output === undefined || output === null ? undefined : valueProblem(output, MAX_OUTPUT_LENGTH)
}

/** Null says that there is none. */
function withOutput(output: Value | undefined): { output?: Value } {
  return output === undefined || output === null ? {} : { output }
}
