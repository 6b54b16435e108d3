/** Events of maintenance tickets: as with all platform events no twin decides them. They are of the ticket’s device, and carry the whole ticket. */
import type { JsonObject } from '../core/types.ts'
import { severity } from './alarm-events.ts'
import { platformEvent } from './platform-events.ts'
import { about, anyObject, type Fields, OF_DEVICE, object, oneOf, share, text, texts, time, whole, word } from './schema.ts'

export interface TicketEvent {
  kind: 'ticket-opened' | 'ticket-updated' | 'ticket-closed'
  at: number
  /** As REST shows it. */
  ticket: object
  /** What happened, in the words of its story, and in sentences. */
  what: string[]
  text: string
  /** Who did it, where somebody did. */
  by?: string
  origin: { via: 'castor' | 'rest' | 'ui' | 'link' | 'system'; system?: string; messageId?: string }
}

const ticket: JsonObject = object({
  id: text,
  number: about(whole, 'For people.'),
  status: word(
    'notified',
    'reassigned',
    'escalated',
    'accepted',
    'scheduled',
    'in-progress',
    'verifying',
    'reopened',
    'closed',
    'cancelled',
  ),
  severity,
  title: text,
  text,
  device: text,
  'rule?': about(text, 'Absent: no rule asked for it.'),
  'alarm?': about(text, 'Id of the alarm that it was opened for.'),
  openedBy: text,
  createdAt: time,
  changedAt: time,
  onCall: texts,
  'asked?': about(object({ 'target?': text, until: time }), 'Who is to accept it, and until when.'),
  'assignee?': text,
  dueAt: about(time, 'It is to be done by then.'),
  'remindAt?': about(time, 'It is overdue, and that is said again then.'),
  'plannedAt?': time,
  'maintenanceUntil?': about(time, 'Its device is in maintenance until then.'),
  'doneAt?': time,
  'risk?': about(object({ probability: share, threshold: share, at: time }), 'As its prediction model said last.'),
  relapses: whole,
  alarms: about(whole, 'Of its rule, that came since.'),
  'reason?': about(text, 'The evidence of its relapse, or how it ended.'),
  'endedAt?': time,
  'external?': about(anyObject, 'As another system knows it: `system`, `key`, `url`, `status`.'),
})

const FIELDS: Fields = {
  ...OF_DEVICE,
  ticket,
  what: about(texts, 'What happened: `accepted`, `reopened`, …'),
  text: about(text, 'The same in words.'),
  'by?': text,
  origin: about(
    object({ via: oneOf('castor', 'rest', 'ui', 'link', 'system'), 'system?': text, 'messageId?': text }),
    'How it came: by itself, over REST, in the Temporal UI, by a link, or from another system. A system leaves aside what it said itself.',
  ),
}

const TICKET = {
  id: '5b0f3f3e-6c0a-4c8e-9d55-0c2f6f0f1a11',
  number: 17,
  status: 'notified',
  severity: 'major',
  title: 'Bearing of p-1 wears out',
  text: 'Vibration is 9.1 mm/s',
  device: 'p-1',
  rule: 'vibration',
  alarm: '4711-3',
  openedBy: 'vibration',
  createdAt: '2026-11-26T21:31:17.072Z',
  changedAt: '2026-11-26T21:31:17.072Z',
  onCall: ['ann', 'bob'],
  asked: { target: 'ann', until: '2026-11-26T22:31:17.072Z' },
  dueAt: '2026-11-27T21:31:17.072Z',
  relapses: 0,
  alarms: 1,
}
const { asked: _, ...taken } = TICKET

export const ticketOpened = platformEvent('ticket.opened', 'ticket-opened', {
  description: 'A repair is wanted of a device: by a rule whose alarm was raised, or by somebody.',
  fields: FIELDS,
  example: {
    device: 'p-1',
    ticket: TICKET,
    what: ['opened', 'told'],
    text: 'Opened by rule vibration, alarm 3 (Vibration is 9.1 mm/s). ann is told, and is to accept it until 2026-11-26 22:31:17 UTC.',
    by: 'vibration',
    origin: { via: 'castor' },
  },
  cause: { by: 'ticket', who: 'vibration' },
})

export const ticketUpdated = platformEvent('ticket.updated', 'ticket-updated', {
  description: 'Somebody did something with a ticket, or nobody did in time, or what was done is not.',
  fields: FIELDS,
  example: {
    device: 'p-1',
    ticket: { ...taken, status: 'accepted', assignee: 'ann' },
    what: ['accepted'],
    text: 'ann accepted it.',
    by: 'ann',
    origin: { via: 'system', system: 'erp', messageId: 'm-31' },
  },
  cause: { by: 'ticket', who: 'ann' },
})

export const ticketClosed = platformEvent('ticket.closed', 'ticket-closed', {
  description: 'A ticket is over: its repair is verified (`closed`), or it is not wanted any more (`cancelled`).',
  fields: FIELDS,
  example: {
    device: 'p-1',
    ticket: {
      ...taken,
      status: 'closed',
      assignee: 'ann',
      doneAt: '2026-11-28T19:01:17.073Z',
      reason: 'Its condition stayed away since 2026-11-28 19:01:17 UTC.',
      endedAt: '2026-11-28T19:31:17.073Z',
    },
    what: ['closed'],
    text: 'It is closed. Its condition stayed away since 2026-11-28 19:01:17 UTC.',
    origin: { via: 'castor' },
  },
  cause: { by: 'ticket' },
})
