/** /v1/tickets: repairs of devices, from what asked for them until they are verified. The work itself is a workflow; here are its rows. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'
import { TICKET_STATUSES } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { ID_PATTERN } from '../../twin-models/ids.ts'
import { deadlinesOf, type TicketRequest } from '../../twin-models/schemas/ticket.ts'
import { personName } from '../../twin-models/schemas/ticket-arguments.ts'
import { type NamedDeps, namedByTicket, refuseUnknown } from '../../twin-models/unknown-names.ts'
import type { Registry } from '../ports.ts'
import type { TicketByHand, TicketRow, Tickets } from '../ticket-ports.ts'
import { withStory, withWaiting } from '../ticket-shown.ts'
import type { Endpoints } from './endpoint.ts'
import { answerUnder, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { deviceId, jsonContent, wordsParameter } from './schemas.ts'
import { newTicketSchema, ticketDetailsSchema, ticketSchema } from './ticket-json.ts'

export interface TicketDeps extends NamedDeps {
  tickets: Tickets
  registry: Pick<Registry, 'storedAnswer' | 'find'>
}

const MAX_BODY_BYTES = 16 * 1024
export const ticketTag = 'Tickets'
export const ticketParams = z.object({ id: z.uuid('a ticket’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })

export function ticketEndpoints(endpoint: Endpoints, deps: TicketDeps): void {
  const { tickets, registry } = deps
  const tag = ticketTag

  endpoint(
    {
      method: 'post',
      path: '/v1/tickets',
      operationId: 'openTicket',
      summary: 'Open a ticket by hand',
      description:
        'Where one is open for the device and rule already, that is the answer (200), and nothing is changed. With an Idempotency-Key the same request is the same ticket for 24 hours.',
      tag,
      headers: z.object({ 'Idempotency-Key': z.string().min(16).max(255).optional() }),
      body: { schema: newTicketSchema, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'The one that is open already.', content: jsonContent(ticketSchema) },
        201: { description: 'The ticket.', content: jsonContent(ticketSchema), headers: z.object({ Location: z.string() }) },
      },
      problems: [409],
    },
    async ({ tenant, caller, body, header }) => {
      const key = header('idempotency-key')
      const keyHash = key === undefined ? undefined : keyHashOf(tenant, key)
      const requestHash = sha256(JSON.stringify(['ticket', body]))
      const stored = async () => keyHash && (await answerUnder(registry, tenant, keyHash, requestHash))
      let before = await stored()
      if (!before) {
        const ticket = await byHand(tenant, caller, body)
        const opened = await tickets.open(ticket, keyHash && { keyHash, requestHash, salt: new Uint8Array() })
        if (opened === undefined) throw noSuchDevice(body.device)
        if (opened !== 'claimed') return shown(await known(tenant, opened.id), opened.isNew)
        before = await stored()
        if (!before) throw justEnded()
      }
      const { ticket, isNew } = JSON.parse(before.response) as { ticket: string; isNew: boolean }
      return shown(await known(tenant, ticket), isNew, { 'idempotency-replayed': 'true' })
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/tickets',
      operationId: 'listTickets',
      summary: 'List tickets',
      description: 'The story of each: `GET /v1/tickets/{id}`.',
      tag,
      query: z.strictObject({
        status: wordsParameter(TICKET_STATUSES, 'status').optional(),
        severity: wordsParameter(SEVERITIES, 'severity').optional(),
        device: deviceId.optional(),
        rule: z.string().regex(ID_PATTERN, 'must be the name of a rule').optional(),
        assignee: personName.optional(),
        open: z.enum(['true', 'false']).optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(ticketSchema)) } },
    },
    async ({ tenant, query: { status, severity, device, rule, assignee, open, limit, cursor } }) => {
      const query = {
        statuses: status,
        severities: severity,
        device,
        rule,
        assignee,
        isOpen: open === undefined ? undefined : open === 'true',
      }
      const rows = await tickets.list(tenant, query, { after: keyOf('tickets', cursor, z.int()), limit })
      const items = rows.map((row) => JSON.stringify(withWaiting(row)))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('tickets', rows.at(-1)!.number)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/tickets/{id}',
      operationId: 'getTicket',
      summary: 'Get a ticket, with its story and its alarms',
      tag,
      params: ticketParams,
      responses: { 200: { description: 'The ticket.', content: jsonContent(ticketDetailsSchema) } },
    },
    async ({ tenant, params }) => {
      const row = await known(tenant, params.id)
      return { status: 200, body: JSON.stringify(withStory(row, await tickets.story(row.id))) }
    },
  )

  async function known(tenant: string, id: string): Promise<TicketRow> {
    const row = await tickets.find(tenant, id)
    if (!row) throw noTicket(id)
    return row
  }

  async function byHand(tenant: string, by: string, body: TicketRequest): Promise<TicketByHand> {
    const { device, rule = null, predict, verifyFor: verifyForMs, deadlines, ...same } = body
    const found = await registry.find(tenant, device)
    if (!found) throw noSuchDevice(device)
    await refuseUnknown(tenant, namedByTicket(body), deps)
    const { incarnation } = found
    const more = { ...(predict !== undefined && { predict }), verifyForMs, deadlines: deadlinesOf(deadlines), by: by.slice(0, 200) }
    return { ...same, id: randomUUID(), tenant, incarnation, device, rule, ...more }
  }
}

/** Also for one of another tenant. */
export function noTicket(id: string): CastorError {
  return new CastorError('not-found', `There is no ticket ${id}.`)
}

function shown(row: TicketRow, isNew: boolean, headers: Record<string, string> = {}) {
  return {
    status: isNew ? 201 : 200,
    body: JSON.stringify(withWaiting(row)),
    headers: { location: `/v1/tickets/${row.id}`, ...headers },
  } as const
}

function noSuchDevice(device: string): CastorError {
  const message = `There is no device ${device}.`
  return new CastorError('invalid', message, { errors: [{ path: '/device', detail: message }] })
}
