/**
 * What one asks for with a webhook: over REST when it is made, and again of what a patch makes of it. What is parsed is what is stored: parsing
 * it once more gives the same.
 */
import { z } from 'zod'
import { SYSTEM_PATTERN } from '../ids.ts'
import { SUBSCRIPTIONS } from '../webhook-events/catalogue.ts'
import { filter } from './filter.ts'

export const WEBHOOK_LIMITS = { url: 2_048, types: 100, headers: 20, headerValue: 2_000, credential: 4_096, description: 500 } as const
const DEFAULTS = { perSecond: 100, atOnce: 10 } as const

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/
/** Visible ASCII, and blanks between. */
const FIELD_VALUE = /^[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?$/
/** Castor or HTTP sets them, or they are about the connection. */
const RESERVED =
  /^(host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|date|user-agent|accept|accept-encoding|authorization|cookie|content-.*|proxy-.*|webhook-.*|sec-.*|:.*)$/i

export const url = z.string('must be a URL').transform((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const problem = urlProblem(parsed)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  return parsed?.href ?? ''
})

function urlProblem(parsed: URL | undefined): string | undefined {
  if (!parsed) return 'must be a whole URL, like https://erp.example.com/castor'
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') return 'must begin with https:// (or http://, where that is allowed)'
  if (parsed.username !== '' || parsed.password !== '') return 'must not hold a user or password: give them as auth'
  if (parsed.href.includes('#')) return 'must not have a fragment (#): it is never sent'
  if (parsed.href.length > WEBHOOK_LIMITS.url) return `must have at most ${WEBHOOK_LIMITS.url} characters`
  return undefined
}

const types = z
  .array(z.string(), 'must be a list of event types')
  .min(1, 'must name an event type, or be ["*"]')
  .max(WEBHOOK_LIMITS.types)
  .transform((given, context) => {
    for (const [i, name] of given.entries())
      if (!SUBSCRIPTIONS.includes(name))
        context.addIssue({ code: 'custom', path: [i], message: `is no event type: there are ${SUBSCRIPTIONS.join(', ')}` })
    return given.includes('*') ? ['*'] : [...new Set(given)]
  })

export const headers = z.record(z.string(), z.string('must be a text'), 'must be an object of texts').superRefine((given, context) => {
  const refuse = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message })
  const entries = Object.entries(given)
  if (entries.length > WEBHOOK_LIMITS.headers) refuse([], `must be at most ${WEBHOOK_LIMITS.headers}`)
  const seen = new Set<string>()
  for (const [name, value] of entries) {
    if (!TOKEN.test(name)) refuse([name.slice(0, 100)], 'is no name of a header')
    else if (/^authorization$/i.test(name)) refuse([name], 'is not set here: give it as auth')
    else if (RESERVED.test(name)) refuse([name], 'is set by Castor or by HTTP itself')
    else if (seen.has(name.toLowerCase())) refuse([name], 'is there twice: case does not count')
    if (value.length > WEBHOOK_LIMITS.headerValue || (value !== '' && !FIELD_VALUE.test(value)))
      refuse([name.slice(0, 100)], `must be at most ${WEBHOOK_LIMITS.headerValue} visible ASCII characters, with blanks only between them`)
    seen.add(name.toLowerCase())
  }
})

const credential = z.string('must be a text').min(1).max(WEBHOOK_LIMITS.credential)
export const auth = z
  .strictObject({
    bearer: credential.regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters without blanks').optional(),
    basic: z
      .strictObject({
        user: credential.regex(/^[^:\x00-\x1f\x7f]+$/, 'must have neither a colon nor control characters'),
        password: credential.regex(/^[^\x00-\x1f\x7f]+$/, 'must have no control characters'),
      })
      .optional(),
  })
  .superRefine(({ bearer, basic }, context) => {
    if ((bearer === undefined) === (basic === undefined)) context.addIssue({ code: 'custom', message: 'one of bearer and basic is needed' })
  })
  .transform(({ bearer, basic }): WebhookAuth => (bearer !== undefined ? { bearer } : { basic: basic! }))

export type WebhookAuth = { bearer: string } | { basic: { user: string; password: string } }

export const webhookRequest = z.strictObject({
  url: url.describe('https; http and private addresses only where the platform allows them.'),
  types: types.describe('Of /v1/event-types; ["*"] is all, those of later versions too.'),
  filter: filter.optional().describe('Of the twin as it is after the event.'),
  system: z
    .string('must be a text')
    .regex(SYSTEM_PATTERN, 'must be a name of up to 64 of A-Z a-z 0-9 . _ -')
    .optional()
    .describe('By which the receiver says what it does with tickets: it is not told its own words.'),
  form: z
    .enum(['standard', 'cloudevents'], 'must be standard or cloudevents')
    .default('standard')
    .describe('The JSON of Standard Webhooks, or CloudEvents 1.0 in structured mode.'),
  headers: headers.default({}).describe('Sent along, besides those of Castor and HTTP: up to 20.'),
  ordered: z.boolean('must be true or false').default(false).describe('The events of one device one after the other.'),
  perSecond: z.number('must be a number').min(0.01).max(1_000).default(DEFAULTS.perSecond),
  atOnce: z.int('must be a whole number').min(1).max(100).default(DEFAULTS.atOnce).describe('Requests under way.'),
  auth: auth.optional().describe('How the receiver knows us: one of both. Never shown again.'),
  description: z.string('must be a text').max(WEBHOOK_LIMITS.description).default(''),
})

export type WebhookSettings = z.infer<typeof webhookRequest>
