/** /v1/event-types: what webhooks can carry. */
import { z } from '@hono/zod-openapi'
import { EVENT_TYPES } from '../../twin-models/webhook-events/catalogue.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { jsonContent } from './schemas.ts'
import { webhookTag } from './webhooks.ts'

const eventType = z
  .object({
    name: z.string().openapi({ description: 'As in the body, and in `types` of a webhook.', example: 'twin.offline' }),
    description: z.string(),
    schema: z.record(z.string(), z.unknown()).openapi({ description: 'JSON Schema of `data`. Members and words may join it.' }),
    example: z.record(z.string(), z.unknown()).openapi({ description: 'A complete `data`.' }),
  })
  .openapi('EventType')

export function eventTypeEndpoints(endpoint: Endpoints): void {
  endpoint(
    {
      method: 'get',
      path: '/v1/event-types',
      operationId: 'listEventTypes',
      summary: 'List the types of events',
      tag: webhookTag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(eventType)) } },
    },
    async ({ query }) => {
      const after = keyOf('event-types', query.cursor, z.string())
      const from = EVENT_TYPES.findIndex(({ type }) => type === after) + 1
      const shown = EVENT_TYPES.slice(from, from + query.limit)
      const items = shown.map(({ type: name, description, schema, example }) => JSON.stringify({ name, description, schema, example }))
      return { status: 200, body: pageJson(items, query.limit, () => cursorOf('event-types', shown.at(-1)!.type)) }
    },
  )
}
