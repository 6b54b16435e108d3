/** /v1/twins/{id}/history: what the twin decided. */
import { z } from '@hono/zod-openapi'
import type { History } from '../ports.ts'
import type { Endpoints } from './endpoint.ts'
import { EVENT_KINDS, eventJson, eventSchema } from './event-json.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { noDevice } from './refusals.ts'
import { deviceParams, jsonContent, timeParameter, wordsParameter } from './schemas.ts'

const cursorKey = z.tuple([z.int(), z.int()])

export function historyEndpoints(endpoint: Endpoints, { history }: { history: History }): void {
  endpoint(
    {
      method: 'get',
      path: '/v1/twins/{id}/history',
      operationId: 'listHistory',
      summary: 'List what a twin decided',
      description:
        'In the order of its decisions; `order=desc` is newest first. `from` (inclusive) and `to` (exclusive) go by `time`. Kept for a year.',
      tag: 'Twins',
      params: deviceParams,
      query: z.strictObject({
        kind: wordsParameter(EVENT_KINDS, 'kind').optional(),
        from: timeParameter.optional(),
        to: timeParameter.optional(),
        order: z.enum(['asc', 'desc'], "must be 'asc' or 'desc'").default('asc'),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(eventSchema)) } },
    },
    async ({ tenant, params, query }) => {
      const list = `history ${query.order}`
      const key = keyOf(list, query.cursor, cursorKey)
      const events = await history.decisions({
        tenant,
        device: params.id,
        kinds: query.kind,
        from: query.from,
        to: query.to,
        newestFirst: query.order === 'desc',
        page: { after: key && { revision: key[0], n: key[1] }, limit: query.limit },
      })
      if (!events) throw noDevice(params.id)
      const next = () => cursorOf(list, [events.at(-1)!.revision, events.at(-1)!.n])
      return { status: 200, body: pageJson(events.map(eventJson), query.limit, next) }
    },
  )
}
