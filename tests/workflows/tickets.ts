/** A worker for tickets, and Postgres behind it. */
import pino from 'pino'
import { createTicketActivities } from '../../activities/ticket-activities.ts'
import type { NewTicket, TicketStore } from '../../activities/ticket-ports.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { createPredictionModels } from '../../infra/postgres/prediction-models.ts'
import { createTargets } from '../../infra/postgres/targets.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import type { maintenanceTicket } from '../../workflows/index.ts'
import { TICKET_LOOK_SIGNAL, TICKET_WORKFLOW } from '../../workflows/messages.ts'
import { alarmsOf, eventsOf, PUBLIC_URL, pump, type Recorder, recorder, stateOf, storyOf, ticketOf } from '../support/ticket-devices.ts'
import { until } from '../support/wait.ts'
import { type OperationsOptions, startWorkerOf, type WorkerOf } from './operations-worker.ts'

export interface TicketWorker extends WorkerOf<TicketStore, typeof maintenanceTicket> {
  recorder: Recorder
}

export async function startTicketWorker({
  sql,
  maxCachedWorkflows = 50,
  ...options
}: { sql: Sql; maxCachedWorkflows?: number } & Pick<OperationsOptions, 'address' | 'namespace' | 'taskQueue'>): Promise<TicketWorker> {
  const recorded = recorder()
  const store = createTicketStore(sql, { notices: recorded.notices, predictions: recorded.models, publicUrl: PUBLIC_URL })
  const names = { targets: createTargets(sql), predictionModels: createPredictionModels(sql) }
  const worker = await startWorkerOf<TicketStore, typeof maintenanceTicket>(TICKET_WORKFLOW, store, {
    ...{ ...options, maxCachedWorkflows },
    activities: (tickets) => createTicketActivities({ tickets, ...names, log: pino({ level: 'silent' }) }),
  })
  return { ...worker, recorder: recorded }
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

/** What its twin was asked, in order: until when it is in maintenance, null: no longer. */
async function maintenanceOf(sql: Sql, id: string): Promise<Array<number | null>> {
  const rows = await sql<Array<{ body: string }>>`
    select body from twin_requests where kind = 'maintenance' and body::json ->> 'by' = ${id} order by created_at`
  return rows.map(({ body }) => JSON.parse(body).until)
}
