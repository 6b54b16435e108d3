/** /v1/groups: filters with a name, which rollouts are for, and which may pin their devices to one version of their firmware. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { version } from '../../twin-models/firmware/manifest.ts'
import { filter } from '../../twin-models/schemas/filter.ts'
import { groupName } from '../../twin-models/schemas/rollout.ts'
import type { FirmwareRows } from '../firmware-ports.ts'
import { type Group, type Groups, MOST_GROUPS, MOST_PINS } from '../group-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { iso, jsonContent, time } from './schemas.ts'

const MAX_BODY_BYTES = 16 * 1024
/** Devices of a group are counted so far. */
const MOST_COUNTED = 10_000

const groupRequest = z.strictObject({ filter, firmwarePin: version.optional() }).openapi('GroupRequest', {
  description:
    'With `firmwarePin` its devices get this version and no other, whatever a rollout or somebody asks for. Without one a pin from before is lifted.',
  example: { filter: "attributes.site = 'north' and attributes.pilot = true", firmwarePin: '1.3.0' },
})
const group = z
  .object({
    name: z.string().openapi({ example: 'pilots' }),
    filter: z.string(),
    firmwarePin: z.string().optional(),
    createdAt: time,
    changedAt: time,
  })
  .openapi('Group')
const groupWithCount = group
  .extend({
    devices: z.object({
      count: z.int().openapi({ description: `That match now, counted up to ${MOST_COUNTED}.` }),
      more: z.boolean().openapi({ description: 'There are more.' }),
    }),
  })
  .openapi('GroupWithCount', {
    example: {
      name: 'pilots',
      filter: "attributes.site = 'north' and attributes.pilot = true",
      firmwarePin: '1.3.0',
      createdAt: '2026-11-21T06:00:00.000Z',
      changedAt: '2026-11-21T06:00:00.000Z',
      devices: { count: 25, more: false },
    },
  })
const groupParams = z.object({ name: groupName.openapi({ param: { name: 'name', in: 'path' }, example: 'pilots' }) })

export interface GroupDeps {
  groups: Groups
  firmware: Pick<FirmwareRows, 'findVersions'>
}

export function groupEndpoints(endpoint: Endpoints, { groups, firmware }: GroupDeps): void {
  const tag = 'Groups'

  endpoint(
    {
      method: 'put',
      path: '/v1/groups/{name}',
      operationId: 'putGroup',
      summary: 'Make or change a group',
      description: `A tenant has at most ${MOST_GROUPS}, of which ${MOST_PINS} with a pin. Rollouts that are for it go by the new filter from the next time that they choose devices.`,
      tag,
      params: groupParams,
      body: { schema: groupRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'It was there, and is so now.', content: jsonContent(groupWithCount) },
        201: { description: 'Made.', content: jsonContent(groupWithCount), headers: z.object({ Location: z.string() }) },
      },
      problems: [409],
    },
    async ({ tenant, params: { name }, body: { filter, firmwarePin = null } }) => {
      if (firmwarePin !== null) await checkPin(tenant, firmwarePin)
      const devices = await countOf(tenant, filter)
      const put = await groups.put(tenant, { name, filter, firmwarePin })
      if (put === 'too-many-groups')
        throw new CastorError(
          'conflict',
          `There are ${MOST_GROUPS} groups already, which is the most. Remove one that is no longer needed.`,
        )
      if (put === 'too-many-pins')
        throw new CastorError('conflict', `There are ${MOST_PINS} groups with a pin already, which is the most. Lift one first.`)
      const headers: Record<string, string> = put.isNew ? { location: `/v1/groups/${name}` } : {}
      return { status: put.isNew ? 201 : 200, body: JSON.stringify({ ...shown(put.group), devices }), headers }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/groups',
      operationId: 'listGroups',
      summary: 'List groups',
      tag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, by name.', content: jsonContent(pageSchema(group)) } },
    },
    async ({ tenant, query: { limit, cursor } }) => {
      const rows = await groups.list(tenant, { after: keyOf('groups', cursor, z.string()), limit })
      const items = rows.map((row) => JSON.stringify(shown(row)))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('groups', rows.at(-1)!.name)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/groups/{name}',
      operationId: 'getGroup',
      summary: 'Get a group, and how many devices it has',
      description: 'Who they are: `GET /v1/twins?filter=…` with its filter.',
      tag,
      params: groupParams,
      responses: { 200: { description: 'The group.', content: jsonContent(groupWithCount) } },
    },
    async ({ tenant, params }) => {
      const row = await groups.find(tenant, params.name)
      if (!row) throw noGroup(params.name)
      return { status: 200, body: JSON.stringify({ ...shown(row), devices: await countOf(tenant, row.filter) }) }
    },
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/groups/{name}',
      operationId: 'deleteGroup',
      summary: 'Remove a group',
      description: 'Its pin goes with it. A rollout that is for it cannot choose devices any more, and says so.',
      tag,
      params: groupParams,
      responses: { 204: { description: 'Removed.' } },
    },
    async ({ tenant, params }) => {
      if (!(await groups.remove(tenant, params.name))) throw noGroup(params.name)
      return { status: 204, body: null }
    },
  )

  async function checkPin(tenant: string, pin: string): Promise<void> {
    if ((await firmware.findVersions(tenant, pin)).length > 0) return
    throw new CastorError('invalid', `No firmware has the version ${pin}: upload it before devices are pinned to it.`, {
      errors: [{ path: '/firmwarePin', detail: 'is the version of no firmware' }],
    })
  }

  async function countOf(tenant: string, filter: string): Promise<{ count: number; more: boolean }> {
    const found = await groups.count(tenant, filter, MOST_COUNTED + 1)
    return { count: Math.min(found, MOST_COUNTED), more: found > MOST_COUNTED }
  }
}

function shown({ name, filter, firmwarePin, createdAt, changedAt }: Group): object {
  return { name, filter, ...(firmwarePin !== null && { firmwarePin }), createdAt: iso(createdAt), changedAt: iso(changedAt) }
}

/** Also for one of another tenant. */
function noGroup(name: string): CastorError {
  return new CastorError('not-found', `There is no group ${name}.`)
}
