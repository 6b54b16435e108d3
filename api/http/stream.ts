/** GET /v1/stream: changes as they happen, as server-sent events. What they mean: docs/live.md; how they come about: api/live/. */
import { hash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { FIRST_TEXT, LIVE_TYPES, type LiveType } from '../live/live-event.ts'
import type { Live, LiveStream } from '../live/live-request.ts'
import type { Authenticate } from './authenticate.ts'
import type { Endpoints } from './endpoint.ts'
import { filterParameter, parseFilterParameter } from './filter-parameter.ts'
import { deviceId } from './schemas.ts'

/** Readings are asked for: they are many. */
const DEFAULT_TYPES: readonly LiveType[] = LIVE_TYPES.filter((type) => type !== 'reading')

const typesParameter = z
  .string()
  .max(200)
  .default(DEFAULT_TYPES.join(','))
  .transform((text, context) => {
    const types = text.split(',')
    const unknown = types.find((type) => !(LIVE_TYPES as readonly string[]).includes(type))
    if (unknown !== undefined) context.addIssue({ code: 'custom', message: `takes ${LIVE_TYPES.join(', ')}, separated by commas` })
    return new Set(types as LiveType[])
  })
  .openapi({ type: 'string', description: `Which of ${LIVE_TYPES.join(', ')}.`, example: 'decision,reading' })

export interface StreamDeps {
  live: Live
  authenticate: Authenticate
}

export function streamEndpoint(endpoint: Endpoints, { live, authenticate }: StreamDeps): void {
  endpoint(
    {
      method: 'get',
      path: '/v1/stream',
      operationId: 'stream',
      summary: 'Follow what happens',
      description:
        'Server-sent events from now on, or from after `Last-Event-ID`. A filter chooses by the twin of the device as it is after the event. Nothing is left out in silence: a `gap` event tells what is no longer kept.',
      tag: 'Stream',
      query: z.strictObject({ types: typesParameter, device: deviceId.optional(), filter: filterParameter }),
      headers: z.object({ 'Last-Event-ID': z.string().optional() }),
      responses: {
        200: {
          description: 'Events until either side ends it.',
          content: { 'text/event-stream': { schema: z.string() } },
        },
      },
    },
    async ({ tenant, query, header }) => {
      const filter = query.filter === undefined ? undefined : { text: query.filter, tree: parseFilterParameter(query.filter) }
      const authorization = header('authorization')
      const lastEventId = header('last-event-id')
      const stream = await live.open({
        ...{ tenant, types: query.types, device: query.device, filter },
        lastEventId: lastEventId === '' ? undefined : lastEventId,
        credential: {
          id: hash('sha256', authorization ?? '', 'base64'),
          isValid: () => isValid(authenticate, authorization, tenant),
        },
      })
      const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }
      return { status: 200, body: bodyOf(stream), headers }
    },
  )
}

async function isValid(authenticate: Authenticate, authorization: string | undefined, tenant: string): Promise<boolean> {
  try {
    return (await authenticate(authorization)).tenant === tenant
  } catch (error) {
    if (error instanceof CastorError && error.code === 'unauthenticated') return false
    throw error
  }
}

/** Pulled by the socket: only what it takes is made. */
function bodyOf(stream: LiveStream): ReadableStream<Uint8Array> {
  let done = false
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(Buffer.from(FIRST_TEXT))
        void stream.ended.then((how) => {
          if (done) return
          done = true
          // Closing would wait for what the socket does not take.
          if (how === 'stuck') controller.error(new Error('The client took nothing of its stream for too long'))
          else controller.close()
        })
      },
      async pull(controller) {
        const bytes = await stream.next()
        if (bytes !== undefined && !done) controller.enqueue(bytes)
      },
      cancel() {
        done = true
        stream.close()
      },
    },
    { highWaterMark: 0 },
  )
}
