/** What of the worker asks prediction models: with connections of its own, to Postgres and to the world, so that it delays nothing else. */
import type { Logger } from 'pino'
import { createPredictionActivities } from '../../activities/prediction-activities.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { INFERENCE_QUEUE } from '../../workflows/task-queues.ts'
import type { Config } from '../config.ts'
import { createOutbound } from '../http/outbound.ts'
import { createInference } from '../inference/client.ts'
import { connect } from '../postgres/connect.ts'
import { createPredictionStore } from '../postgres/prediction-work.ts'

const CONNECTIONS = 4
const CACHED = 50
/** Models that are asked at once; those that are slow hold up only each other. */
const AT_ONCE = 20

export function createInferencePart(config: Config & { databaseUrl: string }, log: Logger) {
  const sql = connect(config.databaseUrl, { max: CONNECTIONS, name: 'worker inference', statementTimeoutMs: 8_000, lockTimeoutMs: 5_000 })
  const outbound = createOutbound({ process: 'worker', what: 'requests for predictions', ...config.webhookNetworks })
  const predictions = createPredictionStore(sql, modelOf)
  return {
    /** Of the queue `inference`. */
    worker: {
      taskQueue: INFERENCE_QUEUE,
      activities: createPredictionActivities({ predictions, predictor: createInference({ outbound }), log }),
      maxCachedWorkflows: CACHED,
      maxConcurrentActivityTaskExecutions: AT_ONCE,
    },
    close: async () => {
      outbound.close()
      await sql.end({ timeout: 1 })
    },
  }
}
