/** A ticket as REST shows it, and as its events carry it. */
import { SEVERITIES } from '../twin-models/core/rule-types.ts'
import type { TicketAsk } from '../twin-models/core/ticket-types.ts'
import { isoTime } from '../twin-models/core/times.ts'
import { formatDuration } from '../twin-models/durations.ts'
import type { ShownTicket } from './http/ticket-json.ts'
import type { TicketAlarm, TicketAsked, TicketLine, TicketRow } from './ticket-ports.ts'

/** Without what is yet to be told: that is no part of how it stands. */
export function shownTicket({ plan, state, ...row }: TicketRow): ShownTicket {
  const { asked, planned, maintenanceUntil, doneAt, assignee, reason, risk } = state
  return {
    ...{
      id: row.id,
      number: row.number,
      status: state.status,
      severity: state.severity,
      title: plan.title,
      text: row.text,
      device: row.device,
    },
    ...(row.rule !== null && { rule: row.rule }),
    ...(row.ruleVersion !== null && { ruleVersion: row.ruleVersion }),
    ...(row.alarm !== null && row.ruleVersion !== null && { alarm: alarmId(row.incarnation, row.alarm) }),
    ...{ openedBy: plan.by, createdAt: isoTime(plan.createdAt), changedAt: isoTime(row.changedAt), onCall: plan.onCall },
    verifyFor: formatDuration(plan.verifyForMs),
    ...(plan.predict !== undefined && { predict: plan.predict }),
    deadlines: shownDeadlines(plan.deadlines),
    ...(asked && { asked: { ...(asked.target !== null && { target: asked.target }), until: isoTime(asked.until) } }),
    ...(assignee !== undefined && { assignee }),
    ...{ dueAt: isoTime(state.dueAt), missed: state.missed },
    ...(state.remindAt !== undefined && { remindAt: isoTime(state.remindAt) }),
    ...(planned && { plannedAt: isoTime(planned.at) }),
    ...(maintenanceUntil !== undefined && { maintenanceUntil: isoTime(maintenanceUntil) }),
    ...(doneAt !== undefined && { doneAt: isoTime(doneAt) }),
    ...(risk && { risk: { ...risk, at: isoTime(risk.at) } }),
    ...{ relapses: state.relapses, alarms: row.alarms },
    ...(reason !== undefined && { reason }),
    ...(row.endedAt !== null && { endedAt: isoTime(row.endedAt) }),
    ...(row.external && { external: row.external }),
  }
}

export function withWaiting(row: TicketRow): ShownTicket {
  return { ...shownTicket(row), ...(row.asked.length > 0 && { waiting: row.asked.map(shownAsk) }) }
}

export function withStory(row: TicketRow, { lines, alarms }: { lines: TicketLine[]; alarms: TicketAlarm[] }): object {
  return {
    ...withWaiting(row),
    story: lines.map(({ at, by, via, ...line }) => ({
      ...line,
      at: isoTime(at),
      ...(by !== null && { by }),
      ...(via !== null && { via }),
    })),
    itsAlarms: alarms.map(({ n, raisedAt, clearedAt, ...alarm }) => ({
      id: alarmId(row.incarnation, n),
      ...alarm,
      raisedAt: isoTime(raisedAt),
      ...(clearedAt !== null && { clearedAt: isoTime(clearedAt) }),
    })),
  }
}

function shownAsk({ ask }: TicketAsked) {
  const { at, forMs, ...same } = ask as TicketAsk & { at?: number; forMs?: number }
  return { ...same, ...(at !== undefined && { at: isoTime(at) }), ...(forMs !== undefined && { for: formatDuration(forMs) }) }
}

function shownDeadlines(deadlines: TicketRow['plan']['deadlines']): ShownTicket['deadlines'] {
  const shown = SEVERITIES.map((severity) => {
    const { acceptMs, doneMs } = deadlines[severity]
    return [severity, { accept: formatDuration(acceptMs), done: formatDuration(doneMs) }]
  })
  return Object.fromEntries(shown) as ShownTicket['deadlines']
}

function alarmId(incarnation: number, n: number): string {
  return `${incarnation}-${n}`
}
