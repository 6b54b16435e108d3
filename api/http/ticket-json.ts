/** A ticket as REST asks for it, and as it shows it (api/ticket-shown.ts). */
import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { TICKET_ACTIONS, TICKET_STATUSES } from '../../twin-models/core/ticket-types.ts'
import { ticketRequest } from '../../twin-models/schemas/ticket.ts'
import { time } from './schemas.ts'

export const newTicketSchema = ticketRequest.openapi('NewTicket', {
  description:
    'With a `rule` its alarms tell whether it is repaired; there is one open ticket at a time for a device and rule. `onCall` are targets, told one after the other. `deadlines` say, by severity, how long each has to accept it, and until when it is to be done.',
  example: {
    device: 'p-1',
    title: 'Bearing of p-1 wears out',
    text: 'It is loud since Monday.',
    severity: 'major',
    rule: 'vibration',
    onCall: ['ann', 'bob'],
    verifyFor: '30m',
    deadlines: { major: { accept: '2h', done: '3d' } },
  },
})

const durations = z.object({ accept: z.string(), done: z.string() })
export const externalSchema = z.object({
  system: z.string(),
  key: z.string(),
  url: z.string().optional(),
  status: z.string().optional().openapi({ description: 'In its words.' }),
})

export const ticketSchema = z
  .object({
    id: z.uuid(),
    number: z.int().openapi({ description: 'For people.' }),
    status: z.enum(TICKET_STATUSES).openapi({ description: 'As its workflow said last.' }),
    severity: z.enum(SEVERITIES).openapi({ description: 'The worst of its alarms.' }),
    title: z.string(),
    text: z.string(),
    device: z.string(),
    rule: z.string().optional(),
    ruleVersion: z.int().optional(),
    alarm: z.string().optional().openapi({ description: 'Id of the alarm that it was opened for.' }),
    openedBy: z.string(),
    createdAt: time,
    changedAt: time,
    onCall: z.array(z.string()),
    verifyFor: z.string().openapi({ description: 'For how long its condition has to stay away.', example: '30m' }),
    predict: z
      .string()
      .optional()
      .openapi({ description: 'The prediction model: asked before anybody is told, and again when it is done.' }),
    deadlines: z.record(z.enum(SEVERITIES), durations),
    asked: z
      .object({ target: z.string().optional(), until: time })
      .optional()
      .openapi({ description: 'Who is to accept it, and until when.' }),
    assignee: z.string().optional(),
    dueAt: time.openapi({ description: 'It is to be done by then.' }),
    missed: z.int().openapi({ description: 'How often it was not done in time, and that was said.' }),
    remindAt: time.optional().openapi({ description: 'It is overdue, and that is said again then.' }),
    plannedAt: time.optional(),
    maintenanceUntil: time.optional().openapi({ description: 'Its device is in maintenance until then.' }),
    doneAt: time.optional(),
    risk: z
      .object({ probability: z.number(), threshold: z.number(), at: time })
      .optional()
      .openapi({ description: 'As `predict` said last: high from the threshold on.' }),
    relapses: z.int().openapi({ description: 'How often it was done and was not.' }),
    alarms: z.int().openapi({ description: 'Of its rule, that it has seen.' }),
    reason: z.string().optional().openapi({ description: 'The evidence of its relapse, or how it ended.' }),
    endedAt: time.optional(),
    external: externalSchema.optional(),
    waiting: z
      .array(z.object({ by: z.string(), action: z.enum(TICKET_ACTIONS) }).loose())
      .optional()
      .openapi({ description: 'What was asked of it and its workflow is yet to be told.' }),
  })
  .openapi('Ticket')

export const ticketDetailsSchema = ticketSchema
  .extend({
    story: z
      .array(z.object({ n: z.int(), at: time, what: z.string(), by: z.string().optional(), via: z.string().optional(), text: z.string() }))
      .openapi({ description: 'What happened, in order; the newest 200 lines.' }),
    itsAlarms: z
      .array(z.object({ id: z.string(), severity: z.enum(SEVERITIES), text: z.string(), raisedAt: time, clearedAt: time.optional() }))
      .openapi({ description: 'The newest first, at most 50.' }),
  })
  .openapi('TicketDetails')

export type ShownTicket = z.infer<typeof ticketSchema>
