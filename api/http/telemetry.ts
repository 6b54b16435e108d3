/** /v1/twins/{id}/telemetry: what was measured. */
import { z } from '@hono/zod-openapi'
import { NAME_PATTERN } from '../../twin-models/ids.ts'
import type { History, HistoryItem } from '../ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { noDevice } from './refusals.ts'
import { deviceParams, iso, jsonContent, jsonValue, time, timeParameter } from './schemas.ts'

const reading = z.object({ name: z.string(), ts: time, receivedAt: time, value: jsonValue }).openapi('Reading')
const cursorKey = z.tuple([z.int(), z.int()])

export function telemetryEndpoints(endpoint: Endpoints, { history }: { history: History }): void {
  endpoint(
    {
      method: 'get',
      path: '/v1/twins/{id}/telemetry',
      operationId: 'listTelemetry',
      summary: 'List readings',
      description: 'Newest first by `ts`. `from` is inclusive, `to` exclusive. Without `name`: all properties.',
      tag: 'Twins',
      params: deviceParams,
      query: z.strictObject({
        name: z.string().regex(NAME_PATTERN, 'is no property name').optional(),
        from: timeParameter.optional(),
        to: timeParameter.optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(reading)) } },
    },
    async ({ tenant, params, query }) => {
      const key = keyOf('telemetry', query.cursor, cursorKey)
      const items = await history.readings({
        tenant,
        device: params.id,
        name: query.name,
        from: query.from,
        to: query.to,
        page: { after: key && { ts: key[0], property: key[1] }, limit: query.limit },
      })
      if (!items) throw noDevice(params.id)
      const next = () => cursorOf('telemetry', [items.at(-1)!.ts, items.at(-1)!.property])
      return { status: 200, body: pageJson(items.map(readingJson), query.limit, next) }
    },
  )
}

function readingJson({ name, ts, receivedAt, number, other }: HistoryItem): string {
  const value = other ?? JSON.stringify(number)
  return `{"name":${JSON.stringify(name)},"ts":"${iso(ts)}","receivedAt":"${iso(receivedAt)}","value":${value}}`
}
