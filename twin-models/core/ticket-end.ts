/** How a ticket ends: what is said to be done is watched, and is closed, or reopened with the evidence. */
import { time } from './markdown.ts'
import { ALARMS_TOLD, type TicketDraft } from './ticket-draft.ts'
import { riskOf } from './ticket-risk.ts'
import type { TicketChange, TicketSight } from './ticket-types.ts'
import { verdictOf, watchingRule } from './ticket-verify.ts'

const RELAPSES = 3

export function watched(draft: TicketDraft, sight: TicketSight): TicketChange {
  const { state, plan } = draft
  const until = (state.doneAt ?? draft.now) + plan.verifyForMs
  draft.set({ status: 'verifying' })
  const rule = watchingRule(plan, sight)
  if (rule !== null || plan.predict !== undefined)
    draft.say(
      'verifying',
      `It is watched until ${time(until)}: ${rule === null ? 'then the risk is asked for' : 'its condition has to stay away'}.`,
    )
  return draft.change({ event: 'updated' })
}

/** Undefined: it is too early to say. */
export function verified(draft: TicketDraft, sight: TicketSight): TicketChange | undefined {
  const verdict = verdictOf(draft.state, draft.plan, sight, draft.now)
  const risk = draft.state.prediction && riskOf(sight.prediction, draft.now)
  if (risk && verdict.kind !== 'wait') draft.set({ risk })
  switch (verdict.kind) {
    case 'wait':
      return undefined
    case 'predict':
      draft.set({ prediction: { tries: (draft.state.prediction?.tries ?? 0) + 1, askedAt: draft.now } })
      draft.say('predict', verdict.words)
      return draft.change({ predict: true, predictSince: verdict.since })
    case 'relapse':
      // Its alarm is the evidence, and no news besides.
      draft.set({ alarms: Math.max(draft.state.alarms, Math.min(sight.alarms, ALARMS_TOLD)) })
      return relapsed(draft, verdict.evidence)
    case 'passed':
      return ended(draft, 'closed', verdict.words)
  }
}

/** It was said to be done, and is not. `by`: who says so; absent: what was seen does. */
export function relapsed(draft: TicketDraft, evidence: string, by?: string): TicketChange {
  const { plan, now } = draft
  const { onCall, deadlines } = plan
  const { severity, assignee, told } = draft.state
  const relapses = draft.state.relapses + 1
  const first = assignee !== undefined && [...onCall, ...told].includes(assignee) ? assignee : undefined
  const place = first === undefined ? -1 : onCall.indexOf(first)
  draft.set({
    ...{ relapses, since: now, dueAt: now + deadlines[severity].doneMs, missed: 0, remindAt: undefined, waits: 0, reason: evidence },
    ...{ doneAt: undefined, prediction: undefined, ...(place >= 0 && { turn: place + 1 }) },
  })
  const target = first ?? draft.turn()
  const isTooOften = relapses >= RELAPSES
  const until = draft.ask(target, isTooOften ? 'escalated' : 'reopened')
  draft.say('reopened', `It is not repaired. ${evidence}`, by)
  const times = isTooOften ? ` It has relapsed ${relapses} times.` : ''
  if (isTooOften) draft.say('escalated', `It has relapsed ${relapses} times: all who are on call are told.`)
  draft.say(
    'told',
    target === null ? `It is to be accepted until ${time(until)}.` : `${target} is told, and is to accept it until ${time(until)}.`,
  )
  draft.fire([...(isTooOften ? onCall : []), target], `It is not repaired.${times} ${evidence} Please accept it until ${time(until)}.`)
  return draft.change({ event: 'updated' })
}

export function ended(draft: TicketDraft, status: 'closed' | 'cancelled', reason: string, by?: string): TicketChange {
  const isInMaintenance = draft.state.maintenanceUntil !== undefined
  draft.set({ status, reason, asked: undefined, planned: undefined, maintenanceUntil: undefined, remindAt: undefined })
  const words = `It is ${status}. ${reason}`
  draft.say(status, words, by)
  draft.resolve(words)
  return draft.change({ event: 'closed', ...(isInMaintenance && { maintenance: null }) })
}
