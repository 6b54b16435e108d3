/** A ticket whose workflow is played, step by step, over the store that it uses. */
import type { TicketLook, TicketStore } from '../../activities/ticket-ports.ts'
import type { TicketAsked } from '../../api/ticket-ports.ts'
import { initialTicket, nextTicketStep } from '../../twin-models/core/ticket.ts'
import { ignoredTicketAsk, steerTicket } from '../../twin-models/core/ticket-steer.ts'
import type { TicketAsk, TicketChange, TicketState } from '../../twin-models/core/ticket-types.ts'

export async function playedTicket(store: TicketStore, id: string) {
  const ticket = (await store.find('demo', id))!
  let n = ticket.carried?.n ?? 0
  let state: TicketState = ticket.carried?.state ?? initialTicket(ticket.plan)
  let look: TicketLook
  const take = async (change?: TicketChange) => {
    look = await store.step(ticket, { n: change ? n + 1 : n, heard: [], seen: look?.sight.seen ?? '', ...(change && { change }) })
    n = look.n
    if (look.ahead) state = look.ahead.state
    else if (change && !look.isStale) state = change.state
    return look
  }
  await take()
  return {
    ticket,
    take,
    get state() {
      return state
    },
    get n() {
      return n
    },
    /** Until it waits. */
    async settle(): Promise<void> {
      for (;;) {
        await take()
        const step = nextTicketStep(state, ticket.plan, look.sight, Date.now())
        if (step.kind !== 'change') return
        await take(step.change)
      }
    },
    /** What was asked, as its workflow takes it. */
    async hear(asks: TicketAsked[]): Promise<void> {
      for (const { ask, origin } of asks) {
        const steered = steerTicket(state, ticket.plan, ask, origin, Date.now())
        const change =
          steered.refused === undefined ? steered.change : ignoredTicketAsk(state, ticket.plan, ask, origin, steered.refused, Date.now())
        while ((await take(change)).isStale);
      }
    },
    changeOf(ask: TicketAsk): TicketChange {
      const steered = steerTicket(state, ticket.plan, ask, { via: 'rest' }, Date.now())
      if (steered.refused !== undefined) throw new Error(steered.refused)
      return steered.change
    },
  }
}
