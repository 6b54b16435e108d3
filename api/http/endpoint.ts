/**
 * One endpoint of REST: documented by the schemas that parse it, and run by one path that every request takes: credential, rate limit,
 * parse, handle, answer. Handlers give a plain reply and throw CastorError; headers that belong to every answer are added here, in one
 * object, because a reply that is built once is what keeps a request cheap.
 */
import { randomUUID } from 'node:crypto'
import type { OpenAPIHono, RouteConfig, z } from '@hono/zod-openapi'
import { metrics } from '@opentelemetry/api'
import type { Context } from 'hono'
import type { Logger } from 'pino'
import { CastorError } from '../../twin-models/errors.ts'
import type { Authenticate } from './authenticate.ts'
import { parseBody, parseParams, parseQuery } from './parse-request.ts'
import { asCastorError, problemReply } from './problem.ts'
import { problemResponses } from './problem-schema.ts'
import type { RateLimit } from './rate-limit.ts'

export interface Reply {
  status: 200 | 201 | 202 | 204 | 304
  body: string | ReadableStream<Uint8Array> | null
  headers?: Record<string, string>
}

export interface Call<Params, Query, Body> {
  params: Params
  query: Query
  body: Body
  tenant: string
  /** Name of the API key. */
  caller: string
  /** With its body unread, where the endpoint takes an upload. */
  request: Request
  header(name: string): string | undefined
  /** Counts against a stricter limit than the general one; throws when it is used up. */
  limitBy(limit: RateLimit): void
}

export interface EndpointSpec<Params, Query, Body> {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  /** With `{name}` for parameters. */
  path: string
  operationId: string
  summary: string
  description?: string
  tag: string
  params?: z.ZodType<Params>
  query?: z.ZodType<Query>
  headers?: z.ZodObject
  /** `optional`: without one it is `{}`. */
  body?: { schema: z.ZodType<Body>; types: string[]; maxBytes: number; optional?: boolean }
  /** Instead of `body`: multipart/form-data, which the handler reads as it comes. */
  upload?: z.ZodType
  responses: RouteConfig['responses']
  /** Statuses of problems beyond those that every endpoint may give. */
  problems?: number[]
  /** From the request to its answer at most; longer than its handler waits on purpose. */
  deadlineMs?: number
}

export interface EndpointDeps {
  app: OpenAPIHono
  authenticate: Authenticate
  /** The general limit. */
  limit: RateLimit
  log: Logger
  /** Path → methods, for 405. */
  methods: Map<string, string[]>
}

export type Endpoints = ReturnType<typeof createEndpoints>

export function createEndpoints(deps: EndpointDeps) {
  const duration = metrics.getMeter('castor').createHistogram('castor_http_request_duration_seconds', {
    description: 'From the request to its answer, by route',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  })

  return function endpoint<Params = undefined, Query = undefined, Body = undefined>(
    spec: EndpointSpec<Params, Query, Body>,
    handle: (call: Call<Params, Query, Body>) => Promise<Reply>,
  ): void {
    document(deps.app, spec)
    const path = spec.path.replace(/\{(\w+)\}/g, ':$1')
    deps.methods.set(path, [...(deps.methods.get(path) ?? []), spec.method.toUpperCase()])
    const measured = measure(spec)

    deps.app.on(spec.method.toUpperCase(), path, async (c) => {
      const start = performance.now()
      const headers: Record<string, string> = { ...COMMON_HEADERS, 'x-request-id': requestIdOf(c) }
      const response = await answer(c, headers)
      duration.record((performance.now() - start) / 1000, measured(response.status))
      return response
    })

    async function answer(c: Context, headers: Record<string, string>): Promise<Response> {
      try {
        const authenticated = deps.authenticate(c.req.header('authorization'))
        const { tenant, name: caller } = authenticated instanceof Promise ? await withDeadline(authenticated, DEADLINE_MS) : authenticated
        const limitBy = (limit: RateLimit) => {
          const taken = limit.take(tenant)
          Object.assign(headers, taken.headers)
          if (taken.refusal) throw taken.refusal
        }
        limitBy(deps.limit)
        const query = parseQuery(spec.query, c)
        const params = spec.params ? parseParams(spec.params, c) : (undefined as Params)
        const body = spec.body ? await parseBody(spec.body, c) : (undefined as Body)
        const call = { params, query, body, tenant, caller, limitBy, request: c.req.raw, header: (name: string) => c.req.header(name) }
        const reply = await withDeadline(handle(call), spec.deadlineMs ?? DEADLINE_MS)
        if (reply.body !== null) headers['content-type'] = 'application/json'
        return new Response(reply.body, { status: reply.status, headers: Object.assign(headers, reply.headers) })
      } catch (error) {
        const reply = refusal(error, headers, deps.log)
        return new Response(reply.body, reply)
      }
    }
  }
}

/** Whatever hangs behind us, the caller gets an answer. Longer than handlers wait on purpose; those that wait longer say so. */
const DEADLINE_MS = 15_000

async function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CastorError('unavailable', 'This takes too long. Try again later.', { retryAfterSeconds: 5 })), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** For what is refused outside of an endpoint, too: unknown paths, wrong methods. */
export function refusal(error: unknown, headers: Record<string, string>, log: Logger) {
  const known = asCastorError(error)
  if (known.status >= 500) log.error({ err: known.cause ?? known, requestId: headers['x-request-id'] }, 'a request failed')
  return problemReply(known, headers['x-request-id'], headers)
}

export const COMMON_HEADERS = { 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' } as const

/** The caller's own, where it is harmless: it finds its request in our log. */
export function requestIdOf(c: Context): string {
  const given = c.req.header('x-request-id')
  return given !== undefined && /^[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : randomUUID()
}

/** Attribute objects are made once per status, not once per request. */
function measure({ method, path }: { method: string; path: string }) {
  const byStatus = new Map<number, { method: string; route: string; status: number }>()
  return (status: number) => {
    let attributes = byStatus.get(status)
    if (!attributes) {
      attributes = { method, route: path, status }
      byStatus.set(status, attributes)
    }
    return attributes
  }
}

function document<P, Q, B>(app: OpenAPIHono, spec: EndpointSpec<P, Q, B>): void {
  const request: NonNullable<RouteConfig['request']> = {}
  if (spec.params) request.params = spec.params as never
  if (spec.query) request.query = spec.query as never
  if (spec.headers) request.headers = spec.headers as never
  if (spec.body) {
    const { schema, types, optional = false } = spec.body
    request.body = { required: !optional, content: Object.fromEntries(types.map((type) => [type, { schema }])) }
  }
  if (spec.upload) request.body = { required: true, content: { 'multipart/form-data': { schema: spec.upload } } }
  const problems = [400, 401, 429, 500, 503, ...(spec.params ? [404] : []), ...(spec.body ? [413, 415] : []), ...(spec.problems ?? [])]
  app.openAPIRegistry.registerPath({
    method: spec.method,
    path: spec.path,
    operationId: spec.operationId,
    summary: spec.summary,
    ...(spec.description !== undefined && { description: spec.description }),
    tags: [spec.tag],
    security: [{ apiKey: [] }],
    request,
    responses: { ...spec.responses, ...problemResponses(problems) },
  })
}
