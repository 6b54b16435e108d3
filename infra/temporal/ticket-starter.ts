/**
 * The workflows of tickets that rules and people have opened. One that was ended from outside (terminated, say), or that Temporal has lost, is started
 * again and goes on as it stood: a ticket is forgotten by nobody.
 */
import {
  TICKET_ASKED_SIGNAL,
  TICKET_LOOK_SIGNAL,
  TICKET_WORKFLOW,
  type TicketAsked,
  type TicketLookSignal,
  type TicketStart,
} from '../../workflows/messages.ts'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import { ticketNudged, ticketStarted, ticketsUnderWay, ticketTold, untoldTickets } from '../postgres/ticket-asked.ts'
import { type StarterOptions, startOperationsStarter } from './operations-starter.ts'

export function startTicketStarter(options: StarterOptions): { stop(): Promise<void> } {
  return startOperationsStarter(options, {
    name: 'Tickets',
    workflowType: TICKET_WORKFLOW,
    workflowIdOf: ({ tenant, id }) => `ticket:${tenant}:${id}`,
    untold: untoldTickets,
    started: (sql, { id }, workflowId) => ticketStarted(sql, id, workflowId),
    underWay: ticketsUnderWay,
    interruptedStart: ({ tenant, id }): TicketStart => ({ tenant, id }),
    tell: async (sql, { id, tenant, asked, news }, workflowId, client) => {
      const start: TicketStart = { tenant, id }
      const common = { workflowId, taskQueue: OPERATIONS_QUEUE, args: [start] as [TicketStart] }
      if (asked.length > 0) {
        const signal: TicketAsked = { asks: asked }
        await client.signalWithStart(TICKET_WORKFLOW, { ...common, signal: TICKET_ASKED_SIGNAL, signalArgs: [signal] })
        await ticketTold(sql, id, asked)
      }
      if (news === null) return
      const look: TicketLookSignal = {}
      await client.signalWithStart(TICKET_WORKFLOW, { ...common, signal: TICKET_LOOK_SIGNAL, signalArgs: [look] })
      await ticketNudged(sql, id, news)
    },
  })
}
