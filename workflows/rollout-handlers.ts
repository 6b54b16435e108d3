/** What a rollout is asked: by operators in the Temporal UI as Updates with one JSON object each, and over REST as the signal `asked`. */
import { defineSignal, setHandler } from '@temporalio/workflow'
import type { RolloutAction, RolloutAsk } from '../twin-models/core/rollout-types.ts'
import { rolloutAskOf } from '../twin-models/rollout-ask.ts'
import { ROLLOUT_ASKED_SIGNAL, type RolloutAsked } from './messages.ts'
import { handleAskUpdates, type Queued } from './operators.ts'

export interface Asked extends Queued<RolloutAsk> {
  /** Of REST. */
  by?: string
}

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

export function handleAsked(queue: Asked[], refusal: (ask: RolloutAsk) => string | undefined): void {
  handleAskUpdates(queue, {
    ...{ descriptions: DESCRIPTIONS, refusal },
    parse: (action, argument) => rolloutAskOf(action, argument ?? undefined),
    toQueue: (ask, id) => ({ ask, id }),
  })
  setHandler(defineSignal<[RolloutAsked]>(ROLLOUT_ASKED_SIGNAL), (asked) => void queue.push(...heard(asked)), {
    description: 'What somebody asked for over REST, {"asks": [{"id": …, "by": …, "ask": {"action": …}}]}.',
  })
}

/** REST has checked them; a signal may be of somebody else. */
function heard(asked: RolloutAsked | undefined): Asked[] {
  const asks = Array.isArray(asked?.asks) ? asked.asks : []
  return asks.filter((one) => {
    const { action, ...argument } = one?.ask ?? {}
    return typeof one?.id === 'string' && ACTIONS.includes(action!) && rolloutAskOf(action!, argument).problem === undefined
  })
}
