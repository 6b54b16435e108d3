/** How a ticket begins: it is opened, its model is asked for the risk where it names one, and the first on call is told. */
import { time } from './markdown.ts'
import { isWorse } from './rule-types.ts'
import type { TicketDraft } from './ticket-draft.ts'
import { riskOf, riskWords } from './ticket-risk.ts'
import type { TicketChange, TicketSight, TicketState } from './ticket-types.ts'

/** How long people are not told, for the sake of a prediction. */
export const FIRST_RISK_MS = 30_000

export function opened(draft: TicketDraft, sight: TicketSight): TicketChange {
  const { plan } = draft
  const [alarm] = sight.recent
  sayOpened(draft, alarm ? `, alarm ${alarm.n} (${alarm.text})` : '')
  draft.set({ alarms: sight.alarms })
  if (sight.worst && isWorse(sight.worst, draft.state.severity)) draft.hasten(sight.worst)
  if (plan.predict === undefined) return told(draft).change({ event: 'opened' })
  draft.set({ prediction: { tries: 1, askedAt: draft.now } })
  draft.say('predict', `${plan.predict} is asked for the risk.`)
  return draft.change({ event: 'opened', predict: true })
}

/** It was not said yet that it is there. */
export function isUnsaid({ status, prediction }: TicketState): boolean {
  return status === 'open' && !prediction
}

export function sayOpened(draft: TicketDraft, cause = ''): void {
  const { by, rule } = draft.plan
  const who = rule === null ? by : `${by === rule ? '' : `${by} for `}rule ${rule}${cause}`
  draft.say('opened', `Opened by ${who}.`, by, null)
}

/** Undefined: its answer is waited for. */
export function predicted(draft: TicketDraft, { prediction }: TicketSight): TicketChange | undefined {
  const { plan, now, state } = draft
  const model = plan.predict ?? ''
  const risk = riskOf(prediction, now)
  const isLate = now >= state.prediction!.askedAt + FIRST_RISK_MS
  if (!risk && prediction?.status !== 'failed' && !isLate) return undefined
  draft.set({ prediction: undefined, risk })
  const why = prediction?.status === 'failed' ? (prediction.detail ?? 'no reason was given') : 'it did not answer in time'
  draft.say(
    'predicted',
    risk
      ? `${riskWords(model, risk)}${prediction?.detail === undefined ? '' : ` (${prediction.detail})`}.`
      : `${model} could not be asked (${why}).`,
  )
  return told(draft).change({ event: 'updated' })
}

function told(draft: TicketDraft): TicketDraft {
  const { plan, state } = draft
  const target = draft.turn()
  const until = draft.ask(target, 'notified')
  if (target === null) draft.say('told', `Nobody is on call for it. It is to be accepted until ${time(until)}.`)
  else draft.say('told', `${target} is told, and is to accept it until ${time(until)}.`)
  const risk = state.risk ? ` ${riskWords(plan.predict ?? '', state.risk)}.` : ''
  draft.fire([target], `Please accept it until ${time(until)}. It is to be done by ${time(draft.state.dueAt)}.${risk}`)
  return draft
}
