/** The workflows of predictions that somebody asked for: as many of each model as it may be asked at once. */
import { PREDICTION_WORKFLOW } from '../../workflows/messages.ts'
import { INFERENCE_QUEUE } from '../../workflows/task-queues.ts'
import { predictionInterrupted, predictionStarted, predictionsUnderWay, unaskedPredictions } from '../postgres/prediction-asked.ts'
import { type StarterOptions, startOperationsStarter } from './operations-starter.ts'

/** An answer often takes a few milliseconds, and the next one is asked for only then. */
const LOOK_MS = 250

export function startPredictionStarter(options: StarterOptions): { stop(): Promise<void> } {
  return startOperationsStarter(options, {
    name: 'Predictions',
    workflowType: PREDICTION_WORKFLOW,
    taskQueue: INFERENCE_QUEUE,
    lookMs: LOOK_MS,
    workflowIdOf: ({ tenant, id }) => `prediction:${tenant}:${id}`,
    untold: unaskedPredictions,
    started: (sql, { id }, workflowId) => predictionStarted(sql, id, workflowId),
    underWay: predictionsUnderWay,
    interrupted: (sql, { id }) => predictionInterrupted(sql, id),
    // Nothing is asked of one that is under way: it ends within seconds.
    tell: async () => {},
  })
}
