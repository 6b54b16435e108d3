/** Predictions: asking for one, looking at them, and saying later what became of the device. The model itself is asked by a workflow. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { MOST_WAITING, OUTCOMES, PREDICTION_STATUSES, type Prediction } from '../../twin-models/prediction/types.ts'
import type { Registry } from '../ports.ts'
import type { AskedPrediction, Predictions } from '../prediction-ports.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { answerUnder, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { predictionJson, predictionSchema } from './prediction-json.ts'
import { predictionModelName, predictionTag } from './prediction-models.ts'
import { type Preference, preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { noDevice } from './refusals.ts'
import { deviceId, deviceParams, jsonContent, timeParameter } from './schemas.ts'
import { createSharedPoll } from './shared-poll.ts'

export interface PredictionDeps {
  predictions: Predictions
  registry: Registry
  /** How long a caller waits for the answer that says nothing about it. */
  waitMs: number
}

const MAX_BODY_BYTES = 4_096
const params = z.object({ id: z.uuid('a prediction’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })
const located = z.object({ Location: z.string().openapi({ example: '/v1/predictions/7a1d6a0e-0c51-4f5e-9d0b-6a2f0b1c4d11' }) })
const cursorKey = z.tuple([z.int(), z.int()])
const outcomes = [...OUTCOMES, 'none'] as const

export function predictionEndpoints(endpoint: Endpoints, { predictions, registry, waitMs }: PredictionDeps): void {
  const tag = predictionTag
  const ends = createSharedPoll(async (ids) => (await predictions.ended(ids)).map((id) => ({ id, result: 'ended' })))

  endpoint(
    {
      method: 'post',
      path: '/v1/twins/{id}/predictions',
      operationId: 'createPrediction',
      summary: 'Ask a prediction model about a device',
      description: `Waits up to 5 s for the answer, or as \`Prefer\` says. At most ${MOST_WAITING} of a tenant wait; beyond that it is 429. With an Idempotency-Key the same request is the same prediction for 24 hours.`,
      tag,
      params: deviceParams,
      headers: z.object({ 'Idempotency-Key': z.string().min(16).max(255).optional(), Prefer: preferHeader }),
      body: { schema: z.strictObject({ model: predictionModelName }), types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'The prediction, answered or failed.', content: jsonContent(predictionSchema), headers: located },
        202: {
          description: 'It is not answered yet.',
          content: jsonContent(predictionSchema),
          headers: located.extend({ 'Retry-After': z.string() }),
        },
      },
      problems: [409],
      deadlineMs: WAITING_DEADLINE_MS,
    },
    async ({ tenant, caller, params, body: { model }, header }) => {
      const device = await registry.find(tenant, params.id)
      if (!device) throw noDevice(params.id)
      const key = header('idempotency-key')
      const asked: AskedPrediction = {
        ...{ tenant, incarnation: device.incarnation, device: device.device, model },
        requestedBy: { kind: 'person', name: caller },
      }
      const { id, replayed } = await place(asked, key === undefined ? undefined : keyHashOf(tenant, key))
      const preference = preferenceOf(header('prefer'))
      await ends.of(id, preference.waitMs ?? waitMs)
      return standing(await known(tenant, id), preference, replayed ? { 'idempotency-replayed': 'true' } : {})
    },
  )

  /** Asks for it, or finds what was asked for under the same key. */
  async function place(asked: AskedPrediction, keyHash: Uint8Array | undefined): Promise<{ id: string; replayed: boolean }> {
    const { tenant, device, model } = asked
    const requestHash = sha256(JSON.stringify(['prediction', device, model]))
    const stored = async () => keyHash && (await answerUnder(registry, tenant, keyHash, requestHash))
    let before = await stored()
    if (!before) {
      const made = await predictions.request(asked, keyHash && { keyHash, requestHash, salt: new Uint8Array() })
      if (made !== 'claimed') return { id: made.id, replayed: false }
      before = await stored()
      if (!before) throw justEnded()
    }
    return { ...(JSON.parse(before.response) as { id: string }), replayed: true }
  }

  endpoint(
    {
      method: 'get',
      path: '/v1/predictions',
      operationId: 'listPredictions',
      summary: 'List predictions',
      description: 'Newest first. Kept for 90 days, those with an outcome for two years.',
      tag,
      query: z.strictObject({
        device: deviceId.optional(),
        model: predictionModelName.optional(),
        status: z.enum(PREDICTION_STATUSES, `must be one of ${PREDICTION_STATUSES.join(', ')}`).optional(),
        outcome: z
          .enum(outcomes, `must be one of ${outcomes.join(', ')}`)
          .optional()
          .openapi({ description: '`none`: answered, and nobody has said yet what became of the device.' }),
        since: timeParameter.optional().openapi({ description: 'Asked then or later.' }),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(predictionSchema)) } },
    },
    async ({ tenant, query: { limit, cursor, device, model, status, outcome, since } }) => {
      const key = keyOf('predictions', cursor, cursorKey)
      const page = { after: key && { askedAt: key[0], number: key[1] }, limit }
      const rows = await predictions.list(tenant, { device, model, status, outcome, since, page })
      const next = () => cursorOf('predictions', [rows.at(-1)!.askedAt, rows.at(-1)!.number])
      return { status: 200, body: pageJson(rows.map(predictionJson), limit, next) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/predictions/{id}',
      operationId: 'getPrediction',
      summary: 'Get a prediction',
      tag,
      params,
      responses: { 200: { description: 'The prediction.', content: jsonContent(predictionSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: predictionJson(await known(tenant, params.id)) }),
  )

  endpoint(
    {
      method: 'put',
      path: '/v1/predictions/{id}/outcome',
      operationId: 'putPredictionOutcome',
      summary: 'Say what became of the device',
      description:
        'Of a prediction that was answered. The newest word counts; null takes it back. With the features it is what the model can be judged by.',
      tag,
      params,
      body: {
        schema: z.strictObject({
          outcome: z.enum(OUTCOMES, `must be ${OUTCOMES.join(' or ')}, or null`).nullable(),
          note: z.string().max(2_000).optional(),
        }),
        types: ['application/json'],
        maxBytes: MAX_BODY_BYTES * 4,
      },
      responses: { 200: { description: 'The prediction.', content: jsonContent(predictionSchema) } },
      problems: [409],
    },
    async ({ tenant, caller, params, body: { outcome, note = null } }) => {
      const row = await predictions.setOutcome(tenant, params.id, { outcome, note, by: caller })
      if (!row) throw noPrediction(params.id)
      if (row === 'unanswered') throw new CastorError('conflict', 'The prediction has no answer that this could be the outcome of.')
      return { status: 200, body: predictionJson(row) }
    },
  )

  async function known(tenant: string, id: string): Promise<Prediction> {
    const row = await predictions.find(tenant, id)
    if (!row) throw noPrediction(id)
    return row
  }
}

function standing(row: Prediction, preference: Preference, more: Record<string, string>): Reply {
  const headers = { ...preference.headers, ...more, location: `/v1/predictions/${row.id}` }
  if (row.status !== 'waiting') return { status: 200, body: predictionJson(row), headers }
  return { status: 202, body: predictionJson(row), headers: { ...headers, 'retry-after': '1' } }
}

/** Also for one of another tenant. */
function noPrediction(id: string): CastorError {
  return new CastorError('not-found', `There is no prediction ${id}.`)
}
