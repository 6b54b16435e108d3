/**
 * POST /v1/tickets/{id}/{action}: what a person asks of a ticket. It is a row until its workflow is told, within a second; what makes no sense is
 * refused at once.
 */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { TICKET_LIMITS, type TicketAction, type TicketAsk } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { personName, ticketArguments } from '../../twin-models/schemas/ticket-arguments.ts'
import { type NamedDeps, refuseUnknown } from '../../twin-models/unknown-names.ts'
import type { TicketAsked, Tickets } from '../ticket-ports.ts'
import { withWaiting } from '../ticket-shown.ts'
import type { Endpoints } from './endpoint.ts'
import { jsonContent } from './schemas.ts'
import { ticketSchema } from './ticket-json.ts'
import { answerOf, tooMany } from './ticket-judge.ts'
import { noTicket, ticketParams, ticketTag } from './tickets.ts'

export interface TicketActionDeps extends NamedDeps {
  tickets: Tickets
  now: () => number
}

const MAX_BODY_BYTES = 8 * 1024
const answered = ticketSchema
  .extend({
    answer: z
      .string()
      .openapi({ description: 'What becomes of it.', example: 'It is yours. It is to be done by 2026-11-27 08:00:00 UTC.' }),
  })
  .openapi('AnsweredTicket')

interface Action {
  summary: string
  description?: string
  example: object
}

const ACTIONS: Record<TicketAction, Action> = {
  accept: { summary: 'Take a ticket', example: { by: 'ann', note: 'On my way' } },
  reassign: {
    summary: 'Pass a ticket on',
    description: '`to` is a target; without it the next one on call is told.',
    example: { by: 'ann', to: 'bob' },
  },
  schedule: { summary: 'Plan the repair', example: { by: 'ann', at: '2026-11-27T14:00:00Z' } },
  start: {
    summary: 'Begin the repair: the device is in maintenance',
    description:
      'For as long as `for` says, or as its severity allows: until then its alarms are not told, and no rollout asks it. While it is in progress, for longer.',
    example: { by: 'ann', for: '4h' },
  },
  done: {
    summary: 'Say that it is done',
    description: 'Then it is watched whether that is so.',
    example: { by: 'ann', note: 'A new bearing' },
  },
  comment: { summary: 'Add to the story of a ticket', example: { by: 'ann', note: 'The spare part is ordered' } },
  cancel: { summary: 'End a ticket without a repair', example: { by: 'ann', note: 'It is scrapped' } },
  reopen: {
    summary: 'Say that it is not repaired',
    description: 'While it is verified. One that is closed stays closed: open another.',
    example: { by: 'ann', note: 'It still rattles' },
  },
}

export function ticketActionEndpoints(endpoint: Endpoints, deps: TicketActionDeps): void {
  const { tickets, now } = deps
  for (const [action, { summary, description, example }] of Object.entries(ACTIONS) as Array<[TicketAction, Action]>) {
    const schema = ticketArguments[action] as z.ZodType<{ by?: string; note?: string }>
    endpoint(
      {
        method: 'post',
        path: `/v1/tickets/{id}/${action}`,
        operationId: `${action}Ticket`,
        summary,
        description: `${description === undefined ? '' : `${description} `}Without \`by\` it is done by the API key.`,
        tag: ticketTag,
        params: ticketParams,
        body: { schema: schema.openapi({ example }), types: ['application/json'], maxBytes: MAX_BODY_BYTES, optional: true },
        responses: { 202: { description: 'Its workflow is told within a second.', content: jsonContent(answered) } },
        problems: [409],
      },
      async ({ tenant, caller, params: { id }, body }) => {
        const ask = { action, ...body, by: body.by ?? nameOf(caller) } as TicketAsk
        if (ask.action === 'reassign' && ask.to !== undefined)
          await refuseUnknown(tenant, [{ path: '/to', kind: 'target', name: ask.to }], deps)
        const asked: TicketAsked = { id: randomUUID(), ask, origin: { via: 'rest' } }
        const taken = await tickets.ask(tenant, id, asked, (row) => answerOf(row, asked, now()))
        if (taken === 'too-many') throw tooMany()
        const row = taken && (await tickets.find(tenant, id))
        if (!row) throw noTicket(id)
        return { status: 202, body: JSON.stringify({ ...withWaiting(row), answer: taken.answer }) }
      },
    )
  }
}

/** Made to fit it might be that of another. */
export function nameOf(caller: string): string {
  if (personName.safeParse(caller).success) return caller
  const detail = `The name of this API key must have 1 to ${TICKET_LIMITS.by} characters in one line to stand for who does it: say \`by\`.`
  throw new CastorError('invalid', detail, { errors: [{ path: '/by', detail: 'is needed' }] })
}
