/** What a ticket is asked: by operators in the Temporal UI as Updates with one JSON object each, and by everybody else as the signal `asked`. */
import { defineSignal, setHandler } from '@temporalio/workflow'
import type { TicketAction, TicketAsk, TicketOrigin, TicketVia } from '../twin-models/core/ticket-types.ts'
import { isTicketAsk, ticketAskOf } from '../twin-models/ticket-ask.ts'
import { TICKET_ASKED_SIGNAL, TICKET_LOOK_SIGNAL, type TicketAsked, type TicketLookSignal } from './messages.ts'
import { handleAskUpdates, type Queued } from './operators.ts'

export interface AskedOfTicket extends Queued<TicketAsk> {
  origin: TicketOrigin
}

/** They stand in the menu of the UI. */
const DESCRIPTIONS: { [action in TicketAction]: string } = {
  accept: 'Take it: {"by": "your name"}. "note" may say more, here as with all others.',
  reassign: 'Pass it on: {"by": "your name", "to": "a target"}. Without "to" the next one on call is told.',
  schedule: 'Say for when it is planned: {"by": "your name", "at": "2026-11-26T14:00:00Z"}.',
  start: 'Begin: {"by": "your name", "for": "2h"}. Its device is in maintenance for so long; without "for" as long as its severity allows.',
  done: 'Say that it is done: {"by": "your name", "note": "what was done"}. Then it is watched whether that is so.',
  comment: 'Say something to its story: {"by": "your name", "note": "…"}.',
  cancel: 'End it without a repair: {"by": "your name", "note": "why"}.',
  reopen: 'Say that it is not repaired, while it is verified: {"by": "your name", "note": "what is wrong"}.',
}
const VIAS: ReadonlySet<unknown> = new Set<TicketVia>(['rest', 'ui', 'link', 'system'])
const IN_THE_UI: TicketOrigin = { via: 'ui' }

export function handleTicketAsked(queue: AskedOfTicket[], refusal: (ask: TicketAsk) => string | undefined, look: () => void): void {
  handleAskUpdates(queue, {
    ...{ descriptions: DESCRIPTIONS, parse: ticketAskOf, refusal },
    toQueue: (ask, id) => ({ ask, id, origin: IN_THE_UI }),
  })
  setHandler(defineSignal<[TicketAsked]>(TICKET_ASKED_SIGNAL), (asked) => void queue.push(...heard(asked)), {
    description:
      'What was asked over REST, by a link, or by another system: {"asks": [{"id": …, "ask": {"action": …}, "origin": {"via": …}}]}.',
  })
  setHandler(defineSignal<[TicketLookSignal?]>(TICKET_LOOK_SIGNAL), look, {
    description: 'An alarm of its device and rule was raised or cleared: look. Sent by the workers.',
  })
}

/** REST has checked them; a signal may be of somebody else. */
function heard(asked: TicketAsked | undefined): AskedOfTicket[] {
  const asks = Array.isArray(asked?.asks) ? asked.asks : []
  return asks.filter((one) => typeof one?.id === 'string' && VIAS.has(one.origin?.via) && isTicketAsk(one.ask))
}
