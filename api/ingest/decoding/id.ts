/** Ids of messages. */
import type { Value } from '../../../twin-models/core/types.ts'
import { ID_PATTERN } from '../../../twin-models/ids.ts'
import { addProblem, type Draft, shown } from './draft.ts'

/**
 * The id in the payload, else the one of the header; undefined when there is none, null when it is not valid. Whole numbers count as
 * ids too: many devices number their messages. What carries an id that cannot be remembered is not taken, since it might be taken twice.
 */
export function idOf(draft: Draft<unknown>, given: Value | undefined, path: string): string | undefined | null {
  if (given === undefined) {
    const { id } = draft.message
    return id === undefined || ID_PATTERN.test(id) ? id : refused(draft, id, '')
  }
  const id = Number.isSafeInteger(given) ? String(given) : given
  return typeof id === 'string' && ID_PATTERN.test(id) ? id : refused(draft, given, path)
}

function refused(draft: Draft<unknown>, id: Value, path: string): null {
  const is = typeof id === 'string' ? JSON.stringify(shown(id)) : `a ${Array.isArray(id) ? 'list' : typeof id}`
  addProblem(
    draft,
    'invalid-id',
    path,
    `the id must begin with a letter or digit, go on with letters, digits, . _ : - and have at most 128, is ${is}`,
  )
  return null
}
