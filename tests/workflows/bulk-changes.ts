/** A worker for bulk changes, and Postgres behind it. */
import pino from 'pino'
import { createBulkActivities } from '../../activities/bulk-activities.ts'
import type { BulkStore } from '../../activities/ports.ts'
import { createBulkStore } from '../../infra/postgres/bulk-changes.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { bulkChange } from '../../workflows/index.ts'
import { BULK_WORKFLOW } from '../../workflows/messages.ts'
import { startWorkerOf, type WorkerOf } from './operations-worker.ts'

export type BulkWorker = WorkerOf<BulkStore, typeof bulkChange>

export function startBulkWorker({ sql, address }: { sql: Sql; address: string }): Promise<BulkWorker> {
  const log = pino({ level: 'silent' })
  return startWorkerOf(BULK_WORKFLOW, createBulkStore(sql), {
    ...{ address, maxCachedWorkflows: 0 },
    activities: (bulk) => createBulkActivities({ bulk, models: (name) => modelOf(name), log }),
  })
}
