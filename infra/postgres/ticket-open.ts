/** Opening tickets: what the rule action `ticket` calls, and people. One is open at a time for a device and rule, so another cause of the same joins it. */
import { randomUUID } from 'node:crypto'
import type { NewTicket, OpenedTicket } from '../../activities/ticket-ports.ts'
import type { TicketAsk } from '../../api/alarms/ports.ts'
import { DEFAULT_DEADLINES, DEFAULT_VERIFY_MS, TICKET_LIMITS, type TicketPlan } from '../../twin-models/core/ticket-types.ts'
import type { Queries } from './connect.ts'

/** What of a plan stands in the column of that name: the rest are columns of their own. */
export type StoredPlan = Omit<TicketPlan, 'device' | 'rule' | 'createdAt' | 'by'>

/**
 * Opens one, or joins the one that is open for the device and rule; in one statement, so also of two at once. An alarm asks once: with one that was
 * somebody's before nothing is done. What joins is seen by the ticket's workflow in `alarms`. Texts are cut at their limits: those of a rule are made of
 * what devices say. Undefined: there is no such device.
 */
export async function openTicket(sql: Queries, ticket: NewTicket): Promise<OpenedTicket | undefined> {
  const { id = randomUUID(), tenant, incarnation, rule, ruleVersion = null, alarm = null, severity } = ticket
  const text = ticket.text.slice(0, TICKET_LIMITS.text)
  const [row] = await sql<Array<{ id: string; outcome: OpenedTicket['outcome'] }>>`
    with device as (
      select incarnation, tenant, device from devices where incarnation = ${incarnation} and tenant = ${tenant} for key share
    ), cause as (
      select coalesce(${alarm}::int, (
        select n from alarms where incarnation = ${incarnation} and rule = ${rule}::text and cleared_at is null order by n desc limit 1)) as n
    ), known as (
      select ticket from ticket_alarms where incarnation = ${incarnation} and n = ${alarm}::int
    ), opened as (
      insert into tickets (id, tenant, incarnation, device, rule, rule_version, alarm, text, plan, opened_by, severity)
      select ${id}::uuid, tenant, incarnation, device, ${rule}::text, ${ruleVersion}::int,
        coalesce(cause.n, (select coalesce(max(n), 0) + 1 from alarms where incarnation = ${incarnation})),
        ${text}, ${JSON.stringify(planOf(ticket))}, ${ticket.by ?? rule ?? 'somebody'}, ${severity}
      from device, cause where not exists (select from known)
      on conflict (incarnation, rule) where ended_at is null do update set nudged = tickets.nudged
      returning tickets.id, tickets.id = ${id}::uuid as made
    ), noted as (
      insert into ticket_alarms (incarnation, n, ticket)
      select ${incarnation}::int, cause.n, opened.id from opened, cause where cause.n is not null on conflict do nothing
    )
    select id, case when made then 'opened' else 'joined' end as outcome from opened union all select ticket, 'known' from known`
  return row
}

/** As the action of a rule asks for it. Gives its id. */
export async function openTicketOfRule(
  sql: Queries,
  { n, verifyForMs = DEFAULT_VERIFY_MS, ...ask }: TicketAsk,
): Promise<string | undefined> {
  return (await openTicket(sql, { ...ask, alarm: n, verifyForMs }))?.id
}

function planOf({ title, onCall, severity, deadlines, verifyForMs, predict }: NewTicket): StoredPlan {
  return {
    ...{
      title: title.replaceAll(/\p{Cc}+/gu, ' ').slice(0, TICKET_LIMITS.title),
      onCall: [...new Set(onCall)].slice(0, TICKET_LIMITS.onCall),
    },
    ...{ severity, deadlines: { ...DEFAULT_DEADLINES, ...deadlines }, verifyForMs },
    ...(predict !== undefined && { predict }),
  }
}
