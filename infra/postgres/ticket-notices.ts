/** What tickets tell people, as notices: rows that go to their targets by themselves, with those of alarms. */
import type { TicketMessage, TicketNotices } from '../../activities/ticket-ports.ts'
import type { Transaction } from './connect.ts'

export function createTicketNotices(): TicketNotices<Transaction> {
  return { insert: insertNotices }
}

/** A target that is not there is no reason for the ticket to stand still: its notice has failed, and says so. */
async function insertNotices(tx: Transaction, messages: TicketMessage[]): Promise<void> {
  const rows = messages.map(({ facts, links, ...row }) => ({ ...row, facts: JSON.stringify(facts), links: JSON.stringify(links) }))
  await tx`
    insert into notices (tenant, target, endpoint, kind, key, step, device, status, state, reason, severity, subject, words, facts, links, since,
      group_key, due_at, ready_at, ended_at)
    select r.tenant, r.target, t.number, 'ticket', r.key, r.step, r.device, r.status, case when t.number is null then 'failed' else 'waiting' end,
      case when t.number is null then 'There is no target of this name' end, r.severity, r.subject, r.text, r.facts, r.links,
      to_timestamp(r.since / 1000), r.key || ' ' || r.step, to_timestamp(r."dueAt" / 1000),
      case when t.number is not null then to_timestamp(r."dueAt" / 1000) end, case when t.number is null then now() end
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as r (tenant text, target text, key text, step text, device text, status text,
      severity text, subject text, text text, facts text, links text, since float8, "dueAt" float8)
      left join targets t on t.tenant = r.tenant and t.name = r.target
    on conflict (tenant, key, target, step) do nothing`
}
