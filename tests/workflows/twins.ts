/** A worker for twins on a queue of its own, with real Postgres behind it, and what a test needs to play the owner of a lane. */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection, type WorkflowHandle } from '@temporalio/client'
import { NativeConnection, Worker } from '@temporalio/worker'
import pino from 'pino'
import { createActivities } from '../../activities/create-activities.ts'
import type { DecisionStore } from '../../activities/ports.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { createDecisionStore } from '../../infra/postgres/decision-store.ts'
import { workflowBundle } from '../../infra/temporal/workflow-bundle.ts'
import type { Batch, TwinInput, TwinSettings } from '../../twin-models/core/types.ts'
import { type TwinKey, twinWorkflowId } from '../../twin-models/ids.ts'
import { INBOX_SIGNAL, TWIN_WORKFLOW } from '../../workflows/messages.ts'
import { firstSearchAttributes } from '../../workflows/search-attributes.ts'
import { signJob } from '../support/director.ts'
import { installedRuntime } from './runtime.ts'

export const settings: TwinSettings = {
  model: 'thermostat',
  modelVersion: '1.0.0',
  presenceTimeoutMs: 60_000,
  ranges: { temperature: { minimum: 5, maximum: 40, hysteresis: 1 } },
}

export interface Twins {
  client: Client
  store: DecisionStore
  /** What the worker's store does instead, while set. */
  instead: { write?: DecisionStore['write']; lastSeen?: DecisionStore['lastSeen'] }
  /** Devices of which the bridges were told. */
  announced: number[]
  writes: () => number
  register(): Promise<TwinKey>
  signal(key: TwinKey, seq: number, inputs: TwinInput[], batch?: Partial<Batch>): Promise<WorkflowHandle>
  start(key: unknown, workflowId: string): Promise<WorkflowHandle>
  row(key: TwinKey): Promise<{ revision: number; seq: number; decided: Record<string, unknown> }>
  answers(key: TwinKey): Promise<number[]>
  stop(): Promise<void>
}

export interface TwinsOptions {
  sql: Sql
  address: string
  maxCachedWorkflows: number
}

export async function startTwins({ sql, address, maxCachedWorkflows }: TwinsOptions): Promise<Twins> {
  const logger = installedRuntime()
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const bundle = await workflowBundle({ folder: join(tmpdir(), 'castor-test-bundles'), logger })
  const store = createDecisionStore(sql, { signJob })
  const instead: Twins['instead'] = {}
  let writes = 0
  const between: DecisionStore = {
    write: (decision) => {
      writes++
      return (instead.write ?? store.write)(decision)
    },
    confirm: (key, revision) => store.confirm(key, revision),
    lastSeen: (key) => (instead.lastSeen ?? store.lastSeen)(key),
    sentCommands: (key) => store.sentCommands(key),
    sentUpdate: (key, id) => store.sentUpdate(key, id),
  }
  const announced: number[] = []
  const announcer = { announce: (incarnation: number) => void announced.push(incarnation) }
  const taskQueue = `twins-${randomUUID()}`
  const native = await NativeConnection.connect({ address })
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowBundle: bundle,
    activities: createActivities({ store: between, announcer, log: pino({ level: 'silent' }) }),
    maxCachedWorkflows,
    shutdownGraceTime: '1 second',
  })
  const running = worker.run()
  const connection = await Connection.connect({ address })
  const client = new Client({ connection })

  return {
    client,
    store,
    instead,
    announced,
    writes: () => writes,
    register: async () => {
      const device = `t-${randomUUID()}`
      const [row] = await sql<[{ incarnation: number }]>`
        insert into devices (tenant, device, model, model_version, token_hash)
        values ('demo', ${device}, 'thermostat', '1.0.0', sha256(${device}::text::bytea)) returning incarnation`
      return { tenant: 'demo', device, incarnation: row.incarnation }
    },
    signal: (key, seq, inputs, batch = {}) =>
      client.workflow.signalWithStart(TWIN_WORKFLOW, {
        workflowId: twinWorkflowId(key),
        taskQueue,
        args: [key],
        signal: INBOX_SIGNAL,
        signalArgs: [{ seq, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs, ...batch } }],
        typedSearchAttributes: firstSearchAttributes(key, 'thermostat'),
      }),
    start: (key, workflowId) => client.workflow.start(TWIN_WORKFLOW, { workflowId, taskQueue, args: [key] }),
    row: async ({ incarnation }) => {
      const [row] = await sql<[{ revision: number; seq: number; decided: Record<string, unknown> }]>`
        select revision, decided_seq as seq, decided from devices where incarnation = ${incarnation}`
      return { ...row }
    },
    answers: async ({ incarnation }) => {
      const rows = await sql<{ seq: number }[]>`select seq from twin_answers where incarnation = ${incarnation} order by id`
      return rows.map(({ seq }) => seq)
    },
    stop: async () => {
      worker.shutdown()
      await running
      await connection.close()
      await native.close()
    },
  }
}
