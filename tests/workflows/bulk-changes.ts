/** A worker for bulk changes on the real queue name in a namespace of its own would cost a server: so it has a queue of its own, and Postgres behind it. */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection, type WorkflowHandle } from '@temporalio/client'
import { NativeConnection, Worker } from '@temporalio/worker'
import pino from 'pino'
import { createBulkActivities } from '../../activities/bulk-activities.ts'
import type { BulkStore } from '../../activities/ports.ts'
import { createBulkStore } from '../../infra/postgres/bulk-changes.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { workflowBundle } from '../../infra/temporal/workflow-bundle.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { bulkChange } from '../../workflows/index.ts'
import { BULK_WORKFLOW, type BulkEnd, type BulkStart } from '../../workflows/messages.ts'
import { installedRuntime } from './runtime.ts'

export interface BulkWorker {
  client: Client
  /** What the store does instead, while set. */
  instead: Partial<BulkStore>
  start(start: BulkStart, workflowId?: string): Promise<WorkflowHandle<typeof bulkChange>>
  /** As a worker that ends and another that begins. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export async function startBulkWorker({ sql, address }: { sql: Sql; address: string }): Promise<BulkWorker> {
  const logger = installedRuntime()
  const bundle = await workflowBundle({ folder: join(tmpdir(), 'castor-test-bundles'), logger })
  const store = createBulkStore(sql)
  const instead: Partial<BulkStore> = {}
  const between: BulkStore = {
    register: (...args) => (instead.register ?? store.register)(...args),
    find: (...args) => (instead.find ?? store.find)(...args),
    select: (...args) => (instead.select ?? store.select)(...args),
    advance: (...args) => (instead.advance ?? store.advance)(...args),
  }
  const taskQueue = `operations-${randomUUID()}`
  const native = await NativeConnection.connect({ address })
  const connection = await Connection.connect({ address })
  const client = new Client({ connection })
  let running: Promise<void>
  let worker = await begin()

  async function begin(): Promise<Worker> {
    const made = await Worker.create({
      connection: native,
      taskQueue,
      workflowBundle: bundle,
      activities: createBulkActivities({ bulk: between, models: (name) => modelOf(name), log: pino({ level: 'silent' }) }),
      maxCachedWorkflows: 0,
      shutdownGraceTime: '1 second',
    })
    running = made.run()
    return made
  }

  async function end(): Promise<void> {
    worker.shutdown()
    await running
  }

  return {
    client,
    instead,
    start: (start, workflowId = `bulk-test-${randomUUID()}`) =>
      client.workflow.start<(start: BulkStart) => Promise<BulkEnd>>(BULK_WORKFLOW, { workflowId, taskQueue, args: [start] }),
    restart: async () => {
      await end()
      worker = await begin()
    },
    stop: async () => {
      await end()
      await connection.close()
      await native.close()
    },
  }
}
