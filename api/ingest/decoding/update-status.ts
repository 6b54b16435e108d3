/** What a device says of an update of its firmware: `{status, progress?, code?, message?, id?, ts?}`. The topic names the update. */
import type { JsonObject, UpdateAnswer, Value } from '../../../twin-models/core/types.ts'
import type { Part } from '../decode.ts'
import { type AskedWord, decodeAskedWord, failureOf, progressOf } from './asked-word.ts'
import { addProblem, type Draft } from './draft.ts'

export interface UpdateStatus {
  update: string
  word: UpdateStep | UpdateAnswer
}

/** How far it has come. */
export interface UpdateStep {
  status: UpdateStepStatus
  /** JSON. Null: nothing was said. */
  progress: string | null
}

/** In the order in which a device goes through them. */
export const UPDATE_STEPS = ['downloading', 'verifying', 'installing', 'rebooting'] as const
export type UpdateStepStatus = (typeof UPDATE_STEPS)[number]

const STATUSES = [...UPDATE_STEPS, 'failed', 'rejected']

const ON_UPDATE: AskedWord<UpdateStatus['word']> = {
  of: 'update',
  unknown: 'unknown-update',
  example: '{"status": "downloading", "progress": 40}',
  fields: new Set(),
  wordOf,
  partOf: (update, word) => ({ update: { update, word } }),
}

export function decodeUpdateStatus(draft: Draft<Part>, json: Value): undefined {
  decodeAskedWord(draft, json, ON_UPDATE)
}

function wordOf(draft: Draft<Part>, json: JsonObject, id: string | undefined): UpdateStatus['word'] | undefined {
  const { status } = json
  switch (status) {
    case 'downloading':
    case 'verifying':
    case 'installing':
    case 'rebooting':
      return { status, progress: progressOf(draft, json.progress, id) }
    case 'failed':
    case 'rejected': {
      const failure = failureOf(draft, json, id)
      return failure && { status, ...failure }
    }
  }
  return addProblem(draft, 'wrong-type', '/status', `must be one of ${STATUSES.join(', ')}`, id)
}
