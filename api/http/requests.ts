/** /v1/requests/{id}: what became of something asked of a twin. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { RequestRow, TwinRequests } from '../ports.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { iso, jsonContent, jsonValue, time } from './schemas.ts'

export const requestSchema = z
  .object({
    id: z.uuid(),
    device: z.string().optional().openapi({ description: 'Absent when the device is gone.' }),
    kind: z.string(),
    status: z.enum(['waiting', 'underway', 'answered']).openapi({ description: 'underway: it is on its way to the twin.' }),
    createdAt: time,
    answeredAt: time.optional(),
    answer: jsonValue
      .optional()
      .openapi({ description: 'The twin’s, with the `revision` of its decision; `refused` and `detail` where it refused.' }),
  })
  .openapi('Request')

export function requestEndpoints(endpoint: Endpoints, { requests }: { requests: TwinRequests }): void {
  endpoint(
    {
      method: 'get',
      path: '/v1/requests/{id}',
      operationId: 'getRequest',
      summary: 'Get a request',
      tag: 'Requests',
      params: z.object({ id: z.uuid('a request’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) }),
      responses: { 200: { description: 'The request.', content: jsonContent(requestSchema) } },
    },
    async ({ tenant, params }) => {
      const row = await requests.find(tenant, params.id)
      if (!row) throw new CastorError('not-found', `There is no request ${params.id}.`)
      return { status: 200, body: requestJson(row) }
    },
  )
}

/** The answer to who asked something of a twin that it has not decided in time. */
export async function undecided(requests: TwinRequests, tenant: string, id: string, headers: Record<string, string>): Promise<Reply> {
  const row = await requests.find(tenant, id)
  return {
    status: 202,
    body: row ? requestJson(row) : JSON.stringify({ id }),
    headers: { ...headers, location: `/v1/requests/${id}`, 'retry-after': '1' },
  }
}

function requestJson(row: RequestRow): string {
  const shown: z.infer<typeof requestSchema> = {
    id: row.id,
    ...(row.device !== null && { device: row.device }),
    kind: row.kind,
    status: row.answeredAt !== null ? 'answered' : row.sealed ? 'underway' : 'waiting',
    createdAt: iso(row.createdAt),
    ...(row.answeredAt !== null && { answeredAt: iso(row.answeredAt) }),
    ...(row.answer !== null && { answer: JSON.parse(row.answer) }),
  }
  return JSON.stringify(shown)
}
