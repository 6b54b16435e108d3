/**
 * GET /t/{token} and POST /t/{token}/{action}: what people do by the links in their messages, without any other credential. A token is random, known here
 * by its hash alone, bound to one ticket and to whom it was sent, and ends. To look changes nothing, since scanners of mail follow links; to do
 * something takes a form. The page has no script and loads nothing.
 */
import { hash, randomUUID } from 'node:crypto'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Logger } from 'pino'
import type { TicketAction, TicketAsk } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { ticketArguments } from '../../twin-models/schemas/ticket-arguments.ts'
import type { TicketAsked, TicketLink, TicketLinks, TicketRow, Tickets } from '../ticket-ports.ts'
import { COMMON_HEADERS, refusal, requestIdOf } from './endpoint.ts'
import { checkContentType, readBytes } from './json-body.ts'
import { parseValue } from './parse-request.ts'
import { asCastorError } from './problem.ts'
import { createRateLimit, type RateLimitPolicy } from './rate-limit.ts'
import { answerOf, tooMany } from './ticket-judge.ts'
import { LINK_ACTIONS, PAGE_HEADERS, refusalPage, ticketPage } from './ticket-page.ts'

export interface TicketLinkDeps {
  tickets: Pick<Tickets, 'find' | 'story' | 'ask'>
  ticketLinks: TicketLinks
  log: Logger
  now: () => number
  limits?: { look?: RateLimitPolicy; use?: RateLimitPolicy }
}

/** Of tokens that were not seen a moment ago, all together: who makes some up does not load Postgres. */
const LOOK: RateLimitPolicy = { name: 'links', quota: 1_200, windowSeconds: 60 }
/** Of one token. */
const USE: RateLimitPolicy = { name: 'link', quota: 60, windowSeconds: 60 }
const TRUST_MS = 30_000
const MOST_TRUSTED = 10_000
const TOKEN = /^[\w-]{43}$/
const MAX_BODY_BYTES = 8 * 1024
const LINES = 10

export function ticketLinkPages(app: OpenAPIHono, methods: Map<string, string[]>, deps: TicketLinkDeps): void {
  const { tickets, ticketLinks, log, now, limits } = deps
  const look = createRateLimit(limits?.look ?? LOOK, now)
  const use = createRateLimit(limits?.use ?? USE, now)
  const trusted = new Map<string, { link: TicketLink; until: number }>()
  methods.set('/t/:token', ['GET'])
  methods.set('/t/:token/:action', ['POST'])

  app.get('/t/:token', (c) =>
    answered(c, async () => {
      const { token, link, row } = await opened(c)
      return page(200, await shown(row, link, { base: token }))
    }),
  )

  app.post('/t/:token/:action', (c) =>
    answered(c, async () => {
      const { token, link, row } = await opened(c)
      const action = LINK_ACTIONS.find((known) => known === c.req.param('action'))
      if (!action) throw new CastorError('not-found', 'There is nothing of this name to be done by a link.')
      const asked: TicketAsked = { id: randomUUID(), ask: await askOf(c, action, link.target), origin: { via: 'link' } }
      try {
        const taken = await tickets.ask(link.tenant, link.ticket, asked, (ticket) => answerOf(ticket, asked, now()))
        if (taken === 'too-many') throw tooMany()
        if (!taken) throw gone()
      } catch (error) {
        // Told on the page of the ticket, as it stands now.
        if (!(error instanceof CastorError) || error.code !== 'conflict') throw error
        const after = (await tickets.find(link.tenant, link.ticket)) ?? row
        return page(error.status, await shown(after, link, { refused: error.message, base: `../${token}` }))
      }
      return new Response(null, { status: 303, headers: { ...PAGE_HEADERS, location: `../${token}` } })
    }),
  )

  async function opened(c: Context): Promise<{ token: string; link: TicketLink; row: TicketRow }> {
    const token = c.req.param('token') ?? ''
    if (!TOKEN.test(token)) throw gone()
    const link = await linkOf(token)
    const row = link && link.expiresAt > now() ? await tickets.find(link.tenant, link.ticket) : undefined
    if (!link || !row) throw gone()
    return { token, link, row }
  }

  async function linkOf(token: string): Promise<TicketLink | undefined> {
    const digest = hash('sha256', token, 'buffer')
    const key = digest.toString('base64')
    let link = knownLink(key)
    if (!link) {
      const { refusal } = look.take('all')
      if (refusal) throw refusal
      link = await ticketLinks.find(digest)
      if (!link) return undefined
      if (trusted.size >= MOST_TRUSTED) trusted.delete(trusted.keys().next().value!)
      trusted.set(key, { link, until: now() + TRUST_MS })
    }
    const { refusal } = use.take(key)
    if (refusal) throw refusal
    return link
  }

  function knownLink(key: string): TicketLink | undefined {
    const known = trusted.get(key)
    if (known && known.until > now()) return known.link
    trusted.delete(key)
    return undefined
  }

  async function shown(row: TicketRow, link: TicketLink, more: { refused?: string; base: string }): Promise<string> {
    const { lines, alarms } = await tickets.story(row.id)
    return ticketPage({ row, target: link.target, lines: lines.slice(-LINES), alarm: alarms[0], ...more })
  }

  async function answered(c: Context, run: () => Promise<Response>): Promise<Response> {
    try {
      return await run()
    } catch (error) {
      const known = asCastorError(error)
      // Logs what is our own fault, and says when to come again.
      const { headers } = refusal(known, { ...COMMON_HEADERS, 'x-request-id': requestIdOf(c) }, log)
      const retryAfter = headers['retry-after']
      return page(known.status, refusalPage(known.message), retryAfter === undefined ? {} : { 'retry-after': retryAfter })
    }
  }
}

async function askOf(c: Context, action: TicketAction, by: string): Promise<TicketAsk> {
  checkContentType(c.req.header('content-type'), ['application/x-www-form-urlencoded'])
  const form = new URLSearchParams(new TextDecoder().decode(await readBytes(c.req.raw, MAX_BODY_BYTES)))
  const note = form.get('note')?.trim().replaceAll('\u0000', '') ?? ''
  const at = form.get('at') ?? ''
  // A field of a form has no zone: the page says that it is UTC.
  const given = {
    by,
    ...(note !== '' && { note }),
    ...(action === 'schedule' && { at: /^[\d-]{10}T\d\d:\d\d$/.test(at) ? `${at}:00Z` : at }),
  }
  return { action, ...(parseValue(ticketArguments[action], given, 'What you sent') as object) } as TicketAsk
}

function gone(): CastorError {
  return new CastorError('not-found', 'This link is not valid, or not any more. A newer message about the ticket has a newer one.')
}

function page(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { ...PAGE_HEADERS, ...headers, 'content-type': 'text/html; charset=utf-8' } })
}
