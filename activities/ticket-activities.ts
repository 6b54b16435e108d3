/** Activities of tickets, on the queue `operations`. The first one validates whatever the workflow was started with. */
import type { Logger } from 'pino'
import { z } from 'zod'
import { CastorError } from '../twin-models/errors.ts'
import { deadlinesOf, ticketRequest } from '../twin-models/schemas/ticket.ts'
import type { TicketCarried } from '../workflows/messages.ts'
import { createAttempt } from './failures.ts'
import type { Ticket, TicketLook, TicketStore, TicketStoreStep } from './ticket-ports.ts'

/** `carried`: where an earlier run of it has come to. */
export type TicketBegun = Omit<TicketCarried, 'n' | 'state' | 'heard' | 'note'> & { carried?: NonNullable<Ticket['carried']> }

export interface TicketActivities {
  /** What rules and REST opened is found by its id; what an operator starts is validated and opened. */
  beginTicket(start: { id: string; workflow: string; tenant?: unknown; [field: string]: unknown }): Promise<TicketBegun>
  stepTicket(step: { id: string; tenant: string } & TicketStoreStep): Promise<TicketLook>
}

/** Who starts workflows in the Temporal UI is the platform's operator. */
const OPERATOR = 'operator'

export function createTicketActivities({ tickets, log }: { tickets: TicketStore; log: Logger }): TicketActivities {
  const attempt = createAttempt(log, 'a ticket')

  async function known(tenant: string, id: string): Promise<Ticket> {
    const ticket = await tickets.find(tenant, id)
    if (!ticket) throw new CastorError('not-found', `There is no ticket ${id} of tenant ${tenant}.`)
    return ticket
  }

  async function begin({ id, workflow, tenant, ...request }: Parameters<TicketActivities['beginTicket']>[0]): Promise<TicketBegun> {
    if (!z.uuid().safeParse(id).success) throw new CastorError('invalid', 'The id of a ticket is a UUID. Leave it out to open one.')
    const ticket = Object.keys(request).length === 0 ? await known(String(tenant), id) : await open(String(tenant ?? ''), id, request)
    await tickets.claim(ticket, workflow)
    log.info({ id: ticket.id, tenant: ticket.tenant, workflow }, 'A ticket begins')
    const { number, text, plan, carried } = ticket
    return { ...{ id: ticket.id, tenant: ticket.tenant, number, text, plan }, ...(carried && { carried }) }
  }

  async function open(tenant: string, id: string, request: unknown): Promise<Ticket> {
    // Begun anew after a reset it is the same one.
    const before = await tickets.find(tenant, id)
    if (before) return before
    const parsed = ticketRequest.safeParse(request)
    if (!parsed.success) throw new CastorError('invalid', `The input of maintenanceTicket is not valid: ${z.prettifyError(parsed.error)}`)
    const { device, rule = null, verifyFor: verifyForMs, deadlines, predict, ...same } = parsed.data
    const incarnation = await tickets.incarnationOf(tenant, device)
    if (incarnation === undefined) throw new CastorError('invalid', `There is no device ${device} of tenant ${JSON.stringify(tenant)}.`)
    const asked = { ...same, ...(predict !== undefined && { predict }), deadlines: deadlinesOf(deadlines), verifyForMs }
    const opened = await tickets.open({ ...asked, id, tenant, incarnation, device, rule, by: OPERATOR })
    if (opened && opened.id !== id)
      throw new CastorError('conflict', `Ticket ${opened.id} is open for this device and rule already: go on with that one.`)
    return known(tenant, id)
  }

  return {
    beginTicket: (start) => attempt('beginTicket', () => begin(start)),
    stepTicket: ({ tenant, id, ...step }) => attempt('stepTicket', async () => tickets.step(await known(tenant, id), step)),
  }
}
