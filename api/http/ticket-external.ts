/**
 * Tickets and other systems: the incoming half. `ticket.opened`, `ticket.updated` and `ticket.closed` tell them (docs/tickets.md); here they say how
 * they know a ticket, and what they did with it. Their messages may come twice, late and out of order.
 */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { TicketAsk } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { SYSTEM_PATTERN } from '../../twin-models/ids.ts'
import { note, personName, pointInTime } from '../../twin-models/schemas/ticket-arguments.ts'
import type { HeardAnswer, TicketAsked, TicketRow, Tickets } from '../ticket-ports.ts'
import { withWaiting } from '../ticket-shown.ts'
import type { Endpoints } from './endpoint.ts'
import { jsonContent } from './schemas.ts'
import { nameOf } from './ticket-actions.ts'
import { externalSchema, ticketSchema } from './ticket-json.ts'
import { judged, tooMany } from './ticket-judge.ts'
import { noTicket, ticketParams, ticketTag } from './tickets.ts'

export interface TicketExternalDeps {
  tickets: Tickets
  now: () => number
}

const MAX_BODY_BYTES = 8 * 1024
/** Clocks differ. */
const AHEAD_MS = 86_400_000
const STATUSES = ['accepted', 'scheduled', 'in-progress', 'done', 'cancelled'] as const
const ACTION = { accepted: 'accept', scheduled: 'schedule', 'in-progress': 'start', done: 'done', cancelled: 'cancel' } as const

const system = z
  .string('must be a text')
  .regex(SYSTEM_PATTERN, 'must be a name of up to 64 of A-Z a-z 0-9 . _ -')
  .openapi({ example: 'erp' })
const key = z
  .string('must be a text')
  .regex(/^[^\p{Cc}]{1,200}$/u, 'must have 1 to 200 characters, in one line')
  .openapi({ example: 'WO-4711' })
const messageId = z.string('must be a text').regex(/^[\x21-\x7e]{1,200}$/, 'must have 1 to 200 visible ASCII characters')

const external = z.strictObject({
  system,
  key,
  url: z
    .url({ protocol: /^https?$/, error: 'must be a URL of http or https' })
    .max(2_048)
    .optional(),
  status: z
    .string()
    .regex(/^[^\p{Cc}]{1,100}$/u, 'must have 1 to 100 characters, in one line')
    .optional(),
})

const update = z
  .strictObject({
    system,
    key,
    status: z.enum(STATUSES),
    by: personName.optional(),
    note: note.optional(),
    at: pointInTime.optional(),
    plannedAt: pointInTime.optional(),
    messageId,
  })
  .openapi('TicketUpdate', {
    description:
      '`at` is when it was so there (absent: now), by which what comes late is known; `plannedAt` goes with `scheduled`. `messageId` is the same whenever the same is said again.',
    example: { system: 'erp', key: 'WO-4711', status: 'in-progress', by: 'ann', at: '2026-11-27T14:00:00Z', messageId: 'm-31' },
  })

const heard = z
  .object({
    ticket: z.uuid(),
    applied: z.boolean().openapi({ description: 'False: it made no sense any more, which stands in the story of the ticket.' }),
    detail: z.string(),
  })
  .openapi('HeardTicketUpdate')

export function ticketExternalEndpoints(endpoint: Endpoints, { tickets, now }: TicketExternalDeps): void {
  endpoint(
    {
      method: 'put',
      path: '/v1/tickets/{id}/external',
      operationId: 'setExternalTicket',
      summary: 'Say how another system knows a ticket',
      description: 'A ticket has one such key; another one takes its place. Under it `POST /v1/ticket-updates` finds the ticket.',
      tag: ticketTag,
      params: ticketParams,
      body: { schema: external.openapi('ExternalTicket'), types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: { 200: { description: 'The ticket.', content: jsonContent(ticketSchema.extend({ external: externalSchema })) } },
      problems: [409],
    },
    async ({ tenant, caller, params: { id }, body }) => {
      const { url, status, ...same } = body
      const given = { ...same, ...(url !== undefined && { url }), ...(status !== undefined && { status }) }
      const outcome = await tickets.setExternal(tenant, id, given, nameOf(caller))
      if (outcome === 'taken')
        throw new CastorError('conflict', `${body.system} knows another ticket as ${body.key}.`, {
          errors: [{ path: '/key', detail: 'is taken' }],
        })
      const row = outcome && (await tickets.find(tenant, id))
      if (!row) throw noTicket(id)
      return { status: 200, body: JSON.stringify(withWaiting(row)) }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/ticket-updates',
      operationId: 'hearTicketUpdate',
      summary: 'Say what another system did with a ticket',
      description:
        'The same message again is answered the same (`Idempotency-Replayed`), for 30 days. What is older than the last that was heard, or makes no sense now, is ignored: `applied` is false, `detail` says why, and so does the story of the ticket. A key that no ticket has is 404, and may be said again later.',
      tag: ticketTag,
      body: { schema: update, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: { 200: { description: 'What becomes of it.', content: jsonContent(heard) } },
      problems: [404],
    },
    async ({ tenant, caller, body }) => {
      const { system, key, messageId } = body
      const by = body.by ?? nameOf(caller)
      const answered = await tickets.hear(tenant, { system, key, messageId }, (row) => hearing(row, askedBy(body, by, now()), now()))
      if (answered === 'too-many') throw tooMany()
      if (!answered)
        throw new CastorError('not-found', `${system} knows no ticket as ${key}: say so first, with PUT /v1/tickets/{id}/external.`)
      return {
        status: 200,
        body: JSON.stringify(answered.answered),
        ...(answered.isAgain && { headers: { 'idempotency-replayed': 'true' } }),
      }
    },
  )
}

function askedBy({ system, status, note, at, plannedAt, messageId }: z.output<typeof update>, by: string, now: number): TicketAsked {
  if (at !== undefined && at > now + AHEAD_MS)
    throw new CastorError('invalid', 'at is more than a day ahead.', { errors: [{ path: '/at', detail: 'is more than a day ahead' }] })
  const action = ACTION[status]
  const planned = action === 'schedule' && plannedAt !== undefined && { at: plannedAt }
  const ask = { action, by, ...(note !== undefined && { note }), ...planned } as TicketAsk
  return { id: randomUUID(), ask, origin: { via: 'system', system, messageId, at: Math.min(at ?? now, now) } }
}

function hearing(row: TicketRow, asked: TicketAsked, now: number): { asked?: TicketAsked; answer: HeardAnswer; by: string } {
  const steered = judged(row, asked, now)
  const { by } = asked.ask
  if (steered.refused !== undefined) return { answer: { ticket: row.id, applied: false, detail: steered.refused }, by }
  return { asked, answer: { ticket: row.id, applied: true, detail: steered.answer }, by }
}
