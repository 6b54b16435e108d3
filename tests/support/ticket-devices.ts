/** Devices with alarms, the tickets that they ask for, and a recorder of what people are told. Their twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import type { NewTicket, TicketMessage, TicketNotices, TicketPredictions } from '../../activities/ticket-ports.ts'
import type { Sql, Transaction } from '../../infra/postgres/connect.ts'
import type { Severity } from '../../twin-models/core/rule-types.ts'
import { DEFAULT_DEADLINES, type SeenPrediction, type TicketState } from '../../twin-models/core/ticket-types.ts'

export const PUBLIC_URL = 'https://castor.example.com/base'

/** What people were told, in order; predictions are answered as a test says. */
export interface Recorder {
  messages: TicketMessage[]
  of(ticket: string): string[]
  /** By model. */
  predictions: Map<string, SeenPrediction>
  notices: TicketNotices<Transaction>
  models: TicketPredictions<Transaction>
}

export function recorder(): Recorder {
  const messages: TicketMessage[] = []
  const predictions = new Map<string, SeenPrediction>()
  return {
    messages,
    predictions,
    of: (ticket) => messages.filter(({ key }) => key === `ticket:${ticket}`).map(({ target, status }) => `${target}: ${status}`),
    notices: { insert: async (_tx, told) => void messages.push(...told) },
    models: {
      request: async (_tx, { model }) => model,
      result: async (_tx, _tenant, id) => predictions.get(id) ?? { status: 'waiting' },
    },
  }
}

export interface TestDevice {
  device: string
  incarnation: number
}

export async function pump(sql: Sql): Promise<TestDevice> {
  const device = `p-${randomUUID().slice(0, 8)}`
  const [row] = await sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, token_hash)
    values ('demo', ${device}, 'pump', '1.0.0', sha256(gen_random_uuid()::text::bytea)) returning incarnation`
  await speaks(sql, row.incarnation)
  return { device, incarnation: row.incarnation }
}

/** It was heard after all that a test does: no ticket waits for a word of it. */
export async function speaks(sql: Sql, incarnation: number): Promise<void> {
  await sql`
    insert into twin_inbox (incarnation, lane, last_seen) values (${incarnation}, ${incarnation % 16}, extract(epoch from now() + interval '1 day') * 1000)`
}

export const ALARM_TEXT = 'Vibration is 9.1 mm/s'

/** Alarms of a device, as its decision write makes them. */
export function alarmsOf(sql: Sql, { device, incarnation }: TestDevice, rule = 'vibration') {
  let newest = 0
  return {
    async raise(severity: Severity = 'major'): Promise<number> {
      const n = newest + 1
      await sql`
        insert into alarms (incarnation, n, tenant, device, rule, rule_version, severity, status, text, since, raised_at, updated_at, count, flapping, muted, "values", revision)
        values (${incarnation}, ${n}, 'demo', ${device}, ${rule}, 1, ${severity}, 'raised', ${ALARM_TEXT}, now(), now(), now(), 1, false, false, '{}', 1)
        on conflict do nothing`
      newest = n
      return n
    },
    async clear(n = newest): Promise<void> {
      await sql`update alarms set status = 'cleared', cleared_at = now(), updated_at = now() where incarnation = ${incarnation} and n = ${n}`
    },
    async worsen(severity: Severity, n = newest): Promise<void> {
      await sql`update alarms set severity = ${severity}, updated_at = now() where incarnation = ${incarnation} and n = ${n}`
    },
  }
}

/** That a target is there, to whom something may be passed on. */
export async function targetIs(sql: Sql, name: string): Promise<void> {
  await sql`insert into targets (tenant, name, kind, settings) values ('demo', ${name}, 'webhook', '{}') on conflict do nothing`
}

/** That a rule is there, and watches. */
export async function ruleIs(sql: Sql, name: string, status: 'live' | 'draft' = 'live'): Promise<void> {
  await sql`
    insert into rule_versions (tenant, name, version, body, created_by) values ('demo', ${name}, 1, '{}', 'test') on conflict do nothing`
  await sql`
    insert into rules (tenant, name, version, status, body, created_by) values ('demo', ${name}, 1, ${status}, '{}', 'test')
    on conflict (tenant, name) do update set status = excluded.status`
}

/** Deadlines that are short enough for a test, and long enough that none passes by itself. */
export const SOON = { acceptMs: 60_000, doneMs: 600_000 }

export function ticketOf({ device, incarnation }: TestDevice, alarm: number, more: Partial<NewTicket> = {}): NewTicket {
  return {
    ...{ tenant: 'demo', incarnation, device, rule: 'vibration', ruleVersion: 1, alarm, severity: 'major' },
    ...{ title: 'Bearing wears out', text: ALARM_TEXT, onCall: ['ann', 'bob'], verifyForMs: 1_000 },
    deadlines: { ...DEFAULT_DEADLINES, major: SOON, critical: SOON },
    ...more,
  }
}

export async function stateOf(sql: Sql, id: string): Promise<TicketState & { endedAt: Date | null; step: number }> {
  const [row] = await sql<Array<{ state: string | null; status: string; endedAt: Date | null; step: number }>>`
    select state, status, ended_at as "endedAt", step from tickets where id = ${id}`
  return { ...JSON.parse(row!.state ?? `{"status": "${row!.status}"}`), endedAt: row!.endedAt, step: row!.step }
}

export async function storyOf(sql: Sql, id: string): Promise<string[]> {
  const rows = await sql<Array<{ n: number; what: string }>>`select n, what from ticket_events where ticket = ${id} order by n`
  return rows.map(({ what }) => what)
}

export async function eventsOf(sql: Sql, id: string): Promise<Array<{ kind: string; device: string; event: Record<string, never> }>> {
  const rows = await sql<Array<{ kind: string; device: string; event: string }>>`
    select kind, device, event from outbox where kind like 'ticket-%' and event::json #>> '{ticket,id}' = ${id} order by id`
  return rows.map(({ kind, device, event }) => ({ kind, device, event: JSON.parse(event) }))
}
