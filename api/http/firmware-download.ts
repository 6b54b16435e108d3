/**
 * GET /device/v1/firmware/{sha256}?update=…&key=…: the artifact of one update, for whoever has the link of its job. The link is all the credential
 * there is: bound to the update of one device, and good until its job and the time to install have passed. A CDN in between may cache by the path
 * alone, since what stands there never changes.
 *
 *   is the link one of this update, and of this artifact? ──► may the artifact be used? ──► its bytes, from wherever the device stands
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import type { Logger } from 'pino'
import { CastorError } from '../../twin-models/errors.ts'
import { USABLE_PROBLEMS } from '../../twin-models/firmware/usable.ts'
import type { ByteRange, DownloadLink, FindDownloadLink, FirmwareStore } from '../firmware-ports.ts'
import { createPaces } from './byte-pace.ts'
import { rangeOf } from './byte-range.ts'
import { contentStream } from './content-stream.ts'
import { createLinkCache, type LinkLimits } from './download-links.ts'
import { createPlaces, type PlaceLimits } from './download-places.ts'
import { COMMON_HEADERS, refusal, requestIdOf } from './endpoint.ts'
import { isOneOf } from './etags.ts'

export interface DownloadOptions {
  store: FirmwareStore
  find: FindDownloadLink
  log: Logger
  onSent?: (bytes: number) => void
  limits?: Partial<DownloadLimits>
  now?: () => number
}

export interface DownloadLimits extends PlaceLimits, LinkLimits {
  /** A client that takes nothing for so long. */
  stallMs: number
}

/** Look-ups: half of a bridge's connections to Postgres. */
const LIMITS: DownloadLimits = {
  ...{ atOnce: 1_000, ofOneTenant: 750, ofOneUpdate: 4 },
  ...{ stallMs: 60_000, trustMs: 1_000, lookUps: 2, lookUpsInLine: 1_000 },
}
const PATH = '/device/v1/firmware/:sha256'
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const YEAR_SECONDS = 31_536_000

export interface FirmwareDownloads {
  app: Hono
  /** How many are under way. */
  readonly underway: number
}

export function createDownloads(options: DownloadOptions): FirmwareDownloads {
  const { store, find, log, onSent, now = Date.now } = options
  const limits = { ...LIMITS, ...options.limits }
  const links = createLinkCache(find, limits)
  const paceOf = createPaces()
  const places = createPlaces(limits)
  const app = new Hono()

  app.get(PATH, async (c) => {
    const more: Record<string, string> = {}
    try {
      return await serve(c, more)
    } catch (error) {
      return refused(c, error, more)
    }
  })
  app.all(PATH, (c) => refused(c, new CastorError('method-not-allowed', 'Firmware is downloaded with GET.'), { allow: 'GET, HEAD' }))
  return {
    app,
    get underway() {
      return places.taken
    },
  }

  async function serve(c: Context, more: Record<string, string>): Promise<Response> {
    const update = c.req.query('update') ?? ''
    const link = await allowed(c.req.param('sha256')!, update, c.req.query('key') ?? '')
    const { sha256, size } = link
    const etag = `"${sha256}"`
    const headers: Record<string, string> = {
      ...{ 'x-content-type-options': 'nosniff', etag, 'accept-ranges': 'bytes' },
      'cache-control': `public, max-age=${YEAR_SECONDS}, immutable`,
    }
    const known = c.req.header('if-none-match')
    if (known !== undefined && isOneOf(etag, known)) return new Response(null, { status: 304, headers })
    headers['content-type'] = 'application/octet-stream'
    if (c.req.method === 'HEAD') return new Response(null, { headers: { ...headers, 'content-length': String(size) } })

    const range = rangeFor(c, etag, size)
    if (range === 'unsatisfiable') {
      more['content-range'] = `bytes */${size}`
      throw new CastorError('range-not-satisfiable', `The artifact has ${size} bytes: there is nothing in the range that was asked for.`)
    }
    const { first, last } = range ?? { first: 0, last: size - 1 }
    headers['content-length'] = String(last - first + 1)
    if (range) headers['content-range'] = `bytes ${first}-${last}/${size}`
    const body = await bodyOf(c, link, update, { first, last })
    return new Response(body, { status: range ? 206 : 200, headers })
  }

  /** What the link stands for; throws when it is not good. That there is no such update is not told apart from a wrong key. */
  async function allowed(sha256: string, update: string, key: string): Promise<DownloadLink> {
    const link = UUID.test(update) ? await links(update.toLowerCase()) : undefined
    if (!isSame(key, link?.key ?? '') || !link?.key)
      throw new CastorError('forbidden', 'This link is not one that a job gave: take the url of the job as it is, or ask what is pending.')
    if (link.isOver || link.until === null || link.until <= now())
      throw new CastorError('forbidden', 'This link has expired, or its update has ended. Ask what is pending: a new job has a new one.')
    if (link.sha256 !== sha256) throw new CastorError('not-found', 'This link is for another artifact: take the url of the job as it is.')
    if (link.problem !== null) throw new CastorError('forbidden', `The artifact may not be used: ${USABLE_PROBLEMS[link.problem]}`)
    return link
  }

  async function bodyOf(c: Context, { tenant, sha256, rollout, bytesPerSecond }: DownloadLink, update: string, range: ByteRange) {
    const leave = places.enter(tenant, update)
    try {
      const content = await store.open(sha256, range)
      if (!content) {
        log.error({ sha256 }, 'Firmware that is to be downloaded is not in the store of this bridge: does it share the folder of the api?')
        throw new CastorError('unavailable', 'The artifact is not there right now. Try again later.', { retryAfterSeconds: 60 })
      }
      const pace = rollout !== null && bytesPerSecond !== null ? paceOf(rollout, bytesPerSecond) : undefined
      return contentStream(content, {
        stallMs: limits.stallMs,
        hangUp: () => (c.env as HttpBindings).outgoing.destroy(),
        onEnd: leave,
        async take(bytes, gone) {
          await pace?.take(bytes, gone)
          onSent?.(bytes)
        },
      })
    } catch (error) {
      leave()
      throw error
    }
  }

  function refused(c: Context, error: unknown, more: Record<string, string>): Response {
    const reply = refusal(error, { ...COMMON_HEADERS, ...more, 'x-request-id': requestIdOf(c) }, log)
    return new Response(reply.body, reply)
  }
}

/** A range of another content, which the client has begun with, is not given. */
function rangeFor(c: Context, etag: string, size: number): ByteRange | 'unsatisfiable' | undefined {
  const ifRange = c.req.header('if-range')
  if (ifRange !== undefined && ifRange.trim() !== etag) return undefined
  return rangeOf(c.req.header('range'), size)
}

/** In constant time, whatever their lengths. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash('sha256').update(text).digest()) as [Buffer, Buffer]
  return timingSafeEqual(a, b)
}
