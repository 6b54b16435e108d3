/** The page behind a link in a message: what is wrong where, since when, who has it, and what may be done. Plain HTML; all that others wrote is escaped. */
import { hash } from 'node:crypto'
import { time } from '../../twin-models/core/markdown.ts'
import { riskWords } from '../../twin-models/core/ticket-risk.ts'
import { TICKET_LIMITS, type TicketAction, type TicketStatus } from '../../twin-models/core/ticket-types.ts'
import type { TicketAlarm, TicketLine, TicketRow } from '../ticket-ports.ts'

/** To end a ticket without a repair takes more than a link. */
export const LINK_ACTIONS = ['accept', 'reassign', 'schedule', 'start', 'done', 'comment', 'reopen'] as const satisfies TicketAction[]
type LinkAction = (typeof LINK_ACTIONS)[number]

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1rem;color:#222;background:#fff}
h1{font-size:1.4rem}dt{color:#666;float:left;clear:left;width:9rem}dd{margin:0 0 .2rem 9rem}form{margin:.8rem 0}
button{font:inherit;padding:.5rem 1rem;border:1px solid #888;border-radius:.3rem;background:#f2f2f2}textarea,input{font:inherit;width:100%;box-sizing:border-box}
.note{background:#fff4d6;border-left:.3rem solid #d9a400;padding:.6rem}ol{padding-left:1.2rem;color:#444;font-size:.9rem}`

/** Nobody keeps it, learns of its address, runs anything in it or puts it into a frame. */
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'x-robots-tag': 'noindex, nofollow',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${hash('sha256', STYLE, 'base64')}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
} as const

export interface ShownPage {
  row: TicketRow
  /** Who it was sent to. */
  target: string
  lines: TicketLine[]
  /** The newest. */
  alarm: TicketAlarm | undefined
  /** Why what was asked makes no sense. */
  refused?: string
  /** Where its forms lead, from where the page is: behind whatever proxy and path that may be. */
  base: string
}

export function ticketPage({ row, target, lines, alarm, refused, base }: ShownPage): string {
  const { plan, state } = row
  const waiting = row.asked.map(({ ask }) => ask.action)
  const body = [
    `<h1>${text(plan.title)}</h1>`,
    refused === undefined ? '' : `<p class="note"><strong>That is not possible.</strong> ${text(refused)}</p>`,
    waiting.length === 0
      ? ''
      : `<p class="note">On its way to the ticket: ${text(waiting.join(', '))}. This page looks again in two seconds.</p>`,
    row.text === '' ? '' : `<p>${text(row.text).replaceAll('\n', '<br>')}</p>`,
    `<dl>${factsOf(row, alarm)
      .map(([name, value]) => `<dt>${name}</dt><dd>${text(value)}</dd>`)
      .join('')}</dl>`,
    ...actionsOf(state.status).map((action) => formOf(action, base)),
    lines.length === 0
      ? ''
      : `<h2>What happened</h2><ol>${lines.map((line) => `<li>${time(line.at)}: ${text(line.text)}</li>`).join('')}</ol>`,
    `<p>What you do here is done as ${text(target)}.</p>`,
  ]
  return documentOf(`Ticket ${row.number}`, body.join('\n'), waiting.length > 0 && refused === undefined)
}

export function refusalPage(detail: string): string {
  return documentOf('Castor', `<h1>That did not go well</h1>\n<p>${text(detail)}</p>`, false)
}

function documentOf(title: string, body: string, looksAgain: boolean): string {
  const again = looksAgain ? '\n<meta http-equiv="refresh" content="2">' : ''
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">${again}
<title>${text(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`
}

function factsOf(
  { number, device, rule, plan, state, endedAt }: TicketRow,
  alarm: TicketAlarm | undefined,
): Array<[name: string, value: string]> {
  const { asked, assignee, planned, maintenanceUntil, reason, risk } = state
  const facts: Array<[string, string | undefined | false]> = [
    ['Ticket', `${number}, ${state.severity}, ${state.status}`],
    ['Device', device],
    ['Rule', rule ?? undefined],
    [
      'Alarm',
      alarm &&
        `${alarm.text} (raised on ${time(alarm.raisedAt)}${alarm.clearedAt === null ? '' : `, cleared on ${time(alarm.clearedAt)}`})`,
    ],
    ['Since', time(plan.createdAt)],
    ['Why', reason],
    ['Risk', risk && riskWords(plan.predict ?? '', risk)],
    ['Who has it', assignee],
    ['To be accepted', asked && `${asked.target === null ? '' : `by ${asked.target} `}until ${time(asked.until)}`],
    ['To be done by', endedAt === null && `${time(state.dueAt)}${state.remindAt === undefined ? '' : ': overdue'}`],
    ['Planned for', planned && time(planned.at)],
    ['In maintenance', maintenanceUntil !== undefined && `until ${time(maintenanceUntil)}`],
    ['Ended', endedAt !== null && time(endedAt)],
  ]
  return facts.filter((fact): fact is [string, string] => typeof fact[1] === 'string')
}

function actionsOf(status: TicketStatus): LinkAction[] {
  switch (status) {
    case 'closed':
    case 'cancelled':
      return []
    case 'done':
    case 'verifying':
      return ['reopen', 'comment']
    case 'accepted':
    case 'scheduled':
      return ['start', 'done', 'schedule', 'reassign', 'comment']
    case 'in-progress':
      return ['done', 'reassign', 'comment']
    default:
      return ['accept', 'reassign', 'start', 'done', 'schedule', 'comment']
  }
}

const BUTTONS: Record<LinkAction, string> = {
  accept: 'I take it',
  reassign: 'Not me: tell the next one',
  schedule: 'Plan it',
  start: 'I begin: the device is in maintenance',
  done: 'It is done',
  comment: 'Say something',
  reopen: 'It is not repaired',
}
/** With which a note goes, and what it is. */
const NOTES: Partial<Record<LinkAction, string>> = {
  done: 'What was done (optional)',
  comment: 'What there is to say',
  reopen: 'What is wrong',
}

function formOf(action: LinkAction, base: string): string {
  const field = NOTES[action]
  const isNeeded = action === 'comment' || action === 'reopen'
  const note =
    field === undefined
      ? ''
      : `<label>${field}<textarea name="note" rows="2" maxlength="${TICKET_LIMITS.note}"${isNeeded ? ' required' : ''}></textarea></label>`
  const at = action === 'schedule' ? '<label>When (UTC)<input type="datetime-local" name="at" required></label>' : ''
  return `<form method="post" action="${base}/${action}">${note}${at}<button>${BUTTONS[action]}</button></form>`
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
