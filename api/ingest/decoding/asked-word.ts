/**
 * What words of a device on something that was asked of it have in common, be it a command or an update: `{status, …, id?, ts?}`, on a
 * topic that names it.
 */
import { isObject } from '../../../twin-models/core/plain.ts'
import type { JsonObject, Rejections, Value } from '../../../twin-models/core/types.ts'
import type { Part } from '../decode.ts'
import { messageDigest } from '../message-digest.ts'
import type { Reason } from '../reasons.ts'
import { addProblem, type Draft, pointer, shown } from './draft.ts'
import { idOf } from './id.ts'
import { reasonOf } from './reported.ts'
import { timeOf } from './time.ts'
import { type ValueProblem, valueProblem } from './value.ts'

export interface AskedWord<Word> {
  /** What it is a word on. */
  of: 'command' | 'update'
  unknown: Reason
  example: string
  /** Besides those that every word has. */
  fields: ReadonlySet<string>
  /** Undefined: it is not to be taken, and its problem is noted. */
  wordOf(draft: Draft<Part>, json: JsonObject, id: string | undefined): Word | undefined
  partOf(asked: string, word: Word): Pick<Part, 'response' | 'update'>
}

const MAX_PROGRESS_LENGTH = 1_024
const COMMON_FIELDS = new Set(['id', 'ts', 'ageMs', 'status', 'progress', 'code', 'message'])
/** As we make them: nothing else names what was asked. */
const ASKED_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function decodeAskedWord<Word>(draft: Draft<Part>, json: Value, of: AskedWord<Word>): undefined {
  const { kind, name: asked = '' } = draft.message
  if (!ASKED_ID.test(asked)) return addProblem(draft, of.unknown, '', `there is no ${of.of} ${JSON.stringify(shown(asked))}`)
  if (!isObject(json)) return addProblem(draft, 'wrong-type', '', `must be an object: ${of.example}`)
  const id = idOf(draft, json.id, '/id')
  if (id === null) return
  const word = of.wordOf(draft, json, id)
  if (word === undefined) return
  for (const field in json) {
    if (COMMON_FIELDS.has(field) || of.fields.has(field)) continue
    addProblem(draft, 'unknown-field', pointer(field), `a word on ${of.of === 'update' ? 'an' : 'a'} ${of.of} has no ${shown(field)}`, id)
  }
  // A time that is wrong is noted, and takes nothing from what became of it.
  timeOf(draft, json.ts, json.ageMs, '', id)
  const part: Part = { readings: [], ...of.partOf(asked, word) }
  // Devices may number their words on each one anew.
  draft.parts.push(id === undefined ? part : { id, digest: messageDigest(`${kind} ${asked}`, id), ...part })
}

/** JSON. Null: nothing was said that can be kept. */
export function progressOf(draft: Draft<Part>, progress: Value | undefined, id: string | undefined): string | null {
  if (progress === undefined || progress === null) return null
  const problem = progressProblem(progress)
  if (problem === undefined) return JSON.stringify(progress)
  addProblem(draft, problem.reason, `/progress${problem.path}`, problem.detail, id)
  return null
}

/** Why it did not go well. Without a code nobody can tell what is to be done, and the word is not taken. */
export function failureOf(draft: Draft<Part>, json: JsonObject, id: string | undefined): Rejections[string] | undefined {
  const reason = reasonOf(draft, json, '', id)
  return reason ?? addProblem(draft, 'wrong-type', '/code', `what ${json.status} needs a code: a text of at most 128 characters`, id)
}

function progressProblem(progress: Value): ValueProblem | undefined {
  if (typeof progress === 'boolean' || Array.isArray(progress)) {
    return { reason: 'wrong-type', path: '', detail: 'must be a number from 0 to 100, a text or an object' }
  }
  const problem = valueProblem(progress, MAX_PROGRESS_LENGTH)
  if (problem !== undefined || typeof progress !== 'number' || (progress >= 0 && progress <= 100)) return problem
  return { reason: 'invalid-value', path: '', detail: 'a number must be from 0 to 100' }
}
