/** /v1/firmware: what can be rolled out, who signed it, and taking it back. How it comes in is firmware-upload.ts. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { envelopeSchema } from '../../twin-models/firmware/envelope.ts'
import type { FirmwareRow } from '../firmware-ports.ts'
import { contentStream } from './content-stream.ts'
import type { Endpoints } from './endpoint.ts'
import { firmwareJson, firmwareSchema, signedFirmwareJson, signedFirmwareSchema } from './firmware-json.ts'
import { firmwareUploadEndpoint, type UploadDeps, withSignature } from './firmware-upload.ts'
import { checkEnvelope } from './manifest-check.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { jsonContent } from './schemas.ts'

const firmwareParams = z.object({ id: z.uuid('the id of firmware is a UUID').openapi({ param: { name: 'id', in: 'path' } }) })
const MAX_ENVELOPE_BYTES = 128 * 1024

export function firmwareEndpoints(endpoint: Endpoints, deps: UploadDeps): void {
  const { firmware, firmwareStore, now } = deps
  const tag = 'Firmware'
  firmwareUploadEndpoint(endpoint, deps)

  async function known(tenant: string, id: string): Promise<FirmwareRow> {
    const row = await firmware.find(tenant, id)
    if (!row) throw noFirmware(id)
    return row
  }

  endpoint(
    {
      method: 'get',
      path: '/v1/firmware',
      operationId: 'listFirmware',
      summary: 'List firmware',
      tag,
      query: z.strictObject({
        name: z.string().max(128).optional(),
        model: z.string().max(128).optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(firmwareSchema)) } },
    },
    async ({ tenant, query: { name, model, limit, cursor } }) => {
      const rows = await firmware.list(tenant, { name, model, page: { after: keyOf('firmware', cursor, z.int()), limit } })
      const items = rows.map((row) => firmwareJson(row, now()))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('firmware', rows.at(-1)!.number)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/firmware/{id}',
      operationId: 'getFirmware',
      summary: 'Get firmware',
      tag,
      params: firmwareParams,
      responses: { 200: { description: 'The firmware, with its signed manifest.', content: jsonContent(signedFirmwareSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: signedFirmwareJson(await known(tenant, params.id), now()) }),
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/firmware/{id}/content',
      operationId: 'getFirmwareContent',
      summary: 'Get the image',
      description: 'For people, also when it is not usable. Devices download with the link of their job.',
      tag,
      params: firmwareParams,
      responses: { 200: { description: 'Its bytes.', content: { 'application/octet-stream': { schema: z.any() } } } },
    },
    async ({ tenant, params }) => {
      const { sha256, size } = await known(tenant, params.id)
      const content = await firmwareStore.open(sha256, { first: 0, last: size - 1 })
      if (!content) throw new CastorError('internal', `The image of firmware ${params.id} is not where it should be.`)
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size), etag: `"${sha256}"` }
      return { status: 200, body: contentStream(content), headers }
    },
  )

  endpoint(
    {
      method: 'put',
      path: '/v1/firmware/{id}/signature',
      operationId: 'signFirmware',
      summary: 'Add the signature',
      description: 'Of firmware that nobody has signed, or whose key was revoked: the envelope of the very manifest that was uploaded.',
      tag,
      params: firmwareParams,
      body: { schema: envelopeSchema, types: ['application/json'], maxBytes: MAX_ENVELOPE_BYTES },
      responses: { 200: { description: 'Signed.', content: jsonContent(signedFirmwareSchema) } },
      problems: [403, 409],
    },
    async ({ tenant, params, body }) => {
      const row = await known(tenant, params.id)
      const { text, signature } = await checkEnvelope(deps, tenant, body)
      if (text !== row.manifest)
        throw new CastorError('conflict', `The envelope holds another manifest than that of firmware ${row.name} ${row.version}.`)
      return { status: 200, body: signedFirmwareJson(await withSignature(firmware, tenant, row, signature), now()) }
    },
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/firmware/{id}/withdraw',
      operationId: 'withdrawFirmware',
      summary: 'Take firmware back',
      description: 'For good: from now on it is neither rolled out nor downloaded. Devices that run it go on.',
      tag,
      params: firmwareParams,
      responses: { 200: { description: 'Withdrawn.', content: jsonContent(firmwareSchema) } },
    },
    async ({ tenant, params }) => {
      if (!(await firmware.withdraw(tenant, params.id))) throw noFirmware(params.id)
      return { status: 200, body: firmwareJson(await known(tenant, params.id), now()) }
    },
  )
}

/** Also for one of another tenant. */
function noFirmware(id: string): CastorError {
  return new CastorError('not-found', `There is no firmware ${id}.`)
}
