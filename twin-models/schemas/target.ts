/**
 * What one asks for with a target: where alarms and tickets are told, and how much of it. What is parsed is what is stored, but for its credentials,
 * which are stored apart and never shown again.
 */
import { z } from 'zod'
import { WEEKDAYS } from '../core/rollout-types.ts'
import { SEVERITIES, type Severity } from '../core/rule-types.ts'
import { formatDuration, parseDuration } from '../durations.ts'
import { auth, headers, url } from './webhook.ts'
import { windowSchema } from './window.ts'

const TARGET_LIMITS = { recipients: 20, address: 254, subjectPrefix: 50, description: 500, perMinute: 600 } as const
const DEFAULTS = { groupWait: '10s', groupInterval: '1m', perMinute: 60 } as const
const HOUR_MS = 3_600_000
const LONGEST_MS = { groupWait: HOUR_MS, groupInterval: 24 * HOUR_MS } as const

export const TARGET_FORMS = ['alertmanager', 'castor'] as const

const duration = (most: number) =>
  z.string('must be a duration like 0s, 30s, 5m').transform((text, context) => {
    const ms = /^0(ms|s|m|h|d)$/.test(text) ? 0 : parseDuration(text)
    if (ms === undefined || ms > most)
      context.addIssue({ code: 'custom', message: `must be a duration like 0s, 30s, 5m, at most ${formatDuration(most)}` })
    return ms ?? 0
  })

const quietHours = windowSchema
  .safeExtend({
    timeZone: windowSchema.shape.timeZone.unwrap(),
    atLeast: z.enum(SEVERITIES, `must be one of ${SEVERITIES.join(', ')}`),
  })
  .refine(
    ({ from, to, days = WEEKDAYS }) => from !== '00:00' || to !== '24:00' || days.length < WEEKDAYS.length,
    'must end at some time: what is less urgent would never be told',
  )
  .transform((given) => given as QuietHours)

/** When only what is urgent is told; the rest waits until they end. */
export interface QuietHours {
  from: string
  to: string
  days?: Array<(typeof WEEKDAYS)[number]>
  timeZone: string
  /** What is told all the same. */
  atLeast: Severity
}

/** No display names, no comments, nothing that a header could be made of. */
const address = z.email('must be an e-mail address like ann@example.com').max(TARGET_LIMITS.address)
const addresses = z
  .array(address, 'must be a list of e-mail addresses')
  .min(1, 'must name an address')
  .max(TARGET_LIMITS.recipients)
  .refine((list) => new Set(list.map((one) => one.toLowerCase())).size === list.length, 'must name each address once')
const line = (most: number) =>
  z.string('must be a text').regex(new RegExp(`^[^\\p{Cc}]{0,${most}}$`, 'u'), `must be one line of at most ${most} characters`)

const common = {
  quietHours: quietHours.optional().describe('What is due in them waits until they end, unless it is at least so severe.'),
  groupWait: duration(LONGEST_MS.groupWait)
    .prefault(DEFAULTS.groupWait)
    .describe('The first alarm of a group waits so long for others to go out with it.'),
  groupInterval: duration(LONGEST_MS.groupInterval)
    .prefault(DEFAULTS.groupInterval)
    .describe('Alarms of one rule and site are one message in so long at most.'),
  perMinute: z.int('must be a whole number').min(1).max(TARGET_LIMITS.perMinute).default(DEFAULTS.perMinute).describe('Messages.'),
  description: z.string('must be a text').max(TARGET_LIMITS.description).default(''),
}

const webhookTarget = z.strictObject({
  kind: z.literal('webhook'),
  url: url.describe('https; http and private addresses only where the platform allows them.'),
  form: z
    .enum(TARGET_FORMS, `must be one of ${TARGET_FORMS.join(', ')}`)
    .default('alertmanager')
    .describe('As Alertmanager tells its receivers (version 4), or a plain JSON of Castor’s.'),
  headers: headers.default({}).describe('Sent along, besides those of Castor and HTTP: up to 20.'),
  auth: auth.optional().describe('How the receiver knows us: one of both. Never shown again.'),
  ...common,
})
const emailTarget = z.strictObject({
  kind: z.literal('email'),
  to: addresses,
  cc: addresses.optional(),
  subjectPrefix: line(TARGET_LIMITS.subjectPrefix).optional().describe('Stands before each subject.'),
  ...common,
})

export const targetRequest = z
  .discriminatedUnion('kind', [webhookTarget, emailTarget], 'kind must be webhook or email')
  .transform(({ groupWait, groupInterval, ...rest }) => ({ ...rest, groupWaitMs: groupWait, groupIntervalMs: groupInterval }))

type Parsed = z.infer<typeof targetRequest>
export type WebhookTargetSettings = Omit<Extract<Parsed, { kind: 'webhook' }>, 'auth'>
export type EmailTargetSettings = Extract<Parsed, { kind: 'email' }>
export type TargetSettings = WebhookTargetSettings | EmailTargetSettings
