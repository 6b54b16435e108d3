/** What tickets tell people, as notices: rows that go to their targets by themselves, with those of alarms. */
import type { TicketNotices } from '../../activities/ticket-ports.ts'
import type { Transaction } from './connect.ts'
import { insertNotices } from './notice-insert.ts'

/** A target that is not there is no reason for the ticket to stand still: its notice has failed, and says so. */
export function createTicketNotices(): TicketNotices<Transaction> {
  return {
    insert: async (tx, messages) => {
      await insertNotices(
        tx,
        messages.map((message) => ({ ...message, kind: 'ticket' })),
      )
    },
  }
}
