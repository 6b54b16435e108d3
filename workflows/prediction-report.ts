/** What an operator reads of a prediction in the Temporal UI, as Markdown. */
import { code, percent, section, time } from '../twin-models/core/markdown.ts'
import { formatDuration } from '../twin-models/durations.ts'
import { isHigh, type Prediction, type RequestedBy } from '../twin-models/prediction/types.ts'
import type { PredictionStart } from './messages.ts'

const MOST_SHOWN = 20

export function askingReport({ tenant, id, device, model }: PredictionStart): string {
  const what = typeof device === 'string' && typeof model === 'string' ? `Model ${code(model)} about ${code(device)}. ` : ''
  return `### Prediction: the model is asked\n\n${what}Tenant ${code(String(tenant))}, id ${code(String(id))}.`
}

export function predictionReport(prediction: Prediction): string {
  const { id, tenant, device, model, modelVersion, requestedBy, askedAt, answeredAt, latencyMs, explanation, error, features } = prediction
  const version = modelVersion === null ? '' : `, version ${code(modelVersion)},`
  const took = latencyMs === null ? '' : `, in ${latencyMs} ms`
  const ended = answeredAt === null ? '' : ` It ended ${time(answeredAt)}${took}.`
  const inputs = Object.entries(features ?? {})
  const more = inputs.length > MOST_SHOWN ? [`- and ${inputs.length - MOST_SHOWN} more`] : []
  const parts = [
    `### Prediction ${headline(prediction)}`,
    `Model ${code(model)}${version} about ${code(device)}. Asked ${by(requestedBy)} on ${time(askedAt)}.${ended} Tenant ${code(tenant)}, id ${code(id)}.`,
    ...(error === null ? [] : [`**${code(error)}**`]),
    ...(explanation === null ? [] : [section('Why, as the model says', [code(explanation.slice(0, 500))])]),
    ...(inputs.length === 0
      ? []
      : [section('Asked with', [...inputs.slice(0, MOST_SHOWN).map(([name, value]) => `- ${code(name)}: ${value}`), ...more])]),
  ]
  return parts.join('\n\n')
}

function headline(prediction: Prediction): string {
  const { status, probability, threshold, horizonMs } = prediction
  if (status !== 'answered' || probability === null) return status
  const within = horizonMs === null ? '' : ` within ${formatDuration(horizonMs)}`
  const limit = threshold === null ? '' : `; the risk is ${isHigh(prediction) ? 'high' : 'low'}, since high begins at ${percent(threshold)}`
  return `answered: ${percent(probability)}${within}${limit}`
}

function by({ kind, name }: RequestedBy): string {
  return kind === 'schedule' ? 'by its schedule' : `by ${kind === 'person' ? '' : `${kind} `}${code(name)}`
}
