/** What can be done with a webhook: pausing, resuming, a new secret, a test. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { outcomeOf } from '../../twin-models/core/delivery.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { EVENT_TYPES } from '../../twin-models/webhook-events/catalogue.ts'
import type { Webhook, WebhookSender, Webhooks } from '../webhook-ports.ts'
import { exampleEvent } from '../webhooks/body.ts'
import { requestOf } from '../webhooks/request.ts'
import { newSecret, signingSecrets } from '../webhooks/signature.ts'
import type { Endpoints } from './endpoint.ts'
import type { RateLimit } from './rate-limit.ts'
import { jsonContent } from './schemas.ts'
import { attemptJson, attemptSchema, oldSecretUntil, rotation, webhookJson, webhookSchema, withSecret } from './webhook-json.ts'
import { knownWebhook, noWebhook, webhookParams, webhookTag, withSecretSchema } from './webhooks.ts'

export interface SteeringDeps {
  webhooks: Webhooks
  webhookSender: WebhookSender
  testLimit: RateLimit
  now: () => number
}

const MAX_BODY_BYTES = 4_096
/** A receiver may take 15 s. */
const TEST_DEADLINE_MS = 20_000

const typeNames = EVENT_TYPES.map(({ type }) => type)
const testRequest = z.strictObject({
  type: z
    .enum(typeNames, `must be one of ${typeNames.join(', ')}`)
    .optional()
    .openapi({ description: 'Default: the first that it asks for.' }),
})
const testAnswer = z
  .object({
    event: z.string(),
    type: z.string(),
    outcome: z.enum(['delivered', 'throttled', 'failed', 'gone']),
    reason: z.string().optional(),
    attempt: attemptSchema,
    body: z.string().openapi({ description: 'As it was sent.' }),
  })
  .openapi('WebhookTest')

export function webhookSteeringEndpoints(endpoint: Endpoints, { webhooks, webhookSender, testLimit, now }: SteeringDeps): void {
  const tag = webhookTag

  for (const [wanted, summary, description] of [
    ['pause', 'Send nothing until it is resumed', 'What happens meanwhile waits, as long as events are kept.'],
    ['resume', 'Send again', 'Also one that was disabled. What waits is sent, and what failed is counted anew.'],
  ] as const) {
    endpoint(
      {
        method: 'post',
        path: `/v1/webhooks/{id}/${wanted}`,
        operationId: `${wanted}Webhook`,
        summary,
        description,
        tag,
        params: webhookParams,
        responses: { 200: { description: 'The webhook.', content: jsonContent(webhookSchema) } },
        problems: wanted === 'pause' ? [409] : [],
      },
      async ({ tenant, params }) => {
        const row = await webhooks[wanted](tenant, params.id)
        if (!row) throw noWebhook(params.id)
        if (row.status === 'disabled') throw new CastorError('conflict', 'The webhook is disabled: nothing is sent anyway.')
        return { status: 200, body: webhookJson(row, now()) }
      },
    )
  }

  endpoint(
    {
      method: 'post',
      path: '/v1/webhooks/{id}/rotate-secret',
      operationId: 'rotateWebhookSecret',
      summary: 'Give a webhook a new secret',
      description: 'Until the old one ends, both sign, and the receiver takes either.',
      tag,
      params: webhookParams,
      body: { schema: rotation, types: ['application/json'], maxBytes: MAX_BODY_BYTES, optional: true },
      responses: { 200: { description: 'With the new secret.', content: jsonContent(withSecretSchema) } },
    },
    async ({ tenant, params, body }) => {
      const secret = newSecret()
      const row = await webhooks.rotate(tenant, params.id, secret, oldSecretUntil(body, now()))
      if (!row) throw noWebhook(params.id)
      return { status: 200, body: withSecret(webhookJson(row, now()), secret), headers: { 'cache-control': 'no-store' } }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/webhooks/{id}/test',
      operationId: 'testWebhook',
      summary: 'Send an example, now and once',
      description:
        'The example of the type, with an id that begins with evt_test_. It is sent also while the webhook is paused or disabled, and counts for nothing.',
      tag,
      params: webhookParams,
      body: { schema: testRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES, optional: true },
      responses: { 200: { description: 'What the receiver made of it.', content: jsonContent(testAnswer) } },
      deadlineMs: TEST_DEADLINE_MS,
    },
    async ({ tenant, params, body, limitBy }) => {
      limitBy(testLimit)
      const row = await knownWebhook(webhooks, tenant, params.id)
      const at = now()
      const event = exampleEvent(body.type ?? firstType(row), { id: `evt_test_${randomUUID()}`, tenant, at })!
      const request = requestOf({ ...row, secrets: signingSecrets(row.secrets, at) }, event, at)
      const attempt = await webhookSender.post(request)
      const outcome = outcomeOf(attempt, at)
      const answer = {
        ...{ event: event.id, type: event.type, outcome: outcome.kind, ...('reason' in outcome && { reason: outcome.reason }) },
        ...{ attempt: attemptJson({ at, ...attempt }), body: request.body },
      }
      return { status: 200, body: JSON.stringify(answer) }
    },
  )
}

function firstType({ types: [first] }: Webhook): string {
  return first === undefined || first === '*' ? 'twin.online' : first
}
