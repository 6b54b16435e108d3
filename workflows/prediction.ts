/**
 * A prediction: one question about one device to a model that is served elsewhere, and its answer. What it is to ask stands in Postgres, and the
 * answer is written there, with what the model was asked with. An operator may start it in the Temporal UI with one JSON object, under any id.
 */
import { proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow'
import type { PredictionActivities } from '../activities/prediction-activities.ts'
import { PREDICTION_ASK } from './activity-options.ts'
import { PREDICTION_WORKFLOW, type PredictionEnd, type PredictionStart } from './messages.ts'
import { mustBeTakeable, showStatus } from './operators.ts'
import { askingReport, predictionReport } from './prediction-report.ts'

const { answerPrediction } = proxyActivities<PredictionActivities>(PREDICTION_ASK)

export async function prediction(start: PredictionStart): Promise<PredictionEnd> {
  mustBeTakeable(start, PREDICTION_WORKFLOW)
  const { workflowId: workflow, firstExecutionRunId } = workflowInfo()
  // Also after a reset to its beginning it is this one, and not another.
  const asked = { ...start, id: start?.id ?? firstExecutionRunId, workflow }
  setCurrentDetails(askingReport(asked))
  const end = await answerPrediction(asked)
  setCurrentDetails(predictionReport(end))
  showStatus(end.tenant, end.status)
  return end
}
