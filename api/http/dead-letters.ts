/** /v1/dead-letters: what was acknowledged but could not be taken, and why. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeadLetterRow, DeadLetters } from '../ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { deviceId, iso, jsonContent, time } from './schemas.ts'

/** In lists; one alone shows all that is stored. */
const LISTED_RAW_BYTES = 4096

const deadLetter = z
  .object({
    id: z.string(),
    receivedAt: time,
    device: z.string(),
    topic: z.string(),
    reason: z.string(),
    path: z.string().optional().openapi({ description: 'JSON pointer into the payload.' }),
    detail: z.string(),
    messageId: z.string().optional(),
    size: z.int().openapi({ description: 'Bytes of the whole payload.' }),
    raw: z.string().openapi({ description: 'The payload as it came, in `rawEncoding`; in lists at most its first 4 kB.' }),
    rawEncoding: z.enum(['utf-8', 'base64']),
    rawComplete: z.boolean().openapi({ description: '`raw` is the whole payload.' }),
  })
  .openapi('DeadLetter')

const idParams = z.object({
  id: z
    .string()
    .regex(/^[1-9]\d{0,15}$/, 'a dead letter’s id is a number')
    .openapi({ param: { name: 'id', in: 'path' } }),
})

export function deadLetterEndpoints(endpoint: Endpoints, { deadLetters }: { deadLetters: DeadLetters }): void {
  const tag = 'Dead letters'

  endpoint(
    {
      method: 'get',
      path: '/v1/dead-letters',
      operationId: 'listDeadLetters',
      summary: 'List dead letters',
      description: 'Newest first.',
      tag,
      query: z.strictObject({
        device: deviceId.optional(),
        reason: z.string().min(1).max(100).optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page.', content: jsonContent(pageSchema(deadLetter)) } },
    },
    async ({ tenant, query }) => {
      const rows = await deadLetters.list(tenant, {
        ...(query.device !== undefined && { device: query.device }),
        ...(query.reason !== undefined && { reason: query.reason }),
        page: { after: keyOf('dead-letters', query.cursor, z.int()), limit: query.limit },
        rawBytes: LISTED_RAW_BYTES,
      })
      const items = rows.map((row) => JSON.stringify(show(row)))
      return { status: 200, body: pageJson(items, query.limit, () => cursorOf('dead-letters', rows.at(-1)!.id)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/dead-letters/{id}',
      operationId: 'getDeadLetter',
      summary: 'Get a dead letter',
      tag,
      params: idParams,
      responses: { 200: { description: 'The dead letter, with all that is stored of its payload.', content: jsonContent(deadLetter) } },
    },
    async ({ tenant, params }) => {
      const row = await deadLetters.find(tenant, Number(params.id))
      if (!row) throw new CastorError('not-found', `There is no dead letter ${params.id}.`)
      return { status: 200, body: JSON.stringify(show(row)) }
    },
  )
}

function show(row: DeadLetterRow): z.infer<typeof deadLetter> {
  return {
    id: String(row.id),
    receivedAt: iso(row.receivedAt),
    device: row.device,
    topic: row.topic,
    reason: row.reason,
    ...(row.path !== null && { path: row.path }),
    detail: row.detail,
    ...(row.messageId !== null && { messageId: row.messageId }),
    size: row.size,
    ...rawText(row.raw, row.raw.length < row.size),
    rawComplete: row.raw.length === row.size,
  }
}

/** Text where it is text. Of a payload that was cut, the last character may be half: it is left out. */
function rawText(raw: Uint8Array, cut: boolean): { raw: string; rawEncoding: 'utf-8' | 'base64' } {
  try {
    return { raw: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw, { stream: cut }), rawEncoding: 'utf-8' }
  } catch {
    return { raw: Buffer.from(raw).toString('base64'), rawEncoding: 'base64' }
  }
}
