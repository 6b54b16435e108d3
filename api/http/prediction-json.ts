/** Prediction models and predictions as REST shows them. Of credentials nothing is shown but that they are there. */
import { z } from '@hono/zod-openapi'
import { formatDuration } from '../../twin-models/durations.ts'
import { isHigh, OUTCOMES, PREDICTION_STATUSES, type Prediction } from '../../twin-models/prediction/types.ts'
import { predictionModelRequest } from '../../twin-models/schemas/prediction-model.ts'
import type { PredictionModel } from '../prediction-ports.ts'
import { iso, time } from './schemas.ts'

const { shape } = predictionModelRequest

export const predictionModelSchema = z
  .object({
    name: z.string().openapi({ example: 'pump-failure' }),
    ...{ url: z.string(), model: z.string(), version: z.string().optional(), inputs: shape.inputs, tensor: z.string().optional() },
    ...{ datatype: shape.datatype, output: shape.output, horizon: z.string(), threshold: z.number(), timeout: z.string(), atOnce: z.int() },
    schedule: z.object({ every: z.string(), filter: z.string(), nextAt: time }).optional(),
    auth: z
      .object({ kind: z.literal('bearer') })
      .optional()
      .openapi({ description: 'What it is, is never shown.' }),
    description: z.string(),
    waiting: z.int().openapi({ description: 'Predictions that wait for their answer.' }),
    createdAt: time,
    createdBy: z.string(),
    changedAt: time,
  })
  .openapi('PredictionModel')

export const featuresSchema = z
  .record(z.string(), z.number())
  .openapi({ description: 'What the model was asked with, by the names of its inputs.', example: { vibration: 3.9, temperature: 58.2 } })

export const predictionSchema = z
  .object({
    id: z.uuid(),
    device: z.string(),
    model: z.string().openapi({ description: 'Name of the prediction model.' }),
    requestedBy: z.object({ kind: z.enum(['rule', 'ticket', 'schedule', 'person']), name: z.string() }),
    status: z.enum(PREDICTION_STATUSES),
    askedAt: time,
    answeredAt: time.optional().openapi({ description: 'Or when it failed.' }),
    features: featuresSchema.optional(),
    probability: z.number().min(0).max(1).optional(),
    threshold: z.number().optional(),
    high: z.boolean().optional().openapi({ description: 'The probability is not below the threshold, as it stood then.' }),
    horizon: z.string().optional().openapi({ description: 'What is predicted may happen within so long.', example: '2d' }),
    explanation: z.string().optional(),
    modelVersion: z.string().optional(),
    latencyMs: z.int().optional(),
    error: z.string().optional().openapi({ description: 'Why it failed.' }),
    outcome: z
      .object({ outcome: z.enum(OUTCOMES), at: time, by: z.string(), note: z.string().optional() })
      .optional()
      .openapi({ description: 'What became of the device, as somebody said later.' }),
  })
  .openapi('Prediction')

export function predictionModelJson(model: PredictionModel): string {
  const { name, settings, hasAuth, nextAt, createdAt, createdBy, changedAt, waiting } = model
  const { schedule, description, ...rest } = settings
  return JSON.stringify({
    ...{ name, ...rest },
    ...(schedule && { schedule: { ...schedule, nextAt: iso(nextAt ?? changedAt) } }),
    ...(hasAuth && { auth: { kind: 'bearer' } }),
    ...{ description, waiting, createdAt: iso(createdAt), createdBy, changedAt: iso(changedAt) },
  })
}

export function predictionJson(prediction: Prediction): string {
  const { id, device, model, requestedBy, status, askedAt, answeredAt, features, probability, threshold, horizonMs } = prediction
  const { explanation, modelVersion, latencyMs, error, outcome, outcomeAt, outcomeBy, outcomeNote } = prediction
  return JSON.stringify({
    ...{ id, device, model, requestedBy, status, askedAt: iso(askedAt) },
    ...(answeredAt !== null && { answeredAt: iso(answeredAt) }),
    ...(features && { features }),
    ...(probability !== null && { probability, threshold, high: isHigh(prediction) }),
    ...(horizonMs !== null && { horizon: formatDuration(horizonMs) }),
    ...(explanation !== null && { explanation }),
    ...(modelVersion !== null && { modelVersion }),
    ...(latencyMs !== null && { latencyMs }),
    ...(error !== null && { error }),
    ...(outcome !== null && {
      outcome: { outcome, at: iso(outcomeAt!), by: outcomeBy, ...(outcomeNote !== null && { note: outcomeNote }) },
    }),
  })
}
