/** What became of the events of a webhook, and sending them again. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeliveryRow, Webhook, Webhooks } from '../webhook-ports.ts'
import { EVENT_ID, positionOf, webhookBody, webhookEvent } from '../webhooks/body.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { deviceId, jsonContent } from './schemas.ts'
import { deliveryJson, deliverySchema, deliveryStatuses } from './webhook-json.ts'
import { knownWebhook, webhookParams, webhookTag } from './webhooks.ts'

const MAX_BODY_BYTES = 4_096

const deliveryParams = webhookParams.extend({
  event: z
    .string()
    .regex(EVENT_ID, 'an event’s id is evt_ and a number')
    .openapi({ param: { name: 'event', in: 'path' }, example: 'evt_18231' }),
})
const sentSchema = deliverySchema
  .extend({
    body: z.string().optional().openapi({ description: 'As it is sent, byte by byte, in the form that the webhook has now.' }),
    bodyMissing: z.string().optional().openapi({ description: 'Why there is none.' }),
  })
  .openapi('WebhookDeliveryWithBody')
const resendRequest = z.strictObject({
  since: z.iso
    .datetime({ offset: true, error: 'must be a time like 2026-11-21T06:00:00Z' })
    .openapi({ description: 'Events from then on.', example: '2026-11-21T06:00:00Z' }),
  status: z.enum(['failed', 'skipped', 'delivered'], 'must be failed, skipped or delivered').default('failed'),
})
const NOT_KEPT = 'The event is no longer kept: events are kept for seven days, and less when the disk is small.'

export function webhookDeliveryEndpoints(endpoint: Endpoints, { webhooks }: { webhooks: Webhooks }): void {
  const tag = webhookTag

  endpoint(
    {
      method: 'get',
      path: '/v1/webhooks/{id}/deliveries',
      operationId: 'listWebhookDeliveries',
      summary: 'List its deliveries, each with its attempts',
      description:
        'What was attempted, or waits behind another of its device. Those that have ended are kept for seven days, the newest 10,000 of them.',
      tag,
      params: webhookParams,
      query: z.strictObject({
        status: deliveryStatuses.optional(),
        type: z.string().min(1).max(100).optional(),
        device: deviceId.optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page, the newest event first.', content: jsonContent(pageSchema(deliverySchema)) } },
    },
    async ({ tenant, params, query }) => {
      const { number } = await knownWebhook(webhooks, tenant, params.id)
      const { status, type, device, limit } = query
      const page = { after: keyOf('webhook-deliveries', query.cursor, z.int()), limit }
      const rows = await webhooks.deliveries(number, { status, type, device, page })
      const items = rows.map((row) => deliveryJson(row))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('webhook-deliveries', rows.at(-1)!.position)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/webhooks/{id}/deliveries/{event}',
      operationId: 'getWebhookDelivery',
      summary: 'Get a delivery, with what is sent',
      tag,
      params: deliveryParams,
      responses: { 200: { description: 'The delivery.', content: jsonContent(sentSchema) } },
    },
    async ({ tenant, params }) => {
      const { form, delivery } = await knownDelivery(tenant, params)
      const row = await webhooks.event(delivery)
      const sent = row ? { body: webhookBody(webhookEvent(row), form).body } : { bodyMissing: NOT_KEPT }
      return { status: 200, body: deliveryJson(delivery, sent) }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/webhooks/{id}/deliveries/{event}/resend',
      operationId: 'resendWebhookDelivery',
      summary: 'Send an event again, or now',
      description: 'With all its attempts before it. It has the id that it had.',
      tag,
      params: deliveryParams,
      responses: { 202: { description: 'It is sent within a second or two.', content: jsonContent(deliverySchema) } },
      problems: [409],
    },
    async ({ tenant, params }) => {
      const { number, delivery, ...webhook } = await knownDelivery(tenant, params)
      refuseUnlessActive(webhook)
      if (!(await webhooks.event(delivery))) throw new CastorError('conflict', NOT_KEPT)
      if (!(await webhooks.resend(number, delivery.position))) {
        throw new CastorError(
          'conflict',
          'It waits behind an earlier event of its device, since the webhook is ordered. Send that one again.',
        )
      }
      const after = await webhooks.delivery(number, delivery.position)
      return { status: 202, body: deliveryJson(after ?? delivery) }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/webhooks/{id}/resend',
      operationId: 'resendWebhookDeliveries',
      summary: 'Send again all that failed since a time',
      description: 'The oldest 10,000 of them; `more` says to ask again. Events that are no longer kept are left out.',
      tag,
      params: webhookParams,
      body: { schema: resendRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        202: {
          description: 'They are sent at the pace of the webhook.',
          content: jsonContent(z.object({ resent: z.int(), more: z.boolean() })),
        },
      },
      problems: [409],
    },
    async ({ tenant, params, body }) => {
      const webhook = await knownWebhook(webhooks, tenant, params.id)
      refuseUnlessActive(webhook)
      const resent = await webhooks.resendAll(webhook.number, { status: body.status, since: Date.parse(body.since) })
      return { status: 202, body: JSON.stringify(resent) }
    },
  )

  async function knownDelivery(tenant: string, { id, event }: { id: string; event: string }): Promise<Webhook & { delivery: DeliveryRow }> {
    const webhook = await knownWebhook(webhooks, tenant, id)
    const delivery = await webhooks.delivery(webhook.number, positionOf(event))
    if (!delivery) throw new CastorError('not-found', `There is no delivery of ${event} (any more), or it was not attempted yet.`)
    return { ...webhook, delivery }
  }
}

function refuseUnlessActive({ status }: Pick<Webhook, 'status'>): void {
  if (status !== 'active') throw new CastorError('conflict', `The webhook is ${status}: nothing is sent. Resume it first.`)
}
