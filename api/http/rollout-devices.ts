/** /v1/rollouts/{id}/devices: what became of each device, page by page as JSON, or all of them as CSV. */
import { z } from '@hono/zod-openapi'
import { stringify } from 'csv-stringify/sync'
import { ROLLOUT_LIMITS } from '../../twin-models/core/rollout-types.ts'
import { type RolloutRow, type Rollouts, TARGET_STATUSES, type TargetQuery, type TargetRow } from '../rollout-ports.ts'
import type { Endpoints, Reply } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { noRollout, rolloutParams, rolloutTag } from './rollouts.ts'
import { iso, jsonContent, time, wholeNumber, wordsParameter } from './schemas.ts'

const CSV_ROWS = 2_000
const COLUMNS = ['device', 'wave', 'from', 'status', 'reason', 'startedAt', 'endedAt', 'back'] as const

const target = z
  .object({
    device: z.string(),
    wave: z.int().optional().openapi({ description: 'From 1. Absent: it was left out when the devices were chosen.' }),
    from: z.string().optional().openapi({ description: 'The version that it ran before.', example: '1.2.0' }),
    status: z.enum(TARGET_STATUSES),
    reason: z.string().optional().openapi({ description: 'Why it ended so.', example: 'hash-mismatch' }),
    update: z.uuid().optional().openapi({ description: '`/v1/updates/{id}`; absent until it is asked.' }),
    startedAt: time.optional(),
    endedAt: time.optional(),
    back: z.boolean().openapi({ description: 'Of the way back.' }),
  })
  .openapi('RolloutDevice')
/** One more may have been added with the rest. */
const MOST_WAVES = ROLLOUT_LIMITS.waves + 1
const narrowing = {
  status: wordsParameter(TARGET_STATUSES, 'status').optional(),
  wave: wholeNumber(0, MOST_WAVES)
    .optional()
    .openapi({ type: 'integer', description: 'From 1; 0: those that were left out when the devices were chosen.' }),
  back: z.enum(['true', 'false']).optional().openapi({ description: 'Only those of the way back, or only the others. Absent: both.' }),
}
const cursorKey = z.tuple([z.boolean(), z.int()])
const csvContent = { 'text/csv': { schema: z.string().openapi({ example: `${COLUMNS.join(',')}\r\nt-1,1,1.2.0,healthy,,…,…,false` }) } }

export function rolloutDeviceEndpoints(endpoint: Endpoints, { rollouts }: { rollouts: Rollouts }): void {
  const tag = rolloutTag
  const about = 'In the order in which they are asked, those of the way back last.'

  endpoint(
    {
      method: 'get',
      path: '/v1/rollouts/{id}/devices',
      operationId: 'listRolloutDevices',
      summary: 'List its devices: how far each is, or how it ended and why',
      description: `${about} With \`Accept: text/csv\` all of them as CSV; \`limit\` and \`cursor\` mean nothing then.`,
      tag,
      params: rolloutParams,
      headers: z.object({ Accept: z.string().optional().openapi({ example: 'text/csv' }) }),
      query: z.strictObject({ ...narrowing, limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, or all as CSV.', content: { ...jsonContent(pageSchema(target)), ...csvContent } } },
    },
    async ({ tenant, params, query, header }) => {
      const row = await known(tenant, params.id)
      if (wantsCsv(header('accept'))) return csv(row, queryOf(query))
      const key = keyOf('rollout-devices', query.cursor, cursorKey)
      const page = { after: key && { isBack: key[0], number: key[1] }, limit: query.limit }
      const rows = await rollouts.targets(row.id, queryOf(query), page)
      const next = () => cursorOf('rollout-devices', [rows.at(-1)!.isBack, rows.at(-1)!.number])
      return { status: 200, body: pageJson(rows.map(targetJson), query.limit, next), headers: { vary: 'Accept' } }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/rollouts/{id}/devices.csv',
      operationId: 'exportRolloutDevices',
      summary: 'All its devices as CSV',
      description: `${about} Cells that a spreadsheet would take for a formula begin with an apostrophe.`,
      tag,
      params: rolloutParams,
      query: z.strictObject(narrowing),
      responses: { 200: { description: 'CSV (RFC 4180) with a header.', content: csvContent } },
    },
    async ({ tenant, params, query }) => csv(await known(tenant, params.id), queryOf(query)),
  )

  async function known(tenant: string, id: string): Promise<RolloutRow> {
    const row = await rollouts.find(tenant, id)
    if (!row) throw noRollout(id)
    return row
  }

  /** Page by page as the client takes them, so that it holds nothing of ours. The first is there before the answer begins: trouble is told. */
  async function csv({ id }: RolloutRow, query: TargetQuery): Promise<Reply> {
    const pageAfter = (after: TargetRow | undefined) => rollouts.targets(id, query, { after, limit: CSV_ROWS })
    let rows: TargetRow[] | undefined = await pageAfter(undefined)
    let last: TargetRow | undefined
    const encoder = new TextEncoder()
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          rows ??= await pageAfter(last)
          const text = csvOf(rows, last === undefined)
          if (text !== '') controller.enqueue(encoder.encode(text))
          if (rows.length < CSV_ROWS) controller.close()
          last = rows.at(-1)
          rows = undefined
        },
      },
      { highWaterMark: 0 },
    )
    const headers = {
      'content-type': 'text/csv; charset=utf-8; header=present',
      'content-disposition': `attachment; filename="rollout-${id}.csv"`,
      vary: 'Accept',
    }
    return { status: 200, body, headers }
  }
}

type Narrowing = z.output<z.ZodObject<typeof narrowing>>

function queryOf({ status, wave, back }: Narrowing): TargetQuery {
  return { statuses: status, wave: wave === undefined ? undefined : wave - 1, isBack: back === undefined ? undefined : back === 'true' }
}

/** Only who names it, and not JSON beside it. */
function wantsCsv(accept = ''): boolean {
  return /\btext\/csv\b/i.test(accept) && !/\bapplication\/json\b/i.test(accept)
}

function targetJson({ device, wave, fromVersion, status, reason, update, startedAt, endedAt, isBack }: TargetRow): string {
  const shown: z.infer<typeof target> = {
    device,
    ...(wave >= 0 && { wave: wave + 1 }),
    ...(fromVersion !== null && { from: fromVersion }),
    status,
    ...(reason !== null && { reason }),
    ...(update !== null && { update }),
    ...(startedAt !== null && { startedAt: iso(startedAt) }),
    ...(endedAt !== null && { endedAt: iso(endedAt) }),
    back: isBack,
  }
  return JSON.stringify(shown)
}

/** Versions and reasons are words of devices: none of them becomes a formula, or another line. */
function csvOf(rows: TargetRow[], header: boolean): string {
  const cells = rows.map(({ device, wave, fromVersion, status, reason, startedAt, endedAt, isBack }) => [
    ...[device, wave >= 0 ? String(wave + 1) : '', fromVersion ?? '', status, reason ?? ''],
    ...[startedAt === null ? '' : iso(startedAt), endedAt === null ? '' : iso(endedAt), String(isBack)],
  ])
  return stringify(cells, { header, columns: [...COLUMNS], escape_formulas: true, quoted_match: /[\r\n]/, record_delimiter: '\r\n' })
}
