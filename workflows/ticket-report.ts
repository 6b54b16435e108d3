/** What an operator reads of a ticket in the Temporal UI, as Markdown: where it stands, who has it, until when what is wanted, and its story. */
import { code, escaped, section, time } from '../twin-models/core/markdown.ts'
import { riskWords } from '../twin-models/core/ticket-risk.ts'
import type { TicketSight, TicketState, TicketStory } from '../twin-models/core/ticket-types.ts'
import { watchingRule } from '../twin-models/core/ticket-verify.ts'
import { formatDuration } from '../twin-models/durations.ts'
import type { TicketCarried } from './messages.ts'

const MOST_ALARMS = 5

export function ticketReport(carried: TicketCarried, sight: TicketSight): string {
  const { id, tenant, number, plan, state, text, note } = carried
  const parts = [
    `### ${statusWords(state)}: ${escaped(plan.title)}`,
    text === '' ? '' : escaped(text),
    `Ticket ${number}, ${state.severity}, for device ${code(plan.device)}${plan.rule === null ? '' : ` by rule ${code(plan.rule)}`}. Opened by ${code(plan.by)} on ${time(plan.createdAt)}. Tenant ${code(tenant)}, id ${code(id)}.`,
    state.reason === undefined ? '' : `**${escaped(state.reason)}**`,
    note === undefined ? '' : `Last: ${escaped(note)}`,
    section('How it stands', standing(carried, sight)),
    alarmsOf(carried, sight),
    section(
      `Story${state.stories > state.story.length ? `, the last ${state.story.length} of ${state.stories} lines` : ''}`,
      state.story.map(lineOf),
    ),
    mayBeDone(state),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

function statusWords({ status }: TicketState): string {
  return `${status.slice(0, 1).toUpperCase()}${status.slice(1)}`
}

function standing({ plan, state }: TicketCarried, sight: TicketSight): string[] {
  const { external, prediction, isRuleGone } = sight
  const { asked, assignee, planned, maintenanceUntil, relapses, status, doneAt, risk } = state
  const mustStayAway = watchingRule(plan, sight) === null ? '' : `; its condition has to stay away for ${formatDuration(plan.verifyForMs)}`
  const isOver = status === 'closed' || status === 'cancelled'
  return [
    assignee === undefined ? '' : `- Who has it: ${code(assignee)}`,
    asked === undefined ? '' : `- To be accepted ${asked.target === null ? '' : `by ${code(asked.target)} `}until ${time(asked.until)}`,
    isOver ? '' : `- ${dueOf(state)}`,
    planned === undefined ? '' : `- Planned for ${time(planned.at)}`,
    maintenanceUntil === undefined ? '' : `- Its device is in maintenance until ${time(maintenanceUntil)}`,
    doneAt === undefined || isOver ? '' : `- Done on ${time(doneAt)}${mustStayAway}`,
    isRuleGone && !isOver ? '- Its rule was removed: nothing watches its condition any more' : '',
    plan.predict === undefined
      ? ''
      : `- Prediction: ${risk ? riskWords(plan.predict, risk) : code(plan.predict)}${state.prediction ? `, ${prediction?.status ?? 'waiting'}` : ''}`,
    relapses === 0 ? '' : `- Relapses: ${relapses}`,
    `- On call: ${plan.onCall.length === 0 ? 'nobody' : plan.onCall.map(code).join(', ')}`,
    external === undefined
      ? ''
      : `- In ${code(external.system)}: ${code(external.key)}${external.status === undefined ? '' : `, ${code(external.status)}`}${external.url === undefined ? '' : `, ${code(external.url)}`}`,
  ]
}

function dueOf({ dueAt, missed, remindAt }: TicketState): string {
  if (missed === 0) return `To be done by ${time(dueAt)}`
  if (remindAt === undefined) return `It was to be done by ${time(dueAt)}`
  return `**Overdue**: it was to be done by ${time(dueAt)}. Said ${missed === 1 ? 'once' : `${missed} times`}, and again on ${time(remindAt)}`
}

function alarmsOf({ plan }: TicketCarried, { alarms, recent }: TicketSight): string {
  if (plan.rule === null) return ''
  if (recent.length === 0) return `No alarm of rule ${code(plan.rule)} since.`
  const lines = recent.slice(0, MOST_ALARMS).map(({ n, severity, text, raisedAt, clearedAt }) => {
    const until = clearedAt === undefined ? '**still there**' : `cleared on ${time(clearedAt)}`
    return `- ${n}, ${severity}, raised on ${time(raisedAt)}, ${until}: ${escaped(text)}`
  })
  return section(`Alarms: ${alarms}${alarms > lines.length ? `, the newest ${lines.length}` : ''}`, lines)
}

function lineOf({ at, text, via }: TicketStory): string {
  return `- ${time(at)}: ${escaped(text)}${via === undefined ? '' : ` (${VIA[via]})`}`
}

const VIA = { rest: 'REST', ui: 'Temporal UI', link: 'link', system: 'other system' }

function mayBeDone({ status }: TicketState): string {
  switch (status) {
    case 'closed':
    case 'cancelled':
      return ''
    case 'done':
    case 'verifying':
      return 'Updates: `reopen`, `comment`, `cancel`.'
    case 'accepted':
    case 'scheduled':
      return 'Updates: `start`, `schedule`, `done`, `reassign`, `comment`, `cancel`.'
    case 'in-progress':
      return 'Updates: `done`, `start` (for longer), `reassign`, `comment`, `cancel`.'
    default:
      return 'Updates: `accept`, `reassign`, `schedule`, `start`, `done`, `comment`, `cancel`.'
  }
}
