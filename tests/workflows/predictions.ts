/** A worker for predictions, with Postgres behind it and model servers on this machine. */
import pino from 'pino'
import { createPredictionActivities } from '../../activities/prediction-activities.ts'
import type { PredictionStore } from '../../activities/prediction-ports.ts'
import { createOutbound } from '../../infra/http/outbound.ts'
import { createInference } from '../../infra/inference/client.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { createPredictionStore } from '../../infra/postgres/prediction-work.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import type { prediction } from '../../workflows/index.ts'
import { PREDICTION_WORKFLOW } from '../../workflows/messages.ts'
import { type OperationsOptions, startWorkerOf, type WorkerOf } from './operations-worker.ts'

export type PredictionWorker = WorkerOf<PredictionStore, typeof prediction>

type Options = Pick<OperationsOptions, 'address' | 'namespace' | 'taskQueue'> & { sql: Sql; maxCachedWorkflows?: number }

export async function startPredictionWorker({ sql, maxCachedWorkflows = 0, ...options }: Options): Promise<PredictionWorker> {
  const outbound = createOutbound({ process: 'worker', what: 'requests for predictions', allowPrivate: true, allowNetworks: [] })
  const predictor = createInference({ outbound })
  const worker = await startWorkerOf<PredictionStore, typeof prediction>(PREDICTION_WORKFLOW, createPredictionStore(sql, modelOf), {
    ...{ ...options, maxCachedWorkflows },
    activities: (predictions) => createPredictionActivities({ predictions, predictor, log: pino({ level: 'silent' }) }),
  })
  return {
    ...worker,
    stop: async () => {
      await worker.stop()
      outbound.close()
    },
  }
}
