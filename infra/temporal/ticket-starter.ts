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
import type { Sql } from '../postgres/connect.ts'
import {
  ticketNudged,
  ticketStarted,
  ticketsUnderWay,
  ticketsWithNews,
  ticketTold,
  type UntoldTicket,
  untoldTickets,
} from '../postgres/ticket-asked.ts'
import { type StarterOptions, startOperationsStarter } from './operations-starter.ts'

/** To look for what is new takes at most this share of the time, however many tickets are open. */
const NEWS_SHARE = 0.02

export function startTicketStarter(options: StarterOptions): { stop(): Promise<void> } {
  const news = createNews()
  return startOperationsStarter(options, {
    name: 'Tickets',
    workflowType: TICKET_WORKFLOW,
    workflowIdOf: ({ tenant, id }) => `ticket:${tenant}:${id}`,
    untold: async (sql) => [...(await untoldTickets(sql)), ...(await news(sql))],
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

function createNews(): (sql: Sql) => Promise<UntoldTicket[]> {
  let notBefore = 0
  return async (sql) => {
    const began = performance.now()
    if (began < notBefore) return []
    const found = await ticketsWithNews(sql)
    const ended = performance.now()
    notBefore = ended + (ended - began) / NEWS_SHARE
    return found
  }
}
