/** Tickets as rows: as REST shows them, and as their events carry them. */
import type { TicketAsked, TicketRow } from '../../api/ticket-ports.ts'
import { initialTicket } from '../../twin-models/core/ticket.ts'
import type { SeenExternal, TicketState } from '../../twin-models/core/ticket-types.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'
import { type PlanRow, planOf } from './tickets.ts'

type StoredTicket = PlanRow &
  Omit<TicketRow, 'plan' | 'state' | 'external' | 'asked'> & {
    /** JSON, as `asked`. */
    state: string | null
    asked: string | null
    system: string | null
    key: string | null
    url: string | null
    externalStatus: string | null
  }

/** `where` and `more` are of `tickets t`. */
export async function ticketRows(sql: Queries, where: ReturnType<Queries>, more: ReturnType<Queries>): Promise<TicketRow[]> {
  const rows = await sql<StoredTicket[]>`
    select t.id, t.number, t.incarnation, t.device, t.rule, t.rule_version as "ruleVersion", t.alarm, t.text, t.plan, t.opened_by as by, t.state, t.asked,
      ${sql.unsafe(epochMs('t.created_at'))} as "createdAt", ${sql.unsafe(epochMs('t.changed_at'))} as "changedAt",
      ${sql.unsafe(epochMs('t.ended_at'))} as "endedAt", (select count(*)::int from ticket_alarms a where a.ticket = t.id) as alarms,
      t.external_system as system, t.external_key as key, t.external_url as url, t.external_status as "externalStatus"
    from tickets t where ${where} ${more}`
  return rows.map(parsed)
}

export async function findRow(sql: Queries, tenant: string, id: string): Promise<TicketRow | undefined> {
  const [row] = await ticketRows(sql, sql`t.tenant = ${tenant} and t.id = ${id}`, sql``)
  return row
}

function parsed(row: StoredTicket): TicketRow {
  const { id, number, incarnation, device, rule, ruleVersion, alarm, text, changedAt, endedAt, alarms } = row
  const plan = planOf(row)
  return {
    ...{ id, number, incarnation, device, rule, ruleVersion, alarm, text, plan, changedAt, endedAt, alarms },
    state: row.state === null ? initialTicket(plan) : (JSON.parse(row.state) as TicketState),
    external: externalOf(row),
    asked: JSON.parse(row.asked ?? '[]') as TicketAsked[],
  }
}

function externalOf({ system, key, url, externalStatus }: StoredTicket): SeenExternal | undefined {
  if (system === null || key === null) return undefined
  return { system, key, ...(url !== null && { url }), ...(externalStatus !== null && { status: externalStatus }) }
}
