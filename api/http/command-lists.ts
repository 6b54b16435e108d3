/** Lists of commands: a tenant's, and a device's. */
import { z } from '@hono/zod-openapi'
import { COMMAND_STATUSES, type Commands } from '../command-ports.ts'
import { commandJson, commandSchema } from './command-json.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { noDevice } from './refusals.ts'
import { deviceId, deviceParams, jsonContent, timeParameter, wordsParameter } from './schemas.ts'

const cursorKey = z.tuple([z.int(), z.int()])
const listQuery = z.strictObject({
  status: wordsParameter(COMMAND_STATUSES, 'status').optional(),
  name: z.string().min(1).max(128).optional(),
  from: timeParameter.optional(),
  to: timeParameter.optional(),
  limit: limitParameter,
  cursor: cursorParameter,
})
const EMPTY = '{"items":[],"next":null}'

export function commandListEndpoints(endpoint: Endpoints, { commands }: { commands: Commands }): void {
  const responses = { 200: { description: 'A page.', content: jsonContent(pageSchema(commandSchema)) } }
  const tag = 'Commands'

  endpoint(
    {
      method: 'get',
      path: '/v1/commands',
      operationId: 'listCommands',
      summary: 'List commands',
      description: 'Newest first by `createdAt`. `from` is inclusive, `to` exclusive. `device` means its present registration.',
      tag,
      query: listQuery.extend({ device: deviceId.optional() }),
      responses,
    },
    async ({ tenant, query }) => ({ status: 200, body: (await list(tenant, query.device, query)) ?? EMPTY }),
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/twins/{id}/commands',
      operationId: 'listTwinCommands',
      summary: 'List the commands of a device',
      description: 'Newest first by `createdAt`. `from` is inclusive, `to` exclusive.',
      tag,
      params: deviceParams,
      query: listQuery,
      responses,
    },
    async ({ tenant, params, query }) => {
      const body = await list(tenant, params.id, query)
      if (body === undefined) throw noDevice(params.id)
      return { status: 200, body }
    },
  )

  /** Undefined: there is no such device. */
  async function list(tenant: string, device: string | undefined, query: z.infer<typeof listQuery>): Promise<string | undefined> {
    const key = keyOf('commands', query.cursor, cursorKey)
    const rows = await commands.list({
      tenant,
      device,
      statuses: query.status,
      name: query.name,
      from: query.from,
      to: query.to,
      page: { after: key && { createdMicros: key[0], number: key[1] }, limit: query.limit },
    })
    if (!rows) return undefined
    const next = () => cursorOf('commands', [rows.at(-1)!.createdMicros, rows.at(-1)!.number])
    return pageJson(rows.map(commandJson), query.limit, next)
  }
}
