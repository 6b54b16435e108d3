/** /v1/bulk-changes: a wish or a command for all devices that a filter finds. The work itself is a workflow; here are its rows. */
import { randomUUID } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { parseFilter } from '../../twin-models/filter/parse.ts'
import { bulkChangeRequest, bulkRequestOf, MOST_TARGETS } from '../../twin-models/schemas/bulk-change.ts'
import type { BulkChanges, BulkRow, BulkTargetRow } from '../ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { iso, jsonContent, jsonValue, time } from './schemas.ts'

const MAX_BODY_BYTES = 64 * 1024
const tag = 'Bulk changes'

const counts = z.object({
  total: z.number().int(),
  waiting: z.number().int(),
  underway: z.number().int(),
  succeeded: z.number().int(),
  failed: z.number().int(),
  skipped: z.number().int(),
})
const bulkChange = z
  .object({
    id: z.uuid(),
    status: z.enum(['running', 'paused', 'halted', 'cancelled', 'completed', 'failed']),
    reason: z.string().optional().openapi({ description: 'Why it halted or failed.' }),
    filter: z.string(),
    change: jsonValue.openapi({ description: 'The wish with its deadline, or the command with its timeout, in milliseconds.' }),
    pace: jsonValue,
    requestedBy: z.string(),
    createdAt: time,
    endedAt: time.optional(),
    devices: counts,
  })
  .openapi('BulkChange')
const preview = z
  .object({
    total: z.number().int().openapi({ description: 'Devices that the filter finds.' }),
    differ: z.number().int().openapi({ description: 'Of those that take part: what they report is not yet as wished.' }),
    skipped: z.array(z.object({ reason: z.string(), count: z.number().int() })),
    sample: z.array(z.string()).openapi({ description: 'Ids of the first ones.' }),
  })
  .openapi('BulkPreview')
const target = z
  .object({
    device: z.string(),
    status: z.enum(['waiting', 'started', 'succeeded', 'failed', 'skipped']),
    reason: z.string().optional().openapi({ description: 'Why it failed or was skipped.', example: 'other-writer' }),
    startedAt: time.optional(),
    endedAt: time.optional(),
  })
  .openapi('BulkDevice')
const statuses = z.enum(['waiting', 'started', 'succeeded', 'failed', 'skipped'])
const bulkParams = z.object({ id: z.uuid('a bulk change’s id is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })

export function bulkChangeEndpoints(endpoint: Endpoints, { bulkChanges }: { bulkChanges: BulkChanges }): void {
  endpoint(
    {
      method: 'post',
      path: '/v1/bulk-changes',
      operationId: 'createBulkChange',
      summary: 'Wish something of many devices, or command them',
      description: `For all devices that the filter finds, at most ${MOST_TARGETS}. With \`preview=true\` nothing is done: the answer says how many there are and which of them differ. It goes at its pace and halts when too many fail.`,
      tag,
      query: z.strictObject({ preview: z.enum(['true', 'false']).optional() }),
      body: { schema: bulkChangeRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'The preview.', content: jsonContent(preview) },
        201: { description: 'It begins within a second.', content: jsonContent(bulkChange), headers: z.object({ Location: z.string() }) },
      },
    },
    async ({ tenant, caller, query, body }) => {
      const request = bulkRequestOf(body)
      checkFilter(request.filter)
      if (query.preview === 'true') return { status: 200, body: JSON.stringify(await bulkChanges.preview(tenant, request)) }
      const id = randomUUID()
      await bulkChanges.create({ ...request, id, tenant, by: caller })
      const row = await bulkChanges.find(tenant, id)
      return { status: 201, body: shown(row!), headers: { location: `/v1/bulk-changes/${id}` } }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/bulk-changes',
      operationId: 'listBulkChanges',
      summary: 'List bulk changes',
      tag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(bulkChange)) } },
    },
    async ({ tenant, query }) => {
      const rows = await bulkChanges.list(tenant, { after: keyOf('bulk-changes', query.cursor, z.number()), limit: query.limit })
      return { status: 200, body: pageJson(rows.map(shown), query.limit, () => cursorOf('bulk-changes', rows.at(-1)!.number)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/bulk-changes/{id}',
      operationId: 'getBulkChange',
      summary: 'Get a bulk change',
      tag,
      params: bulkParams,
      responses: { 200: { description: 'The bulk change.', content: jsonContent(bulkChange) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: shown(await known(tenant, params.id)) }),
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/bulk-changes/{id}/devices',
      operationId: 'listBulkChangeDevices',
      summary: 'List its devices: who has not converged, and why',
      tag,
      params: bulkParams,
      query: z.strictObject({ status: statuses.optional(), limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, in the order in which they are asked.', content: jsonContent(pageSchema(target)) } },
    },
    async ({ tenant, params, query }) => {
      await known(tenant, params.id)
      const page = { after: keyOf('bulk-devices', query.cursor, z.number()), limit: query.limit }
      const rows = await bulkChanges.targets(params.id, query.status, page)
      return { status: 200, body: pageJson(rows.map(shownTarget), query.limit, () => cursorOf('bulk-devices', rows.at(-1)!.number)) }
    },
  )

  for (const [wanted, summary] of [
    ['pause', 'Ask no further devices until it is resumed'],
    ['resume', 'Go on, also after it was halted'],
    ['cancel', 'End it: devices that were asked already go on'],
  ] as const) {
    endpoint(
      {
        method: 'post',
        path: `/v1/bulk-changes/{id}/${wanted}`,
        operationId: `${wanted}BulkChange`,
        summary,
        tag,
        params: bulkParams,
        responses: { 202: { description: 'It is told within a second.', content: jsonContent(bulkChange) } },
        problems: [409],
      },
      async ({ tenant, params }) => {
        const row = await known(tenant, params.id)
        if (!(await bulkChanges.ask(tenant, params.id, wanted)))
          throw new CastorError('conflict', `The bulk change has ended already: it is ${row.status}.`)
        return { status: 202, body: shown(row) }
      },
    )
  }

  async function known(tenant: string, id: string): Promise<BulkRow> {
    const row = await bulkChanges.find(tenant, id)
    if (!row) throw new CastorError('not-found', `There is no bulk change ${id}.`)
    return row
  }
}

function checkFilter(filter: string): void {
  try {
    parseFilter(filter)
  } catch (error) {
    if (!(error instanceof CastorError)) throw error
    throw new CastorError('invalid', error.message, { errors: [{ path: '/filter', detail: error.message }] })
  }
}

function shown({ createdAt, endedAt, reason, change, pace, number: _, progress, ...row }: BulkRow): string {
  return JSON.stringify({
    ...row,
    ...(reason !== null && { reason }),
    change: JSON.parse(change),
    pace: JSON.parse(pace),
    createdAt: iso(createdAt),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
    devices: progress,
  })
}

function shownTarget({ device, status, reason, startedAt, endedAt }: BulkTargetRow): string {
  return JSON.stringify({
    device,
    status,
    ...(reason !== null && { reason }),
    ...(startedAt !== null && { startedAt: iso(startedAt) }),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
  })
}
