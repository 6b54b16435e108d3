/** /v1/webhooks: who is told what, and where. Delivering is the work of dispatcher and workflow; here are the rows that they go by. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { mergePatch } from '../../twin-models/core/merge-patch.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { type WebhookSettings, webhookRequest } from '../../twin-models/schemas/webhook.ts'
import type { Registry } from '../ports.ts'
import { MOST_WEBHOOKS, type Webhook, type WebhookSender, type Webhooks } from '../webhook-ports.ts'
import { newSecret } from '../webhooks/signature.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { parseValue } from './parse-request.ts'
import { jsonContent } from './schemas.ts'
import { secretSchema, webhookJson, webhookSchema, withSecret } from './webhook-json.ts'
import { createOnce, tooMany } from './webhook-secrets.ts'

export interface WebhookDeps {
  webhooks: Webhooks
  webhookSender: Pick<WebhookSender, 'refusal'>
  registry: Registry
  now: () => number
}

const MAX_BODY_BYTES = 128 * 1024
export const webhookTag = 'Webhooks'
export const webhookParams = z.object({ id: z.uuid('a webhook’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })
export const withSecretSchema = webhookSchema.extend({ secret: secretSchema })

export function webhookEndpoints(endpoint: Endpoints, { webhooks, webhookSender, registry, now }: WebhookDeps): void {
  const tag = webhookTag

  endpoint(
    {
      method: 'post',
      path: '/v1/webhooks',
      operationId: 'createWebhook',
      summary: 'Have events sent to a URL',
      description: `Those that happen from now on. A tenant has at most ${MOST_WEBHOOKS}. With an Idempotency-Key the same request gives the same answer for 24 hours, the secret included.`,
      tag,
      headers: z.object({ 'Idempotency-Key': z.string().min(16).max(255).optional() }),
      body: { schema: webhookRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        201: { description: 'It is sent to.', content: jsonContent(withSecretSchema), headers: z.object({ Location: z.string() }) },
      },
      problems: [409],
    },
    async ({ tenant, body: settings, header }) => {
      checkUrl(settings.url)
      const wanted = { id: randomUUID(), tenant, settings }
      const key = header('idempotency-key')
      const responseOf = (row: Webhook) => webhookJson(row, now())
      if (key !== undefined) {
        const { response, replayed } = await createOnce({ webhooks, registry, key, wanted, responseOf })
        const replay = replayed && { 'idempotency-replayed': 'true' }
        return { status: 201, body: response, headers: { ...created(JSON.parse(response).id), ...replay } }
      }
      const secret = newSecret()
      const made = await webhooks.insert({ ...wanted, secret })
      if (made === 'too-many' || made === 'claimed') throw tooMany()
      return { status: 201, body: withSecret(responseOf(made), secret), headers: created(made.id) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/webhooks',
      operationId: 'listWebhooks',
      summary: 'List webhooks',
      tag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(webhookSchema)) } },
    },
    async ({ tenant, query }) => {
      const rows = await webhooks.list(tenant, { after: keyOf('webhooks', query.cursor, z.int()), limit: query.limit })
      const items = rows.map((row) => webhookJson(row, now()))
      return { status: 200, body: pageJson(items, query.limit, () => cursorOf('webhooks', rows.at(-1)!.number)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/webhooks/{id}',
      operationId: 'getWebhook',
      summary: 'Get a webhook',
      tag,
      params: webhookParams,
      responses: { 200: { description: 'The webhook.', content: jsonContent(webhookSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: webhookJson(await knownWebhook(webhooks, tenant, params.id), now()) }),
  )

  endpoint(
    {
      method: 'patch',
      path: '/v1/webhooks/{id}',
      operationId: 'updateWebhook',
      summary: 'Change a webhook',
      description:
        'A merge patch (RFC 7396) of what it was made with: `null` gives the default again. `auth` is replaced as a whole, and has to be given again when the URL goes to another place. Events that happened before go by what was asked for then.',
      tag,
      params: webhookParams,
      body: {
        schema: z.record(z.string(), z.unknown(), 'must be an object').openapi('WebhookPatch', { example: { types: ['*'], filter: null } }),
        types: ['application/merge-patch+json', 'application/json'],
        maxBytes: MAX_BODY_BYTES,
      },
      responses: { 200: { description: 'Changed.', content: jsonContent(webhookSchema) } },
    },
    async ({ tenant, params, body }) => {
      const row = await webhooks.update(tenant, params.id, (before) => {
        const settings = patched(before, body as JsonObject)
        if (settings.url !== before.url) checkUrl(settings.url)
        return settings
      })
      if (!row) throw noWebhook(params.id)
      return { status: 200, body: webhookJson(row, now()) }
    },
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/webhooks/{id}',
      operationId: 'deleteWebhook',
      summary: 'Remove a webhook',
      description: 'With its deliveries. What waits is not sent any more.',
      tag,
      params: webhookParams,
      responses: { 204: { description: 'Removed.' } },
    },
    async ({ tenant, params }) => {
      if (!(await webhooks.remove(tenant, params.id))) throw noWebhook(params.id)
      return { status: 204, body: null }
    },
  )

  function checkUrl(url: string): void {
    const refusal = webhookSender.refusal(url)
    if (refusal !== undefined) throw new CastorError('invalid', `${refusal}.`, { errors: [{ path: '/url', detail: refusal }] })
  }
}

export async function knownWebhook(webhooks: Webhooks, tenant: string, id: string): Promise<Webhook> {
  const row = await webhooks.find(tenant, id)
  if (!row) throw noWebhook(id)
  return row
}

/** Also for one of another tenant. */
export function noWebhook(id: string): CastorError {
  return new CastorError('not-found', `There is no webhook ${id}.`)
}

function created(id: string): Record<string, string> {
  return { location: `/v1/webhooks/${id}`, 'cache-control': 'no-store' }
}

/** A credential that nobody is shown must not be had by sending it to another place. */
function patched(before: Webhook, { auth: newAuth, ...changes }: JsonObject): WebhookSettings {
  const { url, types, filter, system, form, headers, ordered, perSecond, atOnce, description, auth: oldAuth } = before
  const optional = { ...(filter !== undefined && { filter }), ...(system !== undefined && { system }) }
  const others = { url, types, ...optional, form, headers, ordered, perSecond, atOnce, description }
  const auth = newAuth === undefined ? oldAuth : newAuth
  const settings = parseValue(webhookRequest, { ...mergePatch(others, changes), ...(auth != null && { auth }) })
  if (oldAuth && newAuth === undefined && new URL(settings.url).origin !== new URL(url).origin) {
    throw new CastorError('invalid', 'The new URL is another server: give auth for it, or null.', {
      errors: [{ path: '/auth', detail: 'is needed with the url of another server' }],
    })
  }
  return settings
}
