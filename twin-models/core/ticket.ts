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
import { SEVERITIES } from './rule-types.ts'
import { isOver, isUnaccepted, lasting, TicketDraft } from './ticket-draft.ts'
import type { TicketChange, TicketPlan, TicketSight, TicketState, TicketStep } from './ticket-types.ts'
import { verdictOf } from './ticket-verify.ts'

/** So many alarms stand in its story each by itself; the others are counted. */
const ALARMS_TOLD = 20
const RELAPSES = 3

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
  const { status, asked, dueAt, planned, maintenanceUntil, doneAt, since } = state
  if (isOver(state)) return undefined
  if (status === 'open' || status === 'done') return doneAt ?? since
  if (status === 'verifying') return (doneAt ?? since) + plan.verifyForMs
  const times = [dueAt, isUnaccepted(state) ? asked?.until : undefined, maintenanceUntil, planned?.isSaid ? undefined : planned?.at]
  return Math.min(...times.filter((at) => at !== undefined))
}

function waitOf(state: TicketState, plan: TicketPlan, sight: TicketSight, now: number): number {
  if (state.status !== 'verifying') return Math.max(wakeOf(state, plan)!, now + 1)
  const verdict = verdictOf(state, plan, sight, now)
  return verdict.kind === 'wait' ? verdict.until : now + 1
}

/** Undefined: there is nothing to be done now. */
function nextChange(draft: TicketDraft, sight: TicketSight): TicketChange | undefined {
  const { state, now } = draft
  const { status, asked, dueAt, planned, maintenanceUntil } = state
  if (!sight.isThere) return ended(draft, 'cancelled', 'Its device was removed.')
  if (status === 'open') return opened(draft, sight)
  if (status === 'done') return watched(draft)
  if (status === 'verifying') return verified(draft, sight) ?? joined(draft, sight)
  const news = joined(draft, sight)
  if (news) return news
  if (dueAt <= now) return overdue(draft)
  if (isUnaccepted(state) && asked && asked.until <= now) return silence(draft)
  if (maintenanceUntil !== undefined && maintenanceUntil <= now) return unattended(draft)
  return planned && !planned.isSaid && planned.at <= now ? reminded(draft) : undefined
}

function opened(draft: TicketDraft, sight: TicketSight): TicketChange {
  const { plan } = draft
  const [alarm] = sight.recent
  const why = plan.rule === null ? '' : ` for rule ${plan.rule}${alarm ? `, alarm ${alarm.n} (${alarm.text})` : ''}`
  draft.say('opened', `Opened by ${plan.by}${why}.`, plan.by)
  draft.set({ alarms: sight.alarms })
  if (sight.worst && isWorse(sight.worst, draft.state.severity)) draft.hasten(sight.worst)
  const target = draft.turn()
  const until = draft.ask(target, 'notified')
  if (target === null) draft.say('told', `Nobody is on call for it. It is to be accepted until ${time(until)}.`)
  else draft.say('told', `${target} is told, and is to accept it until ${time(until)}.`)
  draft.fire([target], `Please accept it until ${time(until)}. It is to be done by ${time(draft.state.dueAt)}.`)
  return draft.change({ event: 'opened' })
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
    const { dueAt, asked } = draft.state
    const until = asked ? ` It is to be accepted until ${time(asked.until)}.` : ''
    draft.say('severity', `It is ${worst} now, and was ${state.severity}: it is to be done by ${time(Math.max(dueAt, now))}.${until}`)
    draft.fire(
      isUnaccepted(state) ? state.told : concerned(draft),
      `It is ${worst} now: it is to be done by ${time(Math.max(dueAt, now))}.${until}`,
    )
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

function watched(draft: TicketDraft): TicketChange {
  const { state, plan } = draft
  const until = (state.doneAt ?? draft.now) + plan.verifyForMs
  draft.set({ status: 'verifying' })
  if (plan.rule !== null || plan.predict !== undefined)
    draft.say(
      'verifying',
      `It is watched until ${time(until)}: ${plan.rule === null ? 'then the risk is asked for' : 'its condition has to stay away'}.`,
    )
  return draft.change({ event: 'updated' })
}

function verified(draft: TicketDraft, sight: TicketSight): TicketChange | undefined {
  const verdict = verdictOf(draft.state, draft.plan, sight, draft.now)
  switch (verdict.kind) {
    case 'wait':
      return undefined
    case 'predict':
      draft.set({ prediction: { tries: (draft.state.prediction?.tries ?? 0) + 1, askedAt: draft.now } })
      draft.say('predict', verdict.words)
      return draft.change({ predict: true })
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
    ...{ relapses, since: now, dueAt: now + deadlines[severity].doneMs, missed: 0, waits: 0, reason: evidence },
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
  draft.set({ status, reason, asked: undefined, planned: undefined, maintenanceUntil: undefined })
  const words = `It is ${status}. ${reason}`
  draft.say(status, words, by)
  draft.resolve(words)
  return draft.change({ event: 'closed', ...(isInMaintenance && { maintenance: null }) })
}

/** Who has it, where that is somebody who can be told; else all on call. */
function concerned(draft: TicketDraft): string[] {
  const { assignee } = draft.state
  const everybody = draft.everybody()
  return assignee !== undefined && everybody.includes(assignee) ? [assignee] : everybody
}

export function isWorse(one: (typeof SEVERITIES)[number], other: (typeof SEVERITIES)[number]): boolean {
  return SEVERITIES.indexOf(one) > SEVERITIES.indexOf(other)
}
