/** /v1/prediction-models: models that are served elsewhere, what they are asked with, and a test of them. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { ID_PATTERN } from '../../twin-models/ids.ts'
import { isHigh } from '../../twin-models/prediction/types.ts'
import { predictionModelRequest } from '../../twin-models/schemas/prediction-model.ts'
import type { Registry } from '../ports.ts'
import { MOST_PREDICTION_MODELS, type PredictionModels, type PredictionTest, type PredictionTester } from '../prediction-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { featuresSchema, predictionModelJson, predictionModelSchema } from './prediction-json.ts'
import type { RateLimit } from './rate-limit.ts'
import { noDevice } from './refusals.ts'
import { deviceId, jsonContent } from './schemas.ts'

export interface PredictionModelDeps {
  predictionModels: PredictionModels
  predictionTester: PredictionTester
  registry: Registry
  testLimit: RateLimit
}

const MAX_BODY_BYTES = 64 * 1024
/** A server may take 30 s twice: to be looked at, and to answer. */
const TEST_DEADLINE_MS = 70_000
export const predictionTag = 'Predictions'

export const predictionModelName = z
  .string('must be a text')
  .regex(ID_PATTERN, 'a name begins with a letter or digit and has up to 128 of A-Z a-z 0-9 . _ : -')
const params = z.object({ name: predictionModelName.openapi({ param: { name: 'name', in: 'path' }, example: 'pump-failure' }) })
const testAnswer = z
  .object({
    device: z.string(),
    ready: z.boolean(),
    readyProblem: z.string().optional(),
    metadata: z
      .unknown()
      .openapi({ description: 'What the server says of the model: its inputs, outputs and versions; or why it does not.' }),
    features: featuresSchema.optional(),
    probability: z.number().optional(),
    high: z.boolean().optional(),
    explanation: z.string().optional(),
    modelVersion: z.string().optional(),
    latencyMs: z.int().optional(),
    error: z.string().optional().openapi({ description: 'Why there is no answer.' }),
  })
  .openapi('PredictionTest')

export function predictionModelEndpoints(endpoint: Endpoints, deps: PredictionModelDeps): void {
  const { predictionModels, predictionTester, registry, testLimit } = deps
  const tag = predictionTag

  endpoint(
    {
      method: 'put',
      path: '/v1/prediction-models/{name}',
      operationId: 'putPredictionModel',
      summary: 'Say where a prediction model is served, and what it is asked with',
      description: `A tenant has at most ${MOST_PREDICTION_MODELS}. All of it is said again when it is changed, but for \`auth\`: that stays where it is not said, and has to be given again, or null, when the URL goes to another server.`,
      tag,
      params,
      body: { schema: predictionModelRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'It was there, and is so now.', content: jsonContent(predictionModelSchema) },
        201: { description: 'Made.', content: jsonContent(predictionModelSchema), headers: z.object({ Location: z.string() }) },
      },
      problems: [409],
    },
    async ({ tenant, caller, params: { name }, body }) => {
      const refusal = predictionTester.refusal(body.url)
      if (refusal !== undefined) throw new CastorError('invalid', `${refusal}.`, { errors: [{ path: '/url', detail: refusal }] })
      const put = await predictionModels.put(tenant, name, body, caller)
      if (put === 'too-many')
        throw new CastorError(
          'conflict',
          `There are ${MOST_PREDICTION_MODELS} prediction models already, which is the most. Remove one first.`,
        )
      if (put === 'auth-needed')
        throw new CastorError('invalid', 'The new URL is another server: give auth for it, or null.', {
          errors: [{ path: '/auth', detail: 'is needed with the url of another server' }],
        })
      const headers: Record<string, string> = put.isNew ? { location: `/v1/prediction-models/${name}` } : {}
      return { status: put.isNew ? 201 : 200, body: predictionModelJson(put.model), headers }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/prediction-models',
      operationId: 'listPredictionModels',
      summary: 'List prediction models',
      tag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, by name.', content: jsonContent(pageSchema(predictionModelSchema)) } },
    },
    async ({ tenant, query: { limit, cursor } }) => {
      const rows = await predictionModels.list(tenant, { after: keyOf('prediction-models', cursor, z.string()), limit })
      return { status: 200, body: pageJson(rows.map(predictionModelJson), limit, () => cursorOf('prediction-models', rows.at(-1)!.name)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/prediction-models/{name}',
      operationId: 'getPredictionModel',
      summary: 'Get a prediction model',
      tag,
      params,
      responses: { 200: { description: 'The prediction model.', content: jsonContent(predictionModelSchema) } },
    },
    async ({ tenant, params: { name } }) => {
      const model = await predictionModels.find(tenant, name)
      if (!model) throw noModel(name)
      return { status: 200, body: predictionModelJson(model) }
    },
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/prediction-models/{name}',
      operationId: 'deletePredictionModel',
      summary: 'Remove a prediction model',
      description:
        'Predictions that wait for it have failed then; those that were answered stay. One that a live rule asks is not removed.',
      tag,
      params,
      responses: { 204: { description: 'Removed.' } },
      problems: [409],
    },
    async ({ tenant, params: { name } }) => {
      const removed = await predictionModels.remove(tenant, name)
      if (removed === false) throw noModel(name)
      if (removed !== true) throw new CastorError('conflict', `Live rules ask it: ${removed.join(', ')}. Let them ask another model first.`)
      return { status: 204, body: null }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/prediction-models/{name}/test',
      operationId: 'testPredictionModel',
      summary: 'Ask a prediction model about a device, now and once',
      description: 'It is asked whatever happened before, and nothing is stored. The answer says what the server tells of itself, too.',
      tag,
      params,
      body: { schema: z.strictObject({ device: deviceId }), types: ['application/json'], maxBytes: 4_096 },
      responses: { 200: { description: 'What came of it.', content: jsonContent(testAnswer) } },
      deadlineMs: TEST_DEADLINE_MS,
    },
    async ({ tenant, params: { name }, body: { device }, limitBy }) => {
      limitBy(testLimit)
      const [model, registered] = await Promise.all([predictionModels.find(tenant, name), registry.find(tenant, device)])
      if (!model) throw noModel(name)
      if (!registered) throw noDevice(device)
      const test = await predictionTester.test({ tenant, name, incarnation: registered.incarnation })
      if (!test) throw noModel(name)
      return { status: 200, body: JSON.stringify({ device, ...shownTest(test, model.settings.threshold) }) }
    },
  )
}

function shownTest({ ready, metadata, features, answer }: PredictionTest, threshold: number): object {
  const of = answer?.kind === 'answered' ? answer : undefined
  const error = 'problem' in features ? features.problem : answer?.kind === 'failed' ? answer.error : undefined
  return {
    ...{ ready: ready.ok, ...(!ready.ok && { readyProblem: ready.problem }), metadata },
    ...('features' in features && { features: features.features }),
    ...(of && { probability: of.probability, high: isHigh({ probability: of.probability, threshold }) }),
    ...(of && of.explanation !== null && { explanation: of.explanation }),
    ...(of && of.modelVersion !== null && { modelVersion: of.modelVersion }),
    ...(answer && { latencyMs: answer.ms }),
    ...(error !== undefined && { error }),
  }
}

/** Also for one of another tenant. */
function noModel(name: string): CastorError {
  return new CastorError('not-found', `There is no prediction model ${name}.`)
}
