/** What can be done with a target: a test, a new secret. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { SendNotices } from '../notify/ports.ts'
import { exampleBundle, messageId } from '../notify/told.ts'
import type { Targets } from '../notify-ports.ts'
import { newSecret, signingSecrets } from '../webhooks/signature.ts'
import type { Endpoints } from './endpoint.ts'
import type { RateLimit } from './rate-limit.ts'
import { jsonContent } from './schemas.ts'
import { targetJson } from './target-json.ts'
import { knownTarget, noTarget, targetParams, targetTag, targetWithSecret } from './targets.ts'
import { attemptJson, attemptSchema, oldSecretUntil, rotation, withSecret } from './webhook-json.ts'

export interface TargetSteeringDeps {
  targets: Targets
  sendNotices: SendNotices
  testLimit: RateLimit
  now: () => number
}

const MAX_BODY_BYTES = 4_096
/** A receiver may take 15 s, and a mail server 20 s. */
const TEST_DEADLINE_MS = 25_000

const testAnswer = z
  .object({
    message: z.string().openapi({ description: 'Its id.' }),
    outcome: z.enum(['delivered', 'throttled', 'failed', 'gone']),
    reason: z.string().optional(),
    attempt: attemptSchema,
  })
  .openapi('TargetTest')

export function targetSteeringEndpoints(endpoint: Endpoints, { targets, sendNotices, testLimit, now }: TargetSteeringDeps): void {
  const tag = targetTag

  endpoint(
    {
      method: 'post',
      path: '/v1/targets/{name}/test',
      operationId: 'testTarget',
      summary: 'Send an example, now and once',
      description: 'Whatever its quiet hours and its pace. It counts for nothing, and says that nothing is wrong.',
      tag,
      params: targetParams,
      responses: { 200: { description: 'What came of it.', content: jsonContent(testAnswer) } },
      deadlineMs: TEST_DEADLINE_MS,
    },
    async ({ tenant, params, limitBy }) => {
      limitBy(testLimit)
      const target = await knownTarget(targets, tenant, params.name)
      const at = now()
      const bundle = exampleBundle(target, randomUUID(), at)
      const { startedAt, attempt, outcome } = await sendNotices({ ...target, secrets: signingSecrets(target.secrets, at) }, bundle)
      const answer = {
        ...{ message: messageId(bundle.id), outcome: outcome.kind, ...('reason' in outcome && { reason: outcome.reason }) },
        attempt: attemptJson({ at: startedAt, ...attempt }),
      }
      return { status: 200, body: JSON.stringify(answer) }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/targets/{name}/rotate-secret',
      operationId: 'rotateTargetSecret',
      summary: 'Give a webhook a new secret',
      description: 'Until the old one ends, both sign, and the receiver takes either.',
      tag,
      params: targetParams,
      body: { schema: rotation, types: ['application/json'], maxBytes: MAX_BODY_BYTES, optional: true },
      responses: { 200: { description: 'With the new secret.', content: jsonContent(targetWithSecret) } },
      problems: [409],
    },
    async ({ tenant, params: { name }, body }) => {
      const { settings } = await knownTarget(targets, tenant, name)
      if (settings.kind !== 'webhook') throw new CastorError('conflict', 'It is no webhook: nothing that is sent to it is signed.')
      const secret = newSecret()
      const row = await targets.rotate(tenant, name, secret, oldSecretUntil(body, now()))
      if (!row) throw noTarget(name)
      return { status: 200, body: withSecret(targetJson(row, now()), secret), headers: { 'cache-control': 'no-store' } }
    },
  )
}
