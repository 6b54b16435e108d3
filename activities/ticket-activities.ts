/** Activities of tickets, on the queue `operations`. The first one validates whatever the workflow was started with. */
import type { Logger } from 'pino'
import { z } from 'zod'
import { CastorError } from '../twin-models/errors.ts'
import { deadlinesOf, ticketRequest } from '../twin-models/schemas/ticket.ts'
import { type NamedDeps, namedByTicket, refuseUnknown, unknownNames, unknownWords } from '../twin-models/unknown-names.ts'
import type { TicketCarried } from '../workflows/messages.ts'
import { createAttempt } from './failures.ts'
import type { Ticket, TicketLook, TicketStore, TicketStoreStep } from './ticket-ports.ts'

/** `carried`: where an earlier run of it has come to. */
export type TicketBegun = Omit<TicketCarried, 'n' | 'state' | 'heard' | 'note'> & { carried?: NonNullable<Ticket['carried']> }

export interface TicketActivities {
  /** What rules and REST opened is found by its id; what an operator starts is validated and opened. */
  beginTicket(start: { id: string; workflow: string; tenant?: unknown; [field: string]: unknown }): Promise<TicketBegun>
  stepTicket(step: { id: string; tenant: string } & TicketStoreStep & Condition): Promise<TicketStepped>
}

interface Condition {
  /** The step is done only while there is a target of this name. */
  target?: string
}

/** `refused`: why it was not done. */
export type TicketStepped = TicketLook & { refused?: string }

export interface TicketDependencies extends NamedDeps {
  tickets: TicketStore
  log: Logger
}

/** Who starts workflows in the Temporal UI is the platform's operator. */
const OPERATOR = 'operator'

export function createTicketActivities({ tickets, log, ...names }: TicketDependencies): TicketActivities {
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
    await refuseUnknown(tenant, namedByTicket(parsed.data), names)
    const asked = { ...same, ...(predict !== undefined && { predict }), deadlines: deadlinesOf(deadlines), verifyForMs }
    const opened = await tickets.open({ ...asked, id, tenant, incarnation, device, rule, by: OPERATOR })
    if (opened && opened.id !== id)
      throw new CastorError('conflict', `Ticket ${opened.id} is open for this device and rule already: go on with that one.`)
    return known(tenant, id)
  }

  async function step({ tenant, id, target, ...asked }: Parameters<TicketActivities['stepTicket']>[0]): Promise<TicketStepped> {
    const ticket = await known(tenant, id)
    const unknown = target === undefined ? [] : await unknownNames(tenant, [{ path: '/to', kind: 'target', name: target }], names)
    if (unknown.length === 0) return tickets.step(ticket, asked)
    // Only a look, which also finds what was done before and is asked for again.
    const { change: _, ...look } = asked
    return { ...(await tickets.step(ticket, { ...look, n: asked.n - 1 })), refused: unknownWords(unknown) }
  }

  return {
    beginTicket: (start) => attempt('beginTicket', () => begin(start)),
    stepTicket: (asked) => attempt('stepTicket', () => step(asked)),
  }
}
