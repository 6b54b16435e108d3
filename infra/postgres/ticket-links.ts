/** Links in messages about tickets: what a token stands for. Only its hash is kept, and the look-up goes by that, so its time tells nothing. */
import type { TicketLink } from '../../api/ticket-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

export async function findTicketLink(sql: Queries, tokenHash: Uint8Array): Promise<TicketLink | undefined> {
  const [row] = await sql<TicketLink[]>`
    select t.tenant, l.ticket, l.target, ${sql.unsafe(epochMs('l.expires_at'))} as "expiresAt"
    from ticket_links l join tickets t on t.id = l.ticket where l.token_hash = ${tokenHash}`
  return row
}
