/** /v1/notices: what targets were told, are to be told, or could not be told. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import type { NoticeRow, Notices } from '../notify-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { cursorOf, cursorParameter, keyOf, limitParameter, pageJson, pageSchema } from './page.ts'
import { jsonContent } from './schemas.ts'
import { noticeJson, noticeSchema, noticeStates } from './target-json.ts'
import { targetName, targetTag } from './targets.ts'

const noticeParams = z.object({
  id: z.coerce
    .number('the id of a notice is a number')
    .pipe(z.int('the id of a notice is a number').min(1))
    .openapi({ param: { name: 'id', in: 'path' }, type: 'integer', example: 18231 }),
})
/** As `/v1/alarms` has it. */
const alarmId = z
  .string()
  .regex(/^\d{1,9}-\d{1,9}$/, 'must be the id of an alarm, like 12-3')
  .transform((text) => {
    const [incarnation, n] = text.split('-').map(Number) as [number, number]
    return { incarnation, n }
  })
  .openapi({ type: 'string', example: '12-3' })

export function noticeEndpoints(endpoint: Endpoints, { notices }: { notices: Notices }): void {
  const tag = targetTag

  endpoint(
    {
      method: 'get',
      path: '/v1/notices',
      operationId: 'listNotices',
      summary: 'List notices, each with what was tried',
      description: 'Those that have ended are kept for 30 days, of a target the newest 20,000; those of an alarm as long as it is open.',
      tag,
      query: z.strictObject({
        target: targetName.optional(),
        state: noticeStates.optional(),
        alarm: alarmId.optional(),
        key: z.string().min(1).max(200).optional(),
        limit: limitParameter,
        cursor: cursorParameter,
      }),
      responses: { 200: { description: 'A page, the newest first.', content: jsonContent(pageSchema(noticeSchema)) } },
    },
    async ({ tenant, query: { target, state, alarm, key, limit, cursor } }) => {
      const page = { after: keyOf('notices', cursor, z.int()), limit }
      const rows = await notices.list(tenant, { target, state, alarm, key, page })
      return { status: 200, body: pageJson(rows.map(noticeJson), limit, () => cursorOf('notices', rows.at(-1)!.id)) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/notices/{id}',
      operationId: 'getNotice',
      summary: 'Get a notice',
      tag,
      params: noticeParams,
      responses: { 200: { description: 'The notice.', content: jsonContent(noticeSchema) } },
    },
    async ({ tenant, params }) => ({ status: 200, body: noticeJson(await known(tenant, params.id)) }),
  )

  endpoint(
    {
      method: 'post',
      path: '/v1/notices/{id}/retry',
      operationId: 'retryNotice',
      summary: 'Send a notice that has failed again, or now one that waits to be tried again',
      tag,
      params: noticeParams,
      responses: { 202: { description: 'It goes out as soon as the pace of its target allows.', content: jsonContent(noticeSchema) } },
      problems: [409],
    },
    async ({ tenant, params: { id } }) => {
      const { state, target } = await known(tenant, id)
      if (!(await notices.retry(tenant, id))) {
        const why = state === 'failed' ? `has failed, but its alarm is over, or there is no target ${target}` : `is ${state}`
        throw new CastorError('conflict', `The notice ${why}: only one that has failed, or is to be tried again, can be sent again.`)
      }
      return { status: 202, body: noticeJson(await known(tenant, id)) }
    },
  )

  async function known(tenant: string, id: number): Promise<NoticeRow> {
    const row = await notices.find(tenant, id)
    if (!row) throw new CastorError('not-found', `There is no notice ${id}.`)
    return row
  }
}
