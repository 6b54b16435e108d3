/** What the rules of a device found and nobody has cleared, and that somebody repairs it, as sections of its twin's report (report.ts). */
import { code, section, short, time } from './markdown.ts'
import { type OpenAlarm, type Repair, SEVERITIES } from './rule-types.ts'
import type { TwinState } from './types.ts'

const SHOWN_ALARMS = 20
/** A text is longer than what else is shown: it says what is wrong. */
const TEXT_SHOWN = 200

/** The worst first, of equal ones the oldest. */
export function alarmsOpen({ alarms }: TwinState): string {
  const open = Object.values(alarms).sort((a, b) => rank(b) - rank(a) || a.raisedAt - b.raisedAt)
  if (open.length === 0) return ''
  const lines = open.slice(0, SHOWN_ALARMS).map((alarm) => `- ${alarmWords(alarm)}`)
  const left = open.length - SHOWN_ALARMS
  return section('Alarms', left > 0 ? [...lines, `- and ${left} more`] : lines)
}

function alarmWords({ n, rule, severity, text, since, count, flapping, muted, acknowledged, shelvedUntil, assignee }: OpenAlarm): string {
  const note = acknowledged?.note === undefined ? '' : `: ${code(short(acknowledged.note))}`
  const more = [
    `since ${time(since)}`,
    count > 1 ? `came ${count} times` : '',
    flapping ? 'flapping' : '',
    acknowledged ? `acknowledged by ${code(short(acknowledged.by))} at ${time(acknowledged.at)}${note}` : 'not acknowledged',
    assignee === undefined ? '' : `assigned to ${code(short(assignee))}`,
    shelvedUntil === undefined ? '' : `shelved until ${time(shelvedUntil)}`,
    muted ? 'muted' : '',
  ]
  const said = code(text.length > TEXT_SHOWN ? `${text.slice(0, TEXT_SHOWN)}…` : text)
  return `**${severity}**, number ${n} by ${code(short(rule))}: ${said}; ${more.filter((word) => word !== '').join(', ')}`
}

function rank({ severity }: OpenAlarm): number {
  return SEVERITIES.indexOf(severity)
}

export function maintenanceNow({ maintenance }: TwinState): string {
  if (!maintenance) return ''
  const { since, others = [] } = maintenance
  return section('In maintenance', [
    `- Since ${time(since)} ${repairWords(maintenance)}`,
    ...others.map((other) => `- Also ${repairWords(other)}`),
    '- Its alarms are muted, and a firmware update that was not let go waits',
  ])
}

function repairWords({ until, by, ticket, reason }: Repair): string {
  const why = reason === undefined ? '' : `: ${code(short(reason))}`
  return `until ${time(until)}, by ${ticket ? 'ticket ' : ''}${code(short(by))}${why}`
}
