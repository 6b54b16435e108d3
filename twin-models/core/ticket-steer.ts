/**
 * What people and other systems do with a ticket: what each thing asked for makes of it, with an answer to read, or why it makes no sense now. Who
 * says more says what lies before it, too: to start one that nobody accepted is to accept it. Nothing goes back but by `reassign` and `reopen`.
 *
 * Who is quicker than its first step does something with a ticket of which nobody has heard: then that it was opened is said with it.
 *
 * What another system says comes late and out of order. It counts when it is newer than the last word of that kind, and than the last relapse.
 */
import { time } from './markdown.ts'
import { isUnsaid, sayOpened } from './ticket-begin.ts'
import { dueWords, isOver, isOwed, isUnaccepted, TicketDraft } from './ticket-draft.ts'
import { ended, relapsed } from './ticket-end.ts'
import {
  TICKET_LIMITS,
  type TicketAsk,
  type TicketChange,
  type TicketOrigin,
  type TicketPlan,
  type TicketState,
  type TicketSteered,
} from './ticket-types.ts'

export function steerTicket(state: TicketState, plan: TicketPlan, ask: TicketAsk, origin: TicketOrigin, now: number): TicketSteered {
  const refused = refusal(state, plan, ask, origin, now)
  if (refused !== undefined) return { refused }
  const draft = new TicketDraft(state, plan, now, origin)
  // What is only commented is opened by its first step.
  const isNew = isUnsaid(state) && ask.action !== 'comment'
  if (isNew) sayOpened(draft)
  const event = isNew ? 'opened' : 'updated'
  if (origin.at !== undefined) draft.set({ heardAt: Math.min(origin.at, now) })
  const { by } = ask
  const note = ask.note === undefined ? '' : ` “${ask.note}”`
  switch (ask.action) {
    case 'accept': {
      taken(draft, by)
      draft.say('accepted', `${by} accepted it.${note}`, by)
      return { change: draft.change({ event }), answer: `It is yours. It ${dueWords(draft.state, now)}.` }
    }
    case 'reassign':
      return reassigned(draft, ask, note, event)
    case 'schedule': {
      const { at } = ask
      taken(draft, by, 'scheduled')
      draft.set({ planned: at === undefined ? undefined : { at } })
      const when = at === undefined ? '' : ` for ${time(at)}`
      const isLate = at !== undefined && at > draft.state.dueAt ? ` That is after it is to be done, ${time(draft.state.dueAt)}.` : ''
      draft.say('scheduled', `${by} planned it${when}.${isLate}${note}`, by)
      return { change: draft.change({ event }), answer: `It is planned${when}.${isLate}` }
    }
    case 'start': {
      const isAgain = state.status === 'in-progress'
      taken(draft, by, 'in-progress')
      const maintenance = now + (ask.forMs ?? plan.deadlines[state.severity].doneMs)
      draft.set({ maintenanceUntil: maintenance, planned: undefined })
      const words = `Its device is in maintenance until ${time(maintenance)}.`
      draft.say(isAgain ? 'maintenance' : 'started', `${isAgain ? `${by} goes on with it.` : `${by} began.`} ${words}${note}`, by)
      const answer = `${words} Until then its alarms are not told, and no rollout asks it.`
      return { change: draft.change({ event, maintenance }), answer }
    }
    case 'done': {
      const isInMaintenance = state.maintenanceUntil !== undefined
      if (isUnaccepted(state)) taken(draft, by)
      draft.set({
        status: 'done',
        doneAt: now,
        prediction: undefined,
        asked: undefined,
        planned: undefined,
        maintenanceUntil: undefined,
        remindAt: undefined,
        reason: undefined,
      })
      draft.say('done', `${by} says that it is done.${note}`, by)
      const answer = 'It is done. Now it is watched whether that is so.'
      return { change: draft.change({ event, ...(isInMaintenance && { maintenance: null }) }), answer }
    }
    case 'comment':
      draft.say('comment', `${by} says: “${ask.note}”`, by)
      return { change: draft.change({ event }), answer: 'It stands in the story of the ticket.' }
    case 'cancel':
      return { change: ended(draft, 'cancelled', `${by} cancelled it.${note}`, by), answer: 'It is cancelled.' }
    case 'reopen':
      return { change: relapsed(draft, `${by} says so: “${ask.note}”`, by), answer: 'It is open again.' }
  }
}

/** What was asked by somebody who does not wait for the answer, and makes no sense any more: it stands in the story, so that nobody wonders. */
export function ignoredTicketAsk(
  state: TicketState,
  plan: TicketPlan,
  ask: TicketAsk,
  origin: TicketOrigin,
  why: string,
  now: number,
): TicketChange {
  const draft = new TicketDraft(state, plan, now, origin)
  const who = origin.system === undefined ? ask.by : `${origin.system} (${ask.by})`
  draft.say('ignored', `What ${who} asked for, ${ask.action}, was ignored. ${why}`, ask.by)
  return draft.change({})
}

/** Somebody has it from now on. Who else was told has nothing to do any more. */
function taken(draft: TicketDraft, by: string, status: 'accepted' | 'scheduled' | 'in-progress' = 'accepted'): void {
  const isNews = isUnaccepted(draft.state)
  draft.set({ status, asked: undefined, assignee: isNews ? by : (draft.state.assignee ?? by) })
  if (isNews) draft.resolve(`${by} has it.`, by)
}

function reassigned(
  draft: TicketDraft,
  { by, to }: Extract<TicketAsk, { action: 'reassign' }>,
  note: string,
  event: 'opened' | 'updated',
): TicketSteered {
  const { onCall } = draft.plan
  const before = draft.state.asked?.target ?? draft.state.assignee
  if (to !== undefined && onCall.includes(to)) draft.set({ turn: onCall.indexOf(to) + 1 })
  draft.set({ waits: 0 })
  const target = to ?? nextOf(draft, before)
  const until = draft.ask(target, 'reassigned')
  if (target !== null) draft.resolve(`${target} is to take it over.`, target)
  draft.say('reassigned', `${by} passed it on to ${target}, who is to accept it until ${time(until)}.${note}`, by)
  draft.fire([target], `${by} passed it on to you. Please accept it until ${time(until)}.${note}`)
  return { change: draft.change({ event }), answer: `${target} is told, and is to accept it until ${time(until)}.` }
}

/** Not the one who had it. */
function nextOf(draft: TicketDraft, before: string | undefined): string | null {
  const target = draft.turn()
  return target === before && draft.plan.onCall.length > 1 ? draft.turn() : target
}

/** Why it makes no sense now; undefined when it does. */
function refusal(state: TicketState, plan: TicketPlan, ask: TicketAsk, origin: TicketOrigin, now: number): string | undefined {
  const { status, assignee } = state
  if (isOver(state)) return `It is ${status}: nothing is done with it any more.`
  const stale = staleness(state, origin)
  if (stale !== undefined) return stale
  const watched = `It is ${status === 'done' ? 'done' : 'done, and being verified'}: reopen it if it is not.`
  switch (ask.action) {
    case 'accept':
      if (!isOwed(state)) return watched
      if (isUnaccepted(state)) return undefined
      return assignee === ask.by ? `${ask.by} has it already.` : `${assignee} has it: reassign it to take it over.`
    case 'reassign': {
      if (!isOwed(state)) return watched
      const others = plan.onCall.filter((target) => target !== (state.asked?.target ?? assignee))
      if (ask.to === undefined) return others.length === 0 ? 'Nobody else is on call: say to whom.' : undefined
      return isUnaccepted(state) && state.asked?.target === ask.to ? `${ask.to} is told already, and has not accepted it yet.` : undefined
    }
    case 'schedule':
      if (!isOwed(state)) return watched
      if (status === 'in-progress') return 'It is in progress already.'
      if (ask.at === undefined) return undefined
      if (ask.at <= now) return `${time(ask.at)} is past.`
      return ask.at > now + TICKET_LIMITS.plannedMs ? 'That is more than a year ahead.' : undefined
    case 'start':
      if (!isOwed(state)) return watched
      if (status !== 'in-progress' || ask.forMs !== undefined || state.maintenanceUntil === undefined) return undefined
      return `It is in progress already, and its device in maintenance until ${time(state.maintenanceUntil)}: say for how long from now.`
    case 'done':
      return isOwed(state) ? undefined : watched
    case 'comment':
      return state.stories < TICKET_LIMITS.story ? undefined : 'Its story is full: nobody comments any more.'
    case 'cancel':
      return undefined
    case 'reopen':
      return isOwed(state) ? `It is ${status}: only what is said to be done is reopened.` : undefined
  }
}

function staleness({ heardAt, relapses, since }: TicketState, { system, at }: TicketOrigin): string | undefined {
  if (at === undefined) return undefined
  if (heardAt !== undefined && at < heardAt) return `It is older (${time(at)}) than what ${system} said last (${time(heardAt)}).`
  return relapses > 0 && at <= since ? `It is of ${time(at)}, before the relapse of ${time(since)}.` : undefined
}
