/** /v1/twins: what a twin is, one by one and by search. */
import { hash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { twinJson } from '../../twin-models/core/document.ts'
import type { Models, TwinRow, Twins } from '../ports.ts'
import { shownDecided } from './desired-document.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { isOneOf } from './etags.ts'
import { createFilterCompiler, filterParameter } from './filter-parameter.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import type { RateLimit } from './rate-limit.ts'
import { noDevice } from './refusals.ts'
import { deviceParams, jsonContent } from './schemas.ts'
import type { StrongRead } from './strong-read.ts'
import { twinSchema } from './twin-schema.ts'

export interface TwinDeps {
  twins: Twins
  models: Models
  strongRead: StrongRead
  strongLimit: RateLimit
  now: () => number
}

export function twinEndpoints(endpoint: Endpoints, { twins, models, strongRead, strongLimit, now }: TwinDeps): void {
  const compile = createFilterCompiler()
  const tag = 'Twins'

  endpoint(
    {
      method: 'get',
      path: '/v1/twins/{id}',
      operationId: 'getTwin',
      summary: 'Get a twin',
      description:
        'The decided document joined with the latest values. `consistency=strong` first lets the twin decide all that was processed before, and asks the workflow itself: slower, and limited.',
      tag,
      params: deviceParams,
      query: z.strictObject({ consistency: z.literal('strong', "can only be 'strong'").optional() }),
      headers: z.object({ 'If-None-Match': z.string().optional() }),
      responses: {
        200: {
          description: 'The twin.',
          content: jsonContent(twinSchema),
          headers: z.object({ ETag: z.string().openapi({ description: 'Weak.' }) }),
        },
        304: { description: 'Not changed since the ETag in If-None-Match.' },
      },
    },
    async ({ tenant, params, query, header, limitBy }) => {
      if (query.consistency === 'strong') limitBy(strongLimit)
      const row = await twins.find(tenant, params.id)
      if (!row) throw noDevice(params.id)
      const current = query.consistency === 'strong' ? await strongRead(tenant, row) : row
      if (!current) throw noDevice(params.id)
      return withETag(shown(tenant, current), header('if-none-match'))
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/twins',
      operationId: 'searchTwins',
      summary: 'Search twins',
      description:
        'Conditions on `telemetry` are met by a copy of the latest values that may be some seconds old; what is shown is not. Wishes that were sent show as `pending` here.',
      tag,
      query: z.strictObject({ filter: filterParameter, limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, by id.', content: jsonContent(pageSchema(twinSchema)) } },
    },
    async ({ tenant, query }) => {
      const after = keyOf('twins', query.cursor, z.string())
      const rows = await twins.search(tenant, { after, limit: query.limit }, compile(query.filter))
      const items = rows.map((row) => shown(tenant, row))
      return { status: 200, body: pageJson(items, query.limit, () => cursorOf('twins', rows.at(-1)!.device)) }
    },
  )

  function shown(tenant: string, row: TwinRow): string {
    return twinJson({ ...row, decided: shownDecided(row), tenant }, models.find(row.model), now())
  }
}

function withETag(body: string, ifNoneMatch: string | undefined): Reply {
  const etag = `W/"${hash('sha1', body, 'base64url')}"`
  const headers = { etag }
  if (ifNoneMatch !== undefined && isOneOf(etag, ifNoneMatch)) return { status: 304, body: null, headers }
  return { status: 200, body, headers }
}
