/** /v1/targets: where alarms and tickets are told. Telling is the work of the dispatcher (api/notify/); here are the rows that it goes by. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { ID_PATTERN } from '../../twin-models/ids.ts'
import { targetRequest } from '../../twin-models/schemas/target.ts'
import type { Mailer } from '../notify/ports.ts'
import { MOST_TARGETS, type Target, type Targets } from '../notify-ports.ts'
import type { WebhookSender } from '../webhook-ports.ts'
import { newSecret } from '../webhooks/signature.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { jsonContent } from './schemas.ts'
import { targetJson, targetSchema } from './target-json.ts'
import { secretSchema, withSecret } from './webhook-json.ts'

export interface TargetDeps {
  targets: Targets
  webhookSender: Pick<WebhookSender, 'refusal'>
  mailer: Pick<Mailer, 'refusal'>
  now: () => number
}

const MAX_BODY_BYTES = 128 * 1024
export const targetTag = 'Notifications'
export const targetName = z
  .string('must be a text')
  .regex(ID_PATTERN, 'the name of a target begins with a letter or digit and has up to 128 of A-Z a-z 0-9 . _ : -')
export const targetParams = z.object({ name: targetName.openapi({ param: { name: 'name', in: 'path' }, example: 'ops' }) })
export const targetWithSecret = targetSchema
  .extend({ secret: secretSchema.optional().openapi({ description: 'Of a webhook that is new. Signs what is sent. Shown this once.' }) })
  .openapi('TargetWithSecret')

export function targetEndpoints(endpoint: Endpoints, { targets, webhookSender, mailer, now }: TargetDeps): void {
  const tag = targetTag

  endpoint(
    {
      method: 'put',
      path: '/v1/targets/{name}',
      operationId: 'putTarget',
      summary: 'Make or change a target',
      description: `As a whole: what is not said again has its default, and credentials are gone. The secret of a webhook stays. A tenant has at most ${MOST_TARGETS}. A webhook is told by signed POSTs, an e-mail address by e-mail, if the platform has a mail server.`,
      tag,
      params: targetParams,
      body: { schema: targetRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'It was there, and is so now.', content: jsonContent(targetWithSecret) },
        201: { description: 'Made.', content: jsonContent(targetWithSecret), headers: z.object({ Location: z.string() }) },
      },
      problems: [409],
    },
    async ({ tenant, params: { name }, body }) => {
      const { auth, ...settings } = { auth: undefined, ...body }
      const refusal = settings.kind === 'webhook' ? webhookSender.refusal(settings.url) : mailer.refusal()
      if (refusal !== undefined) throw refused(settings.kind === 'webhook' ? '/url' : '/kind', refusal)
      const put = await targets.put(tenant, { name, settings, auth: auth ?? null, secret: newSecret() })
      if (put === 'too-many')
        throw new CastorError(
          'conflict',
          `There are ${MOST_TARGETS} targets already, which is the most. Remove one that is no longer needed.`,
        )
      const json = targetJson(put.target, now())
      return {
        status: put.isNew ? 201 : 200,
        body: put.secret === undefined ? json : withSecret(json, put.secret),
        headers: { 'cache-control': 'no-store', ...(put.isNew && { location: `/v1/targets/${name}` }) },
      }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/targets',
      operationId: 'listTargets',
      summary: 'List targets',
      tag,
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      responses: { 200: { description: 'A page, by name.', content: jsonContent(pageSchema(targetSchema)) } },
    },
    async ({ tenant, query: { limit, cursor } }) => {
      const rows = await targets.list(tenant, { after: keyOf('targets', cursor, z.string()), limit })
      const items = rows.map((row) => targetJson(row, now()))
      return { status: 200, body: pageJson(items, limit, () => cursorOf('targets', rows.at(-1)!.name)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/targets/{name}',
      operationId: 'getTarget',
      summary: 'Get a target',
      tag,
      params: targetParams,
      responses: { 200: { description: 'The target.', content: jsonContent(targetSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: targetJson(await knownTarget(targets, tenant, params.name), now()) }),
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/targets/{name}',
      operationId: 'deleteTarget',
      summary: 'Remove a target',
      description:
        'What waits for it fails, and can be sent again to a target of the same name. One that a live rule tells is not removed.',
      tag,
      params: targetParams,
      responses: { 204: { description: 'Removed.' } },
      problems: [409],
    },
    async ({ tenant, params: { name } }) => {
      const removed = await targets.remove(tenant, name)
      if (removed === false) throw noTarget(name)
      if (removed !== true)
        throw new CastorError('conflict', `Live rules tell it: ${removed.join(', ')}. Let them tell another target first.`)
      return { status: 204, body: null }
    },
  )
}

export async function knownTarget(targets: Targets, tenant: string, name: string): Promise<Target> {
  const row = await targets.find(tenant, name)
  if (!row) throw noTarget(name)
  return row
}

/** Also for one of another tenant. */
export function noTarget(name: string): CastorError {
  return new CastorError('not-found', `There is no target ${name}.`)
}

function refused(path: string, refusal: string): CastorError {
  return new CastorError('invalid', `${refusal}.`, { errors: [{ path, detail: refusal }] })
}
