/** /v1/models: what kinds of device there are. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { Models } from '../ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { jsonContent } from './schemas.ts'

const model = z.object({ name: z.string(), version: z.string(), title: z.string(), description: z.string() }).openapi('Model')
const thingModel = z
  .record(z.string(), z.unknown())
  .openapi('ThingModel', { description: 'A W3C Web of Things Thing Model 1.1 with the `castor:` terms.' })

export function modelEndpoints(endpoint: Endpoints, { models }: { models: Models }): void {
  const tag = 'Models'

  endpoint(
    {
      method: 'get',
      path: '/v1/models',
      operationId: 'listModels',
      summary: 'List twin models',
      tag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, by name.', content: jsonContent(pageSchema(model)) } },
    },
    async ({ query }) => {
      const after = keyOf('models', query.cursor, z.string()) ?? ''
      const sorted = models.list().toSorted((a, b) => (a.name < b.name ? -1 : 1))
      const shown = sorted.filter(({ name }) => name > after).slice(0, query.limit)
      const items = shown.map(({ name, version, title, description }) => JSON.stringify({ name, version, title, description }))
      return { status: 200, body: pageJson(items, query.limit, () => cursorOf('models', shown.at(-1)!.name)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/models/{name}',
      operationId: 'getModel',
      summary: 'Get a twin model',
      tag,
      params: z.object({
        name: z
          .string()
          .max(128)
          .openapi({ param: { name: 'name', in: 'path' }, example: 'thermostat' }),
      }),
      responses: { 200: { description: 'The Thing Model.', content: jsonContent(thingModel) } },
    },
    async ({ params }) => {
      const found = models.find(params.name)
      if (!found) throw new CastorError('not-found', `There is no model ${params.name}.`)
      return { status: 200, body: JSON.stringify(found.thingModel) }
    },
  )
}
