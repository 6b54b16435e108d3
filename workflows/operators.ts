/** What operators do and see of long work in the Temporal UI: how they start it, the Updates by which they steer it, and its status in the list. */
import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  currentUpdateInfo,
  defineUpdate,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow'
import { jsonProblem } from '../twin-models/json-problem.ts'
import type { Heard } from './messages.ts'
import { SEARCH_ATTRIBUTES } from './search-attributes.ts'

/** What is started in the UI comes as it is: it is looked at before anything walks it, passing it on included. REST holds its bodies to the same. */
export function mustBeTakeable(start: unknown, workflow: string): void {
  if (start !== undefined && (typeof start !== 'object' || Array.isArray(start)))
    throw ApplicationFailure.nonRetryable(`The input of ${workflow} must be one JSON object.`, 'invalid')
  const problem = jsonProblem(start)
  if (problem)
    throw ApplicationFailure.nonRetryable(`The input of ${workflow} cannot be taken: ${problem.path || 'it'} ${problem.detail}.`, 'invalid')
}

/** `description` stands in the menu, `answer` is what the operator reads then. */
export type OperatorUpdates<Wanted extends string> = { [wanted in Wanted]: { description: string; answer: string } }

/** Updates without an argument. */
export function handleUpdates<Wanted extends string>(updates: OperatorUpdates<Wanted>, ask: (wanted: Wanted) => void): void {
  for (const [wanted, { description, answer }] of Object.entries(updates) as Array<[Wanted, OperatorUpdates<Wanted>[Wanted]]>) {
    const handler = () => {
      ask(wanted)
      return answer
    }
    setHandler(defineUpdate<string>(wanted), handler, { description })
  }
}

/** What waits in a queue for the workflow's turn. */
export interface Queued<Ask> {
  ask: Ask
  /** With the same it is the same. */
  id: string
  answer?: Answer
}

/** What an operator reads. */
export type Answer = Omit<Heard, 'id'>

export interface AskUpdates<Action extends string, Asked extends Queued<unknown>> {
  /** They stand in the menu of the UI. */
  descriptions: { [action in Action]: string }
  parse(action: Action, argument: unknown): { ask: Asked['ask']; problem?: undefined } | { problem: string }
  /** What is known to make no sense now is not even accepted. */
  refusal(ask: Asked['ask']): string | undefined
  toQueue(ask: Asked['ask'], id: string): Asked
}

/** Updates with one JSON object each. All goes into the queue; an operator waits for the answer. */
export function handleAskUpdates<Action extends string, Asked extends Queued<unknown>>(
  queue: Asked[],
  { descriptions, parse, refusal, toQueue }: AskUpdates<Action, Asked>,
): void {
  const parsed = (action: Action, argument: unknown): Asked['ask'] => {
    const asked = parse(action, argument)
    if (asked.problem !== undefined) throw refused(asked.problem)
    return asked.ask
  }
  for (const [action, description] of Object.entries(descriptions) as Array<[Action, string]>) {
    const handler = async (argument?: unknown): Promise<string> => {
      const asked = toQueue(parsed(action, argument), `update ${currentUpdateInfo()?.id}`)
      queue.push(asked)
      await condition(() => asked.answer !== undefined)
      const { answer, isRefused } = asked.answer!
      if (isRefused) throw refused(answer)
      return answer
    }
    const validator = (argument?: unknown): void => {
      const problem = refusal(parsed(action, argument))
      if (problem !== undefined) throw refused(problem)
    }
    setHandler(defineUpdate<string, [argument?: unknown]>(action), handler, { description, validator })
  }
}

function refused(why: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(why, 'refused')
}

/** One after the other, in the order in which they were asked. */
export async function answerAll<Asked extends Queued<unknown>>(queue: Asked[], obey: (asked: Asked) => Promise<Answer>): Promise<void> {
  for (let asked = queue[0]; asked; asked = queue[0]) {
    asked.answer = await obey(asked)
    queue.shift()
  }
}

/** When every operator has the answer, or something else was asked; whether nothing was. */
export async function isQuiet(queue: Array<Queued<unknown>>): Promise<boolean> {
  await condition(() => allHandlersFinished() || queue.length > 0)
  return queue.length === 0
}

/** Only when it is another: it costs an event. */
export function showStatus(tenant: string, status: string, about: { rollout?: string; device?: string } = {}): void {
  if (workflowInfo().typedSearchAttributes.get(SEARCH_ATTRIBUTES.status) === status) return
  const { rollout, device } = about
  upsertSearchAttributes([
    { key: SEARCH_ATTRIBUTES.tenant, value: tenant },
    { key: SEARCH_ATTRIBUTES.status, value: status },
    ...(rollout === undefined ? [] : [{ key: SEARCH_ATTRIBUTES.rollout, value: rollout }]),
    ...(device === undefined ? [] : [{ key: SEARCH_ATTRIBUTES.device, value: device }]),
  ])
}
