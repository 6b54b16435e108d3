/** A worker for tickets, Postgres behind it, devices whose twins are played by SQL, and a recorder of what people are told. */
import { randomUUID } from 'node:crypto'
import type { WorkflowHandle } from '@temporalio/client'
import pino from 'pino'
import { createTicketActivities } from '../../activities/ticket-activities.ts'
import type { NewTicket, TicketMessage, TicketNotices, TicketPredictions, TicketStore } from '../../activities/ticket-ports.ts'
import type { Sql, Transaction } from '../../infra/postgres/connect.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import type { Severity } from '../../twin-models/core/rule-types.ts'
import { DEFAULT_DEADLINES, type SeenPrediction, type TicketState } from '../../twin-models/core/ticket-types.ts'
import type { maintenanceTicket } from '../../workflows/index.ts'
import { TICKET_LOOK_SIGNAL, TICKET_WORKFLOW, type TicketEnd, type TicketStart } from '../../workflows/messages.ts'
import { until } from '../support/wait.ts'
import { type OperationsOptions, type OperationsWorker, startOperationsWorker } from './operations-worker.ts'

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

export interface TicketWorker extends OperationsWorker {
  /** What the store does instead, while set. */
  instead: Partial<TicketStore>
  store: TicketStore
  recorder: Recorder
  start(start: TicketStart, workflowId?: string): Promise<WorkflowHandle<typeof maintenanceTicket>>
}

export async function startTicketWorker({
  sql,
  maxCachedWorkflows = 50,
  ...options
}: { sql: Sql; maxCachedWorkflows?: number } & Pick<OperationsOptions, 'address' | 'namespace' | 'taskQueue'>): Promise<TicketWorker> {
  const recorded = recorder()
  const store = createTicketStore(sql, { notices: recorded.notices, predictions: recorded.models, publicUrl: PUBLIC_URL })
  const instead: Partial<TicketStore> = {}
  const between: TicketStore = {
    open: (...args) => (instead.open ?? store.open)(...args),
    incarnationOf: (...args) => (instead.incarnationOf ?? store.incarnationOf)(...args),
    find: (...args) => (instead.find ?? store.find)(...args),
    claim: (...args) => (instead.claim ?? store.claim)(...args),
    step: (...args) => (instead.step ?? store.step)(...args),
  }
  const activities = createTicketActivities({ tickets: between, log: pino({ level: 'silent' }) })
  const worker = await startOperationsWorker({ ...options, activities, maxCachedWorkflows })
  const { client, taskQueue } = worker
  return {
    ...worker,
    ...{ instead, store, recorder: recorded },
    start: (start, workflowId = `ticket-test-${randomUUID()}`) =>
      client.workflow.start<(start: TicketStart) => Promise<TicketEnd>>(TICKET_WORKFLOW, { workflowId, taskQueue, args: [start] }),
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
  return { device, incarnation: row.incarnation }
}

export const ALARM_TEXT = 'Vibration is 9.1 mm/s'

/** Alarms of a device, as its decision write makes them. */
export function alarmsOf(sql: Sql, { device, incarnation }: TestDevice, rule = 'vibration') {
  let newest = 0
  return {
    async raise(severity: Severity = 'major'): Promise<number> {
      const n = ++newest
      await sql`
        insert into alarms (incarnation, n, tenant, device, rule, rule_version, severity, status, text, since, raised_at, updated_at, count, flapping, muted, "values")
        values (${incarnation}, ${n}, 'demo', ${device}, ${rule}, 1, ${severity}, 'raised', ${ALARM_TEXT}, now(), now(), now(), 1, false, false, '{}')`
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

/** A device with an alarm, and the ticket that it asked for, at work. */
export async function begun(sql: Sql, worker: TicketWorker, more: Partial<NewTicket> = {}) {
  const device = await pump(sql)
  const alarms = alarmsOf(sql, device)
  const alarm = await alarms.raise(more.severity)
  const opened = await openTicket(sql, ticketOf(device, alarm, more))
  const id = opened!.id
  const handle = await worker.start({ tenant: 'demo', id })
  return {
    ...{ ...device, alarms, id, handle },
    /** As the starter does it, when there is something new to see. */
    look: () => handle.signal(TICKET_LOOK_SIGNAL, {}),
    state: () => stateOf(sql, id),
    becomes: (status: string) => until(async () => (await stateOf(sql, id)).status === status, `it is ${status}`),
    steer: (action: string, argument: object) => handle.executeUpdate<string, [object]>(action, { args: [argument] }),
    story: () => storyOf(sql, id),
    told: () => worker.recorder.of(id),
    events: () => eventsOf(sql, id),
    maintenance: () => maintenanceOf(sql, id),
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

/** What its twin was asked, in order: until when it is in maintenance, null: no longer. */
async function maintenanceOf(sql: Sql, id: string): Promise<Array<number | null>> {
  const rows = await sql<Array<{ body: string }>>`
    select body from twin_requests where kind = 'maintenance' and body::json ->> 'by' = ${id} order by created_at`
  return rows.map(({ body }) => JSON.parse(body).until)
}
