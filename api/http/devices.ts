/** /v1/devices: the registry. */
import { z } from '@hono/zod-openapi'
import { mergePatch } from '../../twin-models/core/merge-patch.ts'
import type { JsonObject } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeviceRow, Models, Registry } from '../ports.ts'
import { checkAttributes } from './attributes.ts'
import type { Endpoints } from './endpoint.ts'
import { createFilterCompiler, filterParameter } from './filter-parameter.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { noDevice, taken } from './refusals.ts'
import { newToken, registerOnce, tokenHash, withToken } from './registration.ts'
import { attributes, deviceId, deviceParams, iso, jsonContent, time } from './schemas.ts'

const MAX_BODY_BYTES = 128 * 1024

const device = z
  .object({ id: deviceId, model: z.string(), modelVersion: z.string(), attributes, createdAt: time, updatedAt: time })
  .openapi('Device')
const token = z.string().openapi({ description: 'The device’s password and bearer token. Shown this once; only its hash is stored.' })
const modelName = z.string('must be the name of a model').min(1).max(128).openapi({ example: 'thermostat' })

export function deviceEndpoints(endpoint: Endpoints, { registry, models }: { registry: Registry; models: Models }): void {
  const compile = createFilterCompiler()
  const tag = 'Devices'

  endpoint(
    {
      method: 'post',
      path: '/v1/devices',
      operationId: 'createDevice',
      summary: 'Register a device',
      description: 'With an Idempotency-Key the same request gives the same answer for 24 hours, the token included.',
      tag,
      headers: z.object({ 'Idempotency-Key': z.string().min(1).max(255).optional() }),
      body: {
        schema: z.strictObject({ id: deviceId, model: modelName, attributes: attributes.optional() }),
        types: ['application/json'],
        maxBytes: MAX_BODY_BYTES,
      },
      responses: {
        201: {
          description: 'Registered.',
          content: jsonContent(device.extend({ token })),
          headers: z.object({ Location: z.string().openapi({ example: '/v1/devices/t-1' }) }),
        },
      },
      problems: [409],
    },
    async ({ tenant, caller, body, header }) => {
      const model = knownModel(models, body.model)
      const wanted = {
        tenant,
        device: body.id,
        model: model.name,
        modelVersion: model.version,
        attributes: checkAttributes(body.attributes ?? {}),
        by: caller,
      }
      const headers = { location: `/v1/devices/${body.id}`, 'cache-control': 'no-store' }
      const idempotencyKey = header('idempotency-key')
      if (idempotencyKey !== undefined) {
        const { response, replayed } = await registerOnce(registry, wanted, idempotencyKey, createdJson)
        return { status: 201, body: response, headers: { ...headers, ...(replayed && { 'idempotency-replayed': 'true' }) } }
      }
      const made = newToken()
      const registered = await registry.insert({ ...wanted, tokenHash: tokenHash(made) })
      if (!registered) throw taken(body.id)
      return { status: 201, body: withToken(createdJson(wanted, registered.createdAt), made), headers }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/devices',
      operationId: 'listDevices',
      summary: 'List devices',
      tag,
      query: z.strictObject({ filter: filterParameter, limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, by id.', content: jsonContent(pageSchema(device)) } },
    },
    async ({ tenant, query }) => {
      const after = keyOf('devices', query.cursor, z.string())
      const rows = await registry.list(tenant, { after, limit: query.limit }, compile(query.filter))
      return { status: 200, body: pageJson(rows.map(deviceJson), query.limit, () => cursorOf('devices', rows.at(-1)!.device)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/devices/{id}',
      operationId: 'getDevice',
      summary: 'Get a device',
      tag,
      params: deviceParams,
      responses: { 200: { description: 'The device.', content: jsonContent(device) } },
    },
    async ({ tenant, params }) => {
      const row = await registry.find(tenant, params.id)
      if (!row) throw noDevice(params.id)
      return { status: 200, body: deviceJson(row) }
    },
  )

  endpoint(
    {
      method: 'patch',
      path: '/v1/devices/{id}',
      operationId: 'updateDevice',
      summary: 'Change attributes or model',
      description:
        'A merge patch (RFC 7396) of the device: `null` removes an attribute. Another model reaches the twin as a request of its own.',
      tag,
      params: deviceParams,
      body: {
        schema: z.strictObject({ model: modelName.optional(), attributes: attributes.nullable().optional() }),
        types: ['application/merge-patch+json', 'application/json'],
        maxBytes: MAX_BODY_BYTES,
      },
      responses: {
        200: {
          description: 'Changed. `Link` with rel="monitor" leads to the request to the twin, if the model changed.',
          content: jsonContent(device),
        },
      },
    },
    async ({ tenant, params, body }) => {
      const model = body.model === undefined ? undefined : knownModel(models, body.model)
      const changed = await registry.update(tenant, params.id, (row) => ({
        attributes: patchedAttributes(row.attributes, body.attributes),
        model: model?.name ?? row.model,
        modelVersion: model?.version ?? row.modelVersion,
      }))
      if (!changed) throw noDevice(params.id)
      const link = changed.request && { link: `</v1/requests/${changed.request}>; rel="monitor"` }
      return { status: 200, body: deviceJson(changed.row), headers: { ...link } }
    },
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/devices/{id}',
      operationId: 'deleteDevice',
      summary: 'End a registration',
      description: 'Its credentials are void at once; its connection and its workflow end within seconds.',
      tag,
      params: deviceParams,
      responses: { 204: { description: 'Ended.' } },
    },
    async ({ tenant, caller, params }) => {
      if (!(await registry.remove(tenant, params.id, caller))) throw noDevice(params.id)
      return { status: 204, body: null }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/devices/{id}/token',
      operationId: 'renewToken',
      summary: 'Give a device a new token',
      description: 'The former one is void at once, and connections made with it end within seconds.',
      tag,
      params: deviceParams,
      responses: { 201: { description: 'The new token.', content: jsonContent(z.object({ id: deviceId, token })) } },
    },
    async ({ tenant, params }) => {
      const made = newToken()
      if (!(await registry.changeToken(tenant, params.id, tokenHash(made)))) throw noDevice(params.id)
      return { status: 201, body: JSON.stringify({ id: params.id, token: made }), headers: { 'cache-control': 'no-store' } }
    },
  )
}

function knownModel(models: Models, name: string) {
  const model = models.find(name)
  if (model) return model
  const names = models.list().map((known) => known.name)
  throw new CastorError('invalid', `There is no model ${JSON.stringify(name)}; there are ${names.join(', ')}.`, {
    errors: [{ path: '/model', detail: 'is not known' }],
  })
}

/** `attributes: null` removes them all, as a merge patch says. */
function patchedAttributes(stored: string, patch: Record<string, unknown> | null | undefined): string {
  if (patch === undefined) return stored
  return checkAttributes(patch === null ? {} : mergePatch(JSON.parse(stored), patch as JsonObject))
}

type Created = Pick<DeviceRow, 'device' | 'model' | 'modelVersion' | 'attributes'>

function createdJson(row: Created, createdAt: number): string {
  return deviceJson({ ...row, createdAt, updatedAt: createdAt })
}

/** Attributes are JSON as they come: not parsed again. */
function deviceJson(row: Created & { createdAt: number; updatedAt: number }): string {
  const { device: id, model, modelVersion } = row
  return `{"id":${JSON.stringify(id)},"model":${JSON.stringify(model)},"modelVersion":${JSON.stringify(modelVersion)},"attributes":${row.attributes},"createdAt":"${iso(row.createdAt)}","updatedAt":"${iso(row.updatedAt)}"}`
}
