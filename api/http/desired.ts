/** /v1/twins/{id}/desired: what is wished of a device. The twin decides; a writer waits for its word. */
import { z } from '@hono/zod-openapi'
import type { JsonObject, WishRequest } from '../../twin-models/core/types.ts'
import { DESIRED_LIMITS } from '../../twin-models/core/wishes.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { Models, TwinRequests, TwinRow, Twins } from '../ports.ts'
import { desiredOf, desiredSchema, jsonObject, standingOf } from './desired-document.ts'
import type { Call, Endpoints, Reply } from './endpoint.ts'
import { expectedVersion, hasChanged } from './etags.ts'
import { preferenceOf, preferHeader, WAITING_DEADLINE_MS } from './prefer.ts'
import { modelGone, noDevice } from './refusals.ts'
import { requestSchema, undecided } from './requests.ts'
import { deviceParams, durationParameter, jsonContent } from './schemas.ts'
import type { TwinAnswers } from './twin-answers.ts'
import { checkWish, type Wish } from './wish-check.ts'

export interface DesiredDeps {
  twins: Twins
  models: Models
  requests: TwinRequests
  answers: TwinAnswers
  /** How long a writer waits that says nothing about it. */
  waitMs: number
}

const DAY_MS = 86_400_000
const LONGEST_DEADLINE_MS = 366 * DAY_MS
const tag = { description: 'The desired version. How far a wish has come changes without it.', example: '"3"' }

export function desiredEndpoints(endpoint: Endpoints, { twins, models, requests, answers, waitMs }: DesiredDeps): void {
  endpoint(
    {
      method: 'get',
      path: '/v1/twins/{id}/desired',
      operationId: 'getDesired',
      summary: 'Get the desired state',
      tag: 'Twins',
      params: deviceParams,
      responses: {
        200: {
          description: 'What is wished, and how far each value has come.',
          content: jsonContent(desiredSchema),
          headers: z.object({ ETag: z.string().openapi(tag) }),
        },
      },
    },
    async ({ tenant, params }) => {
      const row = await twins.find(tenant, params.id)
      if (!row) throw noDevice(params.id)
      return shownDesired(row)
    },
  )

  const writing = {
    path: '/v1/twins/{id}/desired',
    tag: 'Twins',
    params: deviceParams,
    query: z.strictObject({
      deadline: durationParameter(1_000, LONGEST_DEADLINE_MS)
        .optional()
        .openapi({ description: 'What has not converged after so long has diverged. Without it: what the model says.', example: '1h' }),
      retry: durationParameter(1_000, DAY_MS)
        .optional()
        .openapi({ description: 'The first wait before it is sent again, doubled each time.', example: '30s' }),
    }),
    headers: z.object({
      'If-Match': z.string().optional().openapi({ description: 'Only when the desired version is this one.', example: '"3"' }),
      Prefer: preferHeader,
    }),
    responses: {
      200: {
        description: 'Decided: the desired state as it stands.',
        content: jsonContent(desiredSchema),
        headers: z.object({ ETag: z.string().openapi(tag) }),
      },
      202: {
        description: 'Not decided yet. It will be: `Location` leads to what becomes of it.',
        content: jsonContent(requestSchema),
        headers: z.object({ Location: z.string(), 'Retry-After': z.string() }),
      },
    },
    problems: [409, 412],
    deadlineMs: WAITING_DEADLINE_MS,
  }
  const bounds = `The whole may have ${DESIRED_LIMITS.length / 1024} kB, ${DESIRED_LIMITS.leaves} single values and ${DESIRED_LIMITS.levels} levels.`
  const maxBytes = 4 * DESIRED_LIMITS.length

  endpoint(
    {
      ...writing,
      method: 'patch',
      operationId: 'patchDesired',
      summary: 'Wish something of a device',
      description: `A merge patch (RFC 7396): \`null\` takes a wish back. Only writable properties of the model, and values that fit it; of an object a part is enough, where what is wished already or reported has the rest. ${bounds}`,
      body: {
        schema: jsonObject.openapi('DesiredPatch', { example: { targetTemperature: 21.5 } }),
        types: ['application/merge-patch+json', 'application/json'],
        maxBytes,
      },
    },
    (call) => write(call, { patch: call.body as JsonObject }),
  )

  endpoint(
    {
      ...writing,
      method: 'put',
      operationId: 'putDesired',
      summary: 'Replace the desired state',
      description: `What is not in it is no longer wished. ${bounds}`,
      body: {
        schema: jsonObject.openapi('DesiredState', { example: { targetTemperature: 21.5 } }),
        types: ['application/json'],
        maxBytes,
      },
    },
    (call) => write(call, { replace: call.body as JsonObject }),
  )

  type Writing = Call<{ id: string }, { deadline?: number | undefined; retry?: number | undefined }, unknown>

  async function write({ tenant, params, query, header, caller }: Writing, wish: Wish): Promise<Reply> {
    const row = await twins.find(tenant, params.id)
    if (!row) throw noDevice(params.id)
    const model = models.find(row.model)
    if (!model) throw modelGone(row.device, row.model)
    const standing = standingOf(row)
    const ifVersion = expectedVersion(header('if-match'), standing.version)
    checkWish(model, standing, wish)

    const body: WishRequest = {
      ...wish,
      ...(ifVersion !== undefined && { ifVersion }),
      ...(query.deadline !== undefined && { deadlineMs: query.deadline }),
      ...(query.retry !== undefined && { retryMs: query.retry }),
      by: caller,
    }
    const preference = preferenceOf(header('prefer'))
    const question = { tenant, incarnation: row.incarnation, kind: 'wish', body }
    const asked = await answers.ask(question, preference.waitMs ?? waitMs)
    if (!asked) throw noDevice(params.id)
    const { id, answer } = asked
    if (!answer) return undecided(requests, tenant, id, preference.headers)
    if (answer.refused === 'precondition-failed') throw hasChanged(answer.version)
    if (answer.refused) throw new CastorError('too-large', answer.detail ?? 'The whole desired state would be too large.')

    const after = await twins.find(tenant, params.id)
    if (!after || after.incarnation !== row.incarnation) throw noDevice(params.id)
    const shown = shownDesired(after)
    return { ...shown, headers: { ...shown.headers, ...preference.headers } }
  }
}

function shownDesired(row: TwinRow) {
  const desired = desiredOf(row)
  return { status: 200 as const, body: JSON.stringify(desired), headers: { etag: `"${desired.version}"` } }
}
