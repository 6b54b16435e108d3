/** Asking a twin: a row with the request, behind all that was processed before; then its answer, as long as the caller waits. */
import { randomUUID } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import type { TwinRequests } from '../ports.ts'
import { createSharedPoll, type SharedPoll } from './shared-poll.ts'

/** What stands in twin_requests.answer; which of it depends on the kind of the request. */
export interface TwinAnswer {
  revision?: number
  version?: number
  refused?: 'precondition-failed' | 'too-large' | 'too-many-commands' | 'no-alarm' | 'unknown-kind'
  detail?: string
  cancelled?: boolean
  /** Its device was removed before it could answer. */
  removed?: true
}

export interface TwinQuestion {
  tenant: string
  incarnation: number
  kind: string
  body: object
}

export interface TwinAnswers {
  /** `answer` undefined: not yet. All undefined: the device is not there, or was removed before it answered. */
  ask(question: TwinQuestion, waitMs: number): Promise<{ id: string; answer: TwinAnswer | undefined } | undefined>
  /** The answer to a request that stands already. */
  of(id: string, waitMs: number): Promise<TwinAnswer | undefined>
  isFull: SharedPoll['isFull']
}

export function createTwinAnswers(requests: TwinRequests): TwinAnswers {
  const poll = createSharedPoll(async (ids) => (await requests.answered(ids)).map(({ id, answer }) => ({ id, result: answer ?? '{}' })))

  const of: TwinAnswers['of'] = async (id, waitMs) => {
    const text = await poll.of(id, waitMs)
    return text === undefined ? undefined : (JSON.parse(text) as TwinAnswer)
  }

  return {
    of,
    isFull: poll.isFull,
    async ask({ tenant, incarnation, kind, body }, waitMs) {
      const id = randomUUID()
      if (!(await requests.insert({ id, tenant, incarnation, kind, body: JSON.stringify(body) }))) return undefined
      const answer = await of(id, waitMs)
      return answer?.removed ? undefined : { id, answer }
    },
  }
}

/** A processor of an older version took the request. */
export function refuseUnknown(answer: TwinAnswer | undefined): void {
  if (answer?.refused !== 'unknown-kind') return
  throw new CastorError(
    'unavailable',
    'A processor of an older version does not know what was asked. Try again when all are of this one.',
    {
      retryAfterSeconds: 30,
    },
  )
}
