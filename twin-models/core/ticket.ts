/**
 * A maintenance ticket as a pure machine: nextTicketStep says what it does by itself, by what is seen and by the time; people and other systems
 * come in by steerTicket (ticket-steer.ts). Who uses it looks, does each step once, and waits.
 *
 *   open ─► notified ──accept──► accepted ──schedule──► scheduled ──start──► in-progress ──done──► done ─► verifying ─► closed
 *              │ silence            ▲  (each may be left out)                                                 │ relapse
 *              ▼                    │                                                                         ▼
 *          reassigned ─► escalated ─┘◄──────────────────────accept──────────────────────────────────────── reopened
 *   any that is not over ──cancel, or its device is removed──► cancelled
 *
 * Prediction. One with a model asks it before anybody is told, for half a minute at most: whoever is told then knows the risk. What it says stops
 * nothing: the alarm is there.
 *
 * Silence. Who is told has `acceptMs` of the severity; then the next one on call is told. When all were told in vain it is escalated: all of them
 * are told so, and it goes round again, with twice the time each round, up to a day. So what nobody ever accepts is said once a day, for ever.
 *
 * Deadline. From when it was opened, or reopened, it is to be done within `doneMs`. When it is not, all are told, and again after twice the time, up to
 * a week. A worse alarm makes both shorter, never longer.
 *
 * Maintenance. From `start` on its device is in maintenance, for as long as was said, or `doneMs`. It ends with `done`, or with its time: that is
 * said, and alarms are heard again while the repair goes on.
 *
 * Relapse. What was done and is not (ticket-verify.ts) is reopened, with the evidence: who did it is told first. From the third time on it is
 * escalated at once.
 *
 * Everything that it waits for has an end, so it never stands still.
 */
import { time } from './markdown.ts'
import { isWorse } from './rule-types.ts'
import { FIRST_RISK_MS, opened, predicted } from './ticket-begin.ts'
import { ALARMS_TOLD, dueWords, isOver, isUnaccepted, lasting, saysLateAt, TicketDraft } from './ticket-draft.ts'
import { ended, verified, watched } from './ticket-end.ts'
import { nextLook } from './ticket-risk.ts'
import type { TicketChange, TicketPlan, TicketSight, TicketState, TicketStep } from './ticket-types.ts'
import { verdictOf } from './ticket-verify.ts'

export function initialTicket({ severity, deadlines, createdAt }: TicketPlan): TicketState {
  return {
    ...{ v: 1, status: 'open', severity, since: createdAt, dueAt: createdAt + deadlines[severity].doneMs, missed: 0 },
    ...{ turn: 0, waits: 0, relapses: 0, alarms: 0, told: [], story: [], stories: 0 },
  }
}

export function nextTicketStep(state: TicketState, plan: TicketPlan, sight: TicketSight, now: number): TicketStep {
  if (isOver(state)) return { kind: 'over' }
  const draft = new TicketDraft(state, plan, now)
  const change = nextChange(draft, sight)
  return change ? { kind: 'change', change } : { kind: 'wait', until: waitOf(state, plan, sight, now) }
}

/** The next time at which something happens by itself, whatever is seen. Undefined: it is over. */
export function wakeOf(state: TicketState, plan: TicketPlan): number | undefined {
  const { status, asked, planned, maintenanceUntil, doneAt, since, prediction } = state
  if (isOver(state)) return undefined
  if (status === 'open' && prediction) return prediction.askedAt + FIRST_RISK_MS
  if (status === 'open' || status === 'done') return doneAt ?? since
  if (status === 'verifying') return (doneAt ?? since) + plan.verifyForMs
  const times = [
    saysLateAt(state),
    isUnaccepted(state) ? asked?.until : undefined,
    maintenanceUntil,
    planned?.isSaid ? undefined : planned?.at,
  ]
  return Math.min(...times.filter((at) => at !== undefined))
}

function waitOf(state: TicketState, plan: TicketPlan, sight: TicketSight, now: number): number {
  if (state.status === 'open' && state.prediction) return nextLook(state.prediction.askedAt, now, FIRST_RISK_MS)
  if (state.status !== 'verifying') return Math.max(wakeOf(state, plan)!, now + 1)
  const verdict = verdictOf(state, plan, sight, now)
  return verdict.kind === 'wait' ? verdict.until : now + 1
}

/** Undefined: there is nothing to be done now. */
function nextChange(draft: TicketDraft, sight: TicketSight): TicketChange | undefined {
  const { state, now } = draft
  const { status, asked, planned, maintenanceUntil } = state
  if (!sight.isThere) return ended(draft, 'cancelled', 'Its device was removed.')
  if (status === 'open') return state.prediction ? predicted(draft, sight) : opened(draft, sight)
  if (status === 'done') return watched(draft, sight)
  if (status === 'verifying') return verified(draft, sight) ?? ruleNews(draft, sight) ?? joined(draft, sight)
  const news = ruleNews(draft, sight) ?? joined(draft, sight)
  if (news) return news
  if (saysLateAt(state) <= now) return overdue(draft)
  if (isUnaccepted(state) && asked && asked.until <= now) return silence(draft)
  if (maintenanceUntil !== undefined && maintenanceUntil <= now) return unattended(draft)
  return planned && !planned.isSaid && planned.at <= now ? reminded(draft) : undefined
}

/** What verifies it was removed, or is live again. */
function ruleNews(draft: TicketDraft, { isRuleGone, isUnwatched }: TicketSight): TicketChange | undefined {
  const { state, plan } = draft
  if (isRuleGone && !state.isRuleGone) {
    draft.set({ isRuleGone })
    const then = plan.predict === undefined ? 'it is closed on the word of who did it' : `${plan.predict} alone is asked for the risk`
    draft.say('rule-removed', `Rule ${plan.rule} was removed, so nothing watches its condition any more: when it is done, ${then}.`)
    return draft.change({ event: 'updated' })
  }
  if (!state.isRuleGone || isUnwatched) return undefined
  draft.set({ isRuleGone: undefined })
  draft.say('rule-live', `Rule ${plan.rule} is live again: when it is done, its condition has to stay away.`)
  return draft.change({ event: 'updated' })
}

/** Alarms of the same cause that came since. */
function joined(draft: TicketDraft, { alarms, recent, worst }: TicketSight): TicketChange | undefined {
  const { state, now } = draft
  const rises = worst !== undefined && isWorse(worst, state.severity)
  const told = state.alarms < ALARMS_TOLD ? Math.min(alarms, ALARMS_TOLD) : state.alarms
  if (!rises && told <= state.alarms) return undefined
  const news = recent.slice(0, told - state.alarms).reverse()
  for (const { n, severity, text } of news) draft.say('alarm', `Alarm ${n} joins it (${severity}): ${text}`)
  if (told === ALARMS_TOLD && state.alarms < ALARMS_TOLD) draft.say('alarm', 'Further alarms of the rule are only counted.')
  draft.set({ alarms: told })
  if (rises) {
    draft.hasten(worst)
    const { asked } = draft.state
    const due = dueWords(draft.state, now)
    const until = asked ? ` It is to be accepted until ${time(asked.until)}.` : ''
    draft.say('severity', `It is ${worst} now, and was ${state.severity}: it ${due}.${until}`)
    draft.fire(isUnaccepted(state) ? state.told : concerned(draft), `It is ${worst} now: it ${due}.${until}`)
  }
  return draft.change({ event: 'updated' })
}

function silence(draft: TicketDraft): TicketChange {
  const { plan, state } = draft
  const { onCall } = plan
  const silent = state.asked?.target ?? 'Nobody'
  draft.set({ waits: state.waits + 1 })
  const isRound = draft.state.waits % Math.max(1, onCall.length) === 0
  const target = draft.turn()
  if (!isRound && state.status !== 'escalated') {
    const until = draft.ask(target, 'reassigned')
    draft.say('reassigned', `${silent} did not accept it in time: ${target} is told, and is to accept it until ${time(until)}.`)
    draft.fire([target], `${silent} did not accept it in time. Please accept it until ${time(until)}.`)
    return draft.change({ event: 'updated' })
  }
  const until = draft.ask(target, 'escalated')
  const names =
    onCall.length === 0 ? 'Nobody is on call, and nobody accepted it' : `Nobody accepted it: ${onCall.join(', ')} were told in vain`
  const next = target === null ? '' : ` ${target} is told again, and is to accept it until ${time(until)}.`
  if (isRound) {
    const passed = `${names}. The time to accept what is ${state.severity}, ${lasting(plan.deadlines[state.severity].acceptMs)}, has passed.`
    draft.say('escalated', `${passed}${next}`)
    draft.fire(onCall, `${passed} Please accept it, whoever can.`)
  } else {
    draft.say('reassigned', `${silent} did not accept it either.${next}`)
    draft.fire([target], `Nobody accepted it yet. Please accept it until ${time(until)}.`)
  }
  return draft.change({ event: 'updated' })
}

function overdue(draft: TicketDraft): TicketChange {
  const { state } = draft
  const late = lasting(Math.max(1_000, draft.now - state.since))
  draft.miss()
  const who = state.assignee === undefined ? 'nobody has accepted it' : `${state.assignee} has it`
  const words = `It was to be done by ${time(state.dueAt)} and is not, ${late} after it was ${state.relapses > 0 ? 're' : ''}opened: ${who}.`
  draft.say('overdue', words)
  draft.fire(draft.everybody(), words)
  return draft.change({ event: 'updated' })
}

function reminded(draft: TicketDraft): TicketChange {
  const { planned, assignee } = draft.state
  draft.set({ planned: { at: planned!.at, isSaid: true } })
  const words = `It is planned for now (${time(planned!.at)}), and ${assignee ?? 'whoever has it'} has not said that it begins.`
  draft.say('reminded', words)
  draft.fire(concerned(draft), words)
  return draft.change({})
}

/** Its time is over, and the repair is not. */
function unattended(draft: TicketDraft): TicketChange {
  const { maintenanceUntil } = draft.state
  draft.set({ maintenanceUntil: undefined })
  const words = `The maintenance of its device ended by its time, ${time(maintenanceUntil!)}: its alarms are told again. Say done, or start it again.`
  draft.say('maintenance-over', words)
  draft.fire(concerned(draft), words)
  return draft.change({ event: 'updated' })
}

/** Who has it, where that is somebody who can be told; else all on call. */
function concerned(draft: TicketDraft): string[] {
  const { assignee } = draft.state
  const everybody = draft.everybody()
  return assignee !== undefined && everybody.includes(assignee) ? [assignee] : everybody
}
