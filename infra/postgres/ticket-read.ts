/** Tickets as REST opens, reads and asks them. Their workflows are started and told by infra/temporal/ticket-starter.ts. */
import type { TicketAlarm, TicketLine, Tickets } from '../../api/ticket-ports.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { claimKey, releaseKey } from './idempotency.ts'
import { askTicket } from './ticket-asked.ts'
import { hearSystem, setExternal } from './ticket-external.ts'
import { openTicket } from './ticket-open.ts'
import { findRow, ticketRows } from './ticket-rows.ts'

/** Lines and alarms of one ticket that are shown: its newest. */
const SHOWN = { lines: 200, alarms: 50 }

export function createTickets(sql: Sql): Tickets {
  return {
    open: (ticket, claim) => openByHand(sql, ticket, claim),
    find: (tenant, id) => findRow(sql, tenant, id),
    list: (tenant, query, { after, limit }) => {
      const { statuses, severities, device, rule, assignee, isOpen } = query
      const among = (column: string, words: readonly string[] | undefined) =>
        words === undefined ? sql`` : sql`and ${sql.unsafe(column)} = any(${words as string[]}::text[])`
      return ticketRows(
        sql,
        sql`t.tenant = ${tenant} and t.number < ${after ?? Number.MAX_SAFE_INTEGER} ${among('t.status', statuses)} ${among('t.severity', severities)}
          ${device === undefined ? sql`` : sql`and t.device = ${device}`} ${rule === undefined ? sql`` : sql`and t.rule = ${rule}`}
          ${assignee === undefined ? sql`` : sql`and t.assignee = ${assignee}`}
          ${isOpen === undefined ? sql`` : isOpen ? sql`and t.ended_at is null` : sql`and t.ended_at is not null`}`,
        sql`order by t.number desc limit ${limit}`,
      )
    },
    story: (id) => storyOf(sql, id),
    ask: (tenant, id, asked, judge) => sql.begin((tx) => askTicket(tx, tenant, id, asked, judge)),
    setExternal: (tenant, id, external, by) => sql.begin((tx) => setExternal(tx, tenant, id, external, by)),
    hear: (tenant, message, judge) => sql.begin((tx) => hearSystem(tx, tenant, message, judge)),
  }
}

async function openByHand(
  sql: Sql,
  ticket: Parameters<Tickets['open']>[0],
  claim: Parameters<Tickets['open']>[1],
): ReturnType<Tickets['open']> {
  return sql.begin(async (tx) => {
    if (claim && !(await claimKey(tx, ticket.tenant, claim, ''))) return 'claimed'
    const opened = await openTicket(tx, ticket)
    const keyHash = claim?.keyHash
    // Of a device that is gone nothing is kept: the key is free again.
    if (keyHash && !opened) await releaseKey(tx, ticket.tenant, keyHash, '')
    if (keyHash && opened)
      await tx`update idempotency_keys set response = ${JSON.stringify({ ticket: opened.id, isNew: opened.outcome === 'opened' })} where tenant = ${ticket.tenant} and key_hash = ${keyHash}`
    return opened && { id: opened.id, isNew: opened.outcome === 'opened' }
  })
}

async function storyOf(sql: Queries, id: string): Promise<{ lines: TicketLine[]; alarms: TicketAlarm[] }> {
  const [lines, alarms] = await Promise.all([
    sql<TicketLine[]>`
      select n, ${sql.unsafe(epochMs('at'))} as at, what, by, via, text from (
        select * from ticket_events where ticket = ${id} order by n desc limit ${SHOWN.lines}) newest order by n`,
    sql<TicketAlarm[]>`
      select a.n, a.severity, a.text, ${sql.unsafe(epochMs('a.raised_at'))} as "raisedAt", ${sql.unsafe(epochMs('a.cleared_at'))} as "clearedAt"
      from ticket_alarms t join alarms a on a.incarnation = t.incarnation and a.n = t.n where t.ticket = ${id}
      order by a.n desc limit ${SHOWN.alarms}`,
  ])
  return { lines, alarms }
}
