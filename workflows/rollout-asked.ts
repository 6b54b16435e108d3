/** What a rollout is asked: by operators in the Temporal UI as Updates with one JSON object each, and over REST as the signal `asked`. */
import { ApplicationFailure, condition, currentUpdateInfo, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow'
import type { RolloutAction, RolloutAsk } from '../twin-models/core/rollout-types.ts'
import { rolloutAskOf } from '../twin-models/rollout-asked.ts'
import { ROLLOUT_ASKED_SIGNAL, type RolloutAsked, type RolloutHeard } from './messages.ts'

/** What waits for the workflow's turn. */
export interface Asked {
  ask: RolloutAsk
  /** Of REST. */
  by?: string
  /** With the same it is the same. */
  id: string
  answer?: Answer
}

/** What an operator reads. */
export type Answer = Pick<RolloutHeard, 'answer' | 'isRefused'>

const RUNNING = '"running" ("continue" or "cancel") says what becomes of updates under way; without it the rollout’s onHalt does.'

/** They stand in the menu of the UI. */
const DESCRIPTIONS: { [action in RolloutAction]: string } = {
  approve: 'Approve the draft, so that it begins: {"by": "your name"}. With four eyes it takes somebody else than who asked for it.',
  pause: 'Ask no further device until it is resumed. Updates under way go on.',
  resume: 'Go on, also after it was halted: the failures until now are acknowledged, and do not halt it again.',
  advance: 'Go on to the next wave without waiting for the gate of the current one.',
  halt: `Halt it: no further device is asked until it is resumed. {"running": …}: ${RUNNING}`,
  rollback:
    'Send devices back to what they ran before, in waves. {"which": …}: "updated" (as without it: all that run the new version) or "failed" (of those the ones that did not end healthy).',
  cancel: `End it: no further device is asked. {"running": …}: ${RUNNING}`,
  pace: 'Change its pace: {"perSecond": devices asked a second, "atOnce": devices under way at once}, or one of them.',
  exclude: 'Leave one device out: {"device": "its id"}. It is not asked; an update of it that is under way is cancelled.',
}
const ACTIONS = Object.keys(DESCRIPTIONS) as RolloutAction[]

/** All goes into the queue; an operator waits for the answer. `refusal`: what is known to make no sense now is not even accepted. */
export function handleAsked(queue: Asked[], refusal: (ask: RolloutAsk) => string | undefined): void {
  for (const action of ACTIONS) {
    const handler = async (argument?: unknown): Promise<string> => {
      const asked: Asked = { ask: asksFor(action, argument), id: `update ${currentUpdateInfo()?.id}` }
      queue.push(asked)
      await condition(() => asked.answer !== undefined)
      const { answer, isRefused } = asked.answer!
      if (isRefused) throw refused(answer)
      return answer
    }
    const validator = (argument?: unknown): void => {
      const problem = refusal(asksFor(action, argument))
      if (problem !== undefined) throw refused(problem)
    }
    setHandler(defineUpdate<string, [argument?: unknown]>(action), handler, { description: DESCRIPTIONS[action], validator })
  }
  setHandler(defineSignal<[RolloutAsked]>(ROLLOUT_ASKED_SIGNAL), (asked) => void queue.push(...heard(asked)), {
    description: 'What somebody asked for over REST, {"asks": [{"id": …, "by": …, "ask": {"action": …}}]}.',
  })
}

function asksFor(action: RolloutAction, argument: unknown): RolloutAsk {
  const asked = rolloutAskOf(action, argument ?? undefined)
  if (asked.problem !== undefined) throw refused(asked.problem)
  return asked.ask
}

/** REST has checked them; a signal may be of somebody else. */
function heard(asked: RolloutAsked | undefined): Asked[] {
  const asks = Array.isArray(asked?.asks) ? asked.asks : []
  return asks.filter((one) => {
    const { action, ...argument } = one?.ask ?? {}
    return typeof one?.id === 'string' && ACTIONS.includes(action!) && rolloutAskOf(action!, argument).problem === undefined
  })
}

function refused(why: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(why, 'refused')
}
