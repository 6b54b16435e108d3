/**
 * What devices send over HTTP: the same messages as over MQTT (docs/protocol.md), with the device's token as bearer. Like the broker it
 * checks identity, place and size, and appends; what is in the payload is the processor's affair. 202 leaves after the commit. What is
 * pending for them they ask for, or find in the answer to what they report.
 */
import { createHash } from 'node:crypto'
import { type Context, Hono } from 'hono'
import type { Logger } from 'pino'
import { CastorError } from '../../twin-models/errors.ts'
import { isId, NAME_PATTERN } from '../../twin-models/ids.ts'
import { type Acceptor, MAX_PAYLOAD } from '../ingest/acceptor.ts'
import type { Message, MessageKind } from '../ingest/log.ts'
import { SENML } from '../mqtt/topics.ts'
import type { DevicePolls } from './device-polls.ts'
import type { DeviceReports } from './device-reports.ts'
import { COMMON_HEADERS, refusal, requestIdOf } from './endpoint.ts'
import { pendingMembers } from './hand-out.ts'
import { checkContentType, readBytes } from './json-body.ts'
import { createTokenCache, type FindByToken } from './token-cache.ts'

export interface DeviceApiOptions {
  acceptor: Acceptor
  findByToken: FindByToken
  polls: DevicePolls
  reports: DeviceReports
  log: Logger
  /** How long a token is taken on trust after it was looked up: so long may a revocation take. */
  trustMs?: number
  /** How long a request waits for its commit. */
  patienceMs?: number
}

interface Resource {
  kind: MessageKind
  types: string[]
  /** Reads the part of the path that names what it is about. */
  nameOf?(c: Context): string
}

const JSON_TYPE = 'application/json'
const RESOURCES: Record<string, Resource> = {
  '/device/v1/telemetry': { kind: 'telemetry', types: [JSON_TYPE, SENML] },
  '/device/v1/events/:name': { kind: 'event', types: [JSON_TYPE], nameOf: eventNameOf },
  '/device/v1/presence': { kind: 'presence', types: [JSON_TYPE] },
  '/device/v1/reported': { kind: 'reported', types: [JSON_TYPE] },
  '/device/v1/commands/:id/response': { kind: 'response', types: [JSON_TYPE], nameOf: idOf('command', 'request') },
  '/device/v1/updates/:id/status': { kind: 'update', types: [JSON_TYPE], nameOf: idOf('update', 'job') },
}
const PENDING = '/device/v1/pending'
const MAX_WAIT_SECONDS = 60

export function createDeviceApi(options: DeviceApiOptions): Hono {
  const { acceptor, findByToken, polls, reports, log, trustMs = 3000, patienceMs = 10_000 } = options
  const tokens = createTokenCache(findByToken, trustMs)
  const app = new Hono()
  for (const [path, resource] of Object.entries(RESOURCES)) {
    app.post(path, (c) => answer(c, () => take(c, resource)))
    app.all(path, (c) => answer(c, () => notAllowed('Devices send with POST.'), { allow: 'POST' }))
  }
  app.all(PENDING, (c) =>
    // HEAD too would count as sending what nobody gets to see.
    c.req.method === 'GET'
      ? answer(c, () => poll(c))
      : answer(c, () => notAllowed('What is pending is asked for with GET.'), { allow: 'GET' }),
  )
  app.notFound((c) => answer(c, () => notFound(c)))
  return app

  async function take(c: Context, { kind, types, nameOf }: Resource): Promise<Response> {
    const device = await tokens.find(bearerOf(c))
    const name = nameOf?.(c)
    checkQuery(c)
    const id = messageIdOf(c)
    const contentType = c.req.header('content-type')
    checkContentType(contentType, types)
    // Before the body is read: it would only be thrown away.
    const why = acceptor.refusal()
    if (why) throw why
    const payload = await readBytes(c.req.raw, MAX_PAYLOAD)
    if (payload.length === 0) throw new CastorError('invalid', 'The request needs a body.', { errors: [{ path: '', detail: 'is empty' }] })
    const message: Message = { incarnation: device.incarnation, kind, receivedAt: Date.now(), payload, size: payload.length }
    if (name !== undefined) message.name = name
    if (id !== undefined) message.id = id
    if (contentType!.toLowerCase().startsWith(SENML)) message.contentType = SENML
    await accepted(message)
    const pending = await reports.due(device.incarnation)
    const receivedAt = `"receivedAt":"${new Date(message.receivedAt).toISOString()}"`
    const body = pending ? `{${receivedAt},"pending":{${pendingMembers(pending)}}}` : `{${receivedAt}}`
    return new Response(body, { status: 202, headers: { ...COMMON_HEADERS, 'content-type': JSON_TYPE } })
  }

  /** That a device asks is a sign of life, and stands in the log as one; its answer does not wait for that. */
  async function poll(c: Context): Promise<Response> {
    const tokenHash = bearerOf(c)
    const { incarnation } = await tokens.find(tokenHash)
    const waitMs = waitOf(c)
    const why = acceptor.refusal()
    if (why) throw why
    acceptor.accept({ incarnation, kind: 'get', receivedAt: Date.now(), payload: new Uint8Array(), size: 0 }, 'http', () => {})
    reports.asks(incarnation)
    const known = c.req.header('if-none-match')
    const { etag, pending } = await polls.poll({ incarnation, tokenHash, known, waitMs, signal: c.req.raw.signal })
    const headers = { ...COMMON_HEADERS, etag, ...(polls.stopped && { connection: 'close' }) }
    if (!pending) return new Response(null, { status: known === undefined ? 204 : 304, headers })
    const body = `{"serverTime":"${new Date().toISOString()}",${pendingMembers(pending)}}`
    return new Response(body, { headers: { ...headers, 'content-type': JSON_TYPE } })
  }

  /** A commit that takes too long goes on; whoever sends the message again with the same id is counted once. */
  function accepted(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        acceptor.refused('http', 'late')
        reject(new CastorError('unavailable', 'The message could not be stored in time. Send it again.', { retryAfterSeconds: 5 }))
      }, patienceMs)
      acceptor.accept(message, 'http', (error) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve()
      })
    })
  }

  async function answer(c: Context, act: () => Promise<Response>, headers: Record<string, string> = {}): Promise<Response> {
    try {
      return await act()
    } catch (error) {
      const reply = refusal(error, { ...COMMON_HEADERS, ...headers, 'x-request-id': requestIdOf(c) }, log)
      if (reply.status !== 503) acceptor.refused('http', String(reply.status))
      return new Response(reply.body, reply)
    }
  }
}

async function notAllowed(detail: string): Promise<never> {
  throw new CastorError('method-not-allowed', detail)
}

async function notFound(c: Context): Promise<never> {
  const known = Object.keys(RESOURCES)
    .map((path) => path.replace(/:(\w+)/, '{$1}'))
    .join(', ')
  throw new CastorError('not-found', `There is nothing at ${c.req.path.slice(0, 200)}. Devices send to ${known}, and ask at ${PENDING}.`)
}

function bearerOf(c: Context): Buffer {
  const [, token] = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(c.req.header('authorization') ?? '') ?? []
  if (token === undefined)
    throw new CastorError('unauthenticated', 'The header Authorization must be: Bearer, and the token of the device.')
  return createHash('sha256').update(token).digest()
}

function eventNameOf(c: Context): string {
  const name = c.req.param('name')!
  if (NAME_PATTERN.test(name)) return name
  throw new CastorError('invalid', 'The name of an event begins with a letter or _ and goes on with letters, digits, _ . and -, up to 128.')
}

function idOf(what: string, where: string): (c: Context) => string {
  return (c) => {
    const id = c.req.param('id')!
    if (isId(id)) return id
    throw new CastorError('invalid', `The id of the ${what} stands with its ${where}: it is answered under that id.`)
  }
}

function checkQuery(c: Context, ...known: string[]): void {
  const unknown = Object.keys(c.req.queries()).find((name) => !known.includes(name))
  if (unknown === undefined) return
  const errors = [{ path: `query:${unknown.slice(0, 100)}`, detail: 'is not known' }]
  const may = known.length === 0 ? 'no query parameters' : `no query parameters but ${known.join(', ')}`
  throw new CastorError('invalid', `Messages of devices have ${may}.`, { errors })
}

/** `wait`, in seconds, as milliseconds. */
function waitOf(c: Context): number {
  checkQuery(c, 'wait')
  const [text = '0', ...more] = c.req.queries('wait') ?? []
  if (more.length === 0 && /^\d{1,2}$/.test(text) && Number(text) <= MAX_WAIT_SECONDS) return Number(text) * 1000
  const errors = [{ path: 'query:wait', detail: `is not a whole number from 0 to ${MAX_WAIT_SECONDS}` }]
  throw new CastorError('invalid', `wait is given once, in whole seconds from 0 to ${MAX_WAIT_SECONDS}.`, { errors })
}

function messageIdOf(c: Context): string | undefined {
  const id = c.req.header('message-id')
  if (id === undefined || isId(id)) return id
  const errors = [{ path: 'header:Message-Id', detail: 'is not an id' }]
  throw new CastorError('invalid', 'Message-Id begins with a letter or digit and goes on with those or . _ : - up to 128.', { errors })
}
