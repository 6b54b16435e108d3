/** A worker for predictions, with Postgres behind it and model servers on this machine. */
import { randomUUID } from 'node:crypto'
import type { WorkflowHandle } from '@temporalio/client'
import pino from 'pino'
import { createPredictionActivities } from '../../activities/prediction-activities.ts'
import type { PredictionStore } from '../../activities/prediction-ports.ts'
import { createOutbound } from '../../infra/http/outbound.ts'
import { createInference } from '../../infra/inference/client.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { createPredictionStore } from '../../infra/postgres/prediction-work.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { prediction } from '../../workflows/index.ts'
import { PREDICTION_WORKFLOW, type PredictionStart } from '../../workflows/messages.ts'
import { inBetween } from '../support/instead.ts'
import { type OperationsOptions, type OperationsWorker, startOperationsWorker } from './operations-worker.ts'

export interface PredictionWorker extends OperationsWorker {
  store: PredictionStore
  /** What the store does instead, while set. */
  instead: Partial<PredictionStore>
  start(start: PredictionStart, workflowId?: string): Promise<WorkflowHandle<typeof prediction>>
}

type Options = Pick<OperationsOptions, 'address' | 'namespace' | 'taskQueue'> & { sql: Sql; maxCachedWorkflows?: number }

export async function startPredictionWorker({ sql, maxCachedWorkflows = 0, ...options }: Options): Promise<PredictionWorker> {
  const store = createPredictionStore(sql, modelOf)
  const { between, instead } = inBetween(store)
  const outbound = createOutbound({ process: 'worker', what: 'requests for predictions', allowPrivate: true, allowNetworks: [] })
  const predictor = createInference({ outbound })
  const activities = createPredictionActivities({ predictions: between, predictor, log: pino({ level: 'silent' }) })
  const worker = await startOperationsWorker({ ...options, activities, maxCachedWorkflows })
  const { client, taskQueue } = worker
  return {
    ...worker,
    store,
    instead,
    start: (start, workflowId = `prediction-test-${randomUUID()}`) =>
      client.workflow.start<typeof prediction>(PREDICTION_WORKFLOW, { workflowId, taskQueue, args: [start] }),
    stop: async () => {
      await worker.stop()
      outbound.close()
    },
  }
}
