/** A worker for webhooks in trouble, on a queue of its own, with Postgres behind it. Receivers are played by a function. */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection, type WorkflowHandle } from '@temporalio/client'
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker'
import pino from 'pino'
import { createWebhookActivities } from '../../activities/webhook-activities.ts'
import type { Try } from '../../api/webhooks/ports.ts'
import { workOff } from '../../api/webhooks/work-off.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { numberRows } from '../../infra/postgres/outbox.ts'
import { createWebhookWork } from '../../infra/postgres/webhook-work.ts'
import { createWebhooks } from '../../infra/postgres/webhooks.ts'
import { workflowBundle } from '../../infra/temporal/workflow-bundle.ts'
import { outcomeOf } from '../../twin-models/core/delivery.ts'
import { webhookRequest } from '../../twin-models/schemas/webhook.ts'
import type { webhookDelivery } from '../../workflows/index.ts'
import { WEBHOOK_LOOK_SIGNAL, WEBHOOK_WORKFLOW, type WebhookStart } from '../../workflows/messages.ts'

export interface WebhookWorker {
  client: Client
  /** What its receivers answer: a status. What is thrown is thrown by the activity. */
  answer: (position: number) => number
  /** Positions, in the order in which they were attempted. */
  readonly attempts: number[]
  /** A webhook of `demo` whose deliveries have failed, and are due after so many ms each. */
  troubled(dueMs: number[]): Promise<{ id: string; number: number; positions: number[] }>
  /** Under its id, as the dispatcher tells it. */
  look(id: string): Promise<WorkflowHandle<typeof webhookDelivery>>
  stop(): Promise<void>
}

export async function startWebhookWorker(options: { sql: Sql; address: string; maxCachedWorkflows?: number }): Promise<WebhookWorker> {
  const { sql, address, maxCachedWorkflows = 0 } = options
  const logger = new DefaultLogger('ERROR')
  try {
    const filter = { core: 'ERROR', other: 'ERROR' } as const
    Runtime.install({ logger, shutdownSignals: [], telemetryOptions: { logging: { forward: {}, filter } } })
  } catch {
    // It is there already.
  }
  const bundle = await workflowBundle({ folder: join(tmpdir(), 'castor-test-bundles'), logger })
  const taskQueue = `webhooks-${randomUUID()}`
  const native = await NativeConnection.connect({ address })
  const connection = await Connection.connect({ address })
  const client = new Client({ connection })
  const attempts: number[] = []
  const attempt: Try = async (_endpoint, { position }) => {
    attempts.push(position)
    const answer = { ms: 3, status: made.answer(position), answer: 'what it says' }
    return { startedAt: Date.now(), attempt: answer, outcome: outcomeOf(answer, Date.now()) }
  }
  const store = createWebhookWork(sql)
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowBundle: bundle,
    activities: createWebhookActivities({
      workOff: (ask, stopping) => workOff(ask, { store, attempt }, stopping),
      log: pino({ level: 'silent' }),
    }),
    maxCachedWorkflows,
    shutdownGraceTime: '1 second',
  })
  const running = worker.run()

  const made: WebhookWorker = {
    client,
    attempts,
    answer: () => 204,
    troubled: (dueMs) => troubled(sql, dueMs),
    look: (id) =>
      client.workflow.signalWithStart<typeof webhookDelivery, [object]>(WEBHOOK_WORKFLOW, {
        workflowId: `webhook:demo:${id}`,
        taskQueue,
        args: [{ tenant: 'demo', id } satisfies WebhookStart],
        signal: WEBHOOK_LOOK_SIGNAL,
        signalArgs: [{}],
      }),
    stop: async () => {
      worker.shutdown()
      await running
      await connection.close()
      await native.close()
    },
  }
  return made
}

async function troubled(sql: Sql, dueMs: number[]): Promise<{ id: string; number: number; positions: number[] }> {
  const id = randomUUID()
  const settings = webhookRequest.parse({ url: 'https://erp.example.com/', types: ['*'] })
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  await createWebhooks(sql).insert({ id, tenant: 'demo', settings, secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' })
  const rows = await sql<Array<{ id: number }>>`
    insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
    select now(), 'demo', 1, 'd-1', n, 'presence-changed', '{"at":1764000000000,"before":"never","after":"online","reason":"message"}', '{"by":"timer"}'
    from generate_series(1, ${dueMs.length}::int) n returning id`
  await numberRows(sql, 1_000)
  const [{ number }] = await sql<[{ number: number }]>`select number from webhooks where id = ${id}`
  const positions = await sql<Array<{ position: number }>>`
    with events as (
      select position, at, row_number() over (order by position) as n from outbox where id in ${sql(rows.map((row) => row.id))}
    )
    insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, attempts, next_at, log)
    select ${number}, position, at, 1, 'd-1', 'twin.online', 'retrying', 1, now() + make_interval(secs => ms / 1000),
      '[{"at":1764000000000,"ms":15000,"error":"It did not answer within 15 s"}]'
    from events join json_array_elements_text(${JSON.stringify(dueMs)}::text::json) with ordinality as due (text, n) using (n),
      lateral (select text::float8 as ms) as due_ms
    returning position`
  await sql`update webhooks set troubled_at = now() where number = ${number}`
  return { id, number, positions: positions.map(({ position }) => position).sort((a, b) => a - b) }
}

/** What an operator reads in the Temporal UI. */
export async function detailsOf(handle: WorkflowHandle): Promise<string> {
  const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')
  return currentDetails
}
