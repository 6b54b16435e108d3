/** The OpenAPI 3.1 document, generated from the registered endpoints. */
import type { OpenAPIHono } from '@hono/zod-openapi'

export function openApiDocument(app: OpenAPIHono): object {
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key. It belongs to one tenant, and shows nothing of any other.',
  })
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Castor',
      version: '1',
      description:
        'Durable digital twins. Times are RFC 3339 in UTC with milliseconds; lists are `{items, next}` with `limit` and `cursor`; refusals are RFC 9457 problems.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'Twins', description: 'What a device is and was.' },
      { name: 'Commands', description: 'What devices are told to do, and how it ended.' },
      { name: 'Devices', description: 'The registry.' },
      { name: 'Dead letters', description: 'What was acknowledged but could not be taken.' },
      { name: 'Models', description: 'What kinds of device there are.' },
      { name: 'Webhooks', description: 'Who is told of what happens, and how that went.' },
      { name: 'Firmware', description: 'What can be installed on devices, and whose signature counts.' },
      { name: 'Rollouts', description: 'Firmware for many devices, in waves.' },
      { name: 'Updates', description: 'Firmware on its way to single devices, and how it ended.' },
      { name: 'Groups', description: 'Filters with a name, and versions that devices are pinned to.' },
      { name: 'Predictions', description: 'Models that are served elsewhere, asked about devices.' },
      { name: 'Requests', description: 'What was asked of twins.' },
    ],
  })
}
