/** What of tickets goes with time: links when they have expired, what other systems said after a month, and tickets a year after they ended. */
import type { Sql } from './connect.ts'

const KEPT = { tickets: '365 days', messages: '30 days' }
const ROWS = { tickets: 200, others: 20_000 }

export async function deleteEndedTickets(sql: Sql, now: Date): Promise<number> {
  const tickets = await sql`
    delete from tickets where id in (
      select id from tickets where ended_at < ${now}::timestamptz - ${KEPT.tickets}::text::interval order by ended_at limit ${ROWS.tickets})`
  const links = await sql`
    delete from ticket_links where token_hash in (select token_hash from ticket_links where expires_at < ${now}::timestamptz limit ${ROWS.others})`
  const messages = await sql`
    delete from ticket_messages where (tenant, system, message_id) in (
      select tenant, system, message_id from ticket_messages where at < ${now}::timestamptz - ${KEPT.messages}::text::interval limit ${ROWS.others})`
  return tickets.count + links.count + messages.count
}
