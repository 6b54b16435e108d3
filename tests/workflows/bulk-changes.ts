/** A worker for bulk changes, and Postgres behind it. */
import { randomUUID } from 'node:crypto'
import type { WorkflowHandle } from '@temporalio/client'
import pino from 'pino'
import { createBulkActivities } from '../../activities/bulk-activities.ts'
import type { BulkStore } from '../../activities/ports.ts'
import { createBulkStore } from '../../infra/postgres/bulk-changes.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { bulkChange } from '../../workflows/index.ts'
import { BULK_WORKFLOW, type BulkEnd, type BulkStart } from '../../workflows/messages.ts'
import { inBetween } from '../support/instead.ts'
import { type OperationsWorker, startOperationsWorker } from './operations-worker.ts'

export interface BulkWorker extends OperationsWorker {
  /** What the store does instead, while set. */
  instead: Partial<BulkStore>
  start(start: BulkStart, workflowId?: string): Promise<WorkflowHandle<typeof bulkChange>>
}

export async function startBulkWorker({ sql, address }: { sql: Sql; address: string }): Promise<BulkWorker> {
  const store = createBulkStore(sql)
  const { between, instead } = inBetween(store)
  const log = pino({ level: 'silent' })
  const activities = createBulkActivities({ bulk: between, models: (name) => modelOf(name), log })
  const worker = await startOperationsWorker({ address, activities, maxCachedWorkflows: 0 })
  const { client, taskQueue } = worker
  return {
    ...worker,
    instead,
    start: (start, workflowId = `bulk-test-${randomUUID()}`) =>
      client.workflow.start<(start: BulkStart) => Promise<BulkEnd>>(BULK_WORKFLOW, { workflowId, taskQueue, args: [start] }),
  }
}
