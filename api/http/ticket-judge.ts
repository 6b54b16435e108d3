/**
 * Whether what is asked of a ticket makes sense, by the same pure core that its workflow decides with; what was asked before counts, though its
 * workflow is yet to be told of it.
 */
import { steerTicket } from '../../twin-models/core/ticket-steer.ts'
import type { TicketSteered } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { TicketAsked, TicketRow } from '../ticket-ports.ts'

export function judged({ state, plan, asked }: TicketRow, { ask, origin }: TicketAsked, now: number): TicketSteered {
  const then = asked.reduce((before, earlier) => {
    const steered = steerTicket(before, plan, earlier.ask, earlier.origin, now)
    return steered.refused === undefined ? steered.change.state : before
  }, state)
  return steerTicket(then, plan, ask, origin, now)
}

/** Throws why it makes no sense. */
export function answerOf(row: TicketRow, asked: TicketAsked, now: number): string {
  const steered = judged(row, asked, now)
  if (steered.refused !== undefined) throw new CastorError('conflict', steered.refused)
  return steered.answer
}

export function tooMany(): CastorError {
  return new CastorError('unavailable', 'Its workflow is yet to be told of what was asked before. Try again.', { retryAfterSeconds: 5 })
}
