/**
 * A rule as it is written over REST, and stored: durations stay as somebody wrote them, what was left out has its default. What its conditions
 * say is looked at in twin-models/rules/check.ts.
 */
import { z } from 'zod'
import { SEVERITIES } from '../core/rule-types.ts'
import { parseDuration } from '../durations.ts'
import { FILTER_LIMITS } from '../filter/parse.ts'
import { ID_PATTERN, NAME_PATTERN } from '../ids.ts'
import { RULE_LIMITS, spanMs } from '../rules/language.ts'
import { filter } from './filter.ts'
import { windowSchema } from './window.ts'

const DAY_MS = 86_400_000
const DATA_BYTES = 4 * 1024

export { spanMs }
export const RULE_STATUSES = ['draft', 'live'] as const

function duration(least: '0s' | '1s', mostDays: number) {
  const leastMs = spanMs(least)
  return z
    .string('must be a duration like 30s, 5m, 24h')
    .max(20)
    .refine((text) => {
      const ms = /^0(ms|s|m|h|d)$/.test(text) ? 0 : parseDuration(text)
      return ms !== undefined && ms >= leastMs && ms <= mostDays * DAY_MS
    }, `must be a duration like 30s, 5m, 24h, from ${least} to ${mostDays}d`)
}

const condition = z.string('must be a condition').min(1, 'must be a condition').max(FILTER_LIMITS.length)
const severity = z.enum(SEVERITIES, `must be one of ${SEVERITIES.join(', ')}`)
export const ruleName = z
  .string('must be the name of a rule')
  .regex(ID_PATTERN, 'the name of a rule begins with a letter or digit and has up to 128 of A-Z a-z 0-9 . _ : -')
const name = z
  .string('must be a name')
  .regex(ID_PATTERN, 'must be a name: it begins with a letter or digit and has up to 128 of A-Z a-z 0-9 . _ : -')
const line = (most: number) =>
  z.string('must be a text').regex(new RegExp(`^[^\\p{Cc}]{1,${most}}$`, 'u'), `must have 1 to ${most} characters, in one line`)
const isSmall = (value: unknown) => Buffer.byteLength(JSON.stringify(value) ?? '') <= DATA_BYTES
const data = z.unknown().refine(isSmall, `must have at most ${DATA_BYTES} bytes of JSON`)
const on = z.enum(['raised', 'cleared'], 'must be raised or cleared').default('raised')

const action = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('notify'), target: name, after: duration('0s', 7).default('0s') }),
    z.strictObject({ kind: z.literal('event'), name: z.string().regex(NAME_PATTERN, 'must be a name'), data: data.optional(), on }),
    z.strictObject({
      kind: z.literal('command'),
      name: z.string('must be the name of an action').min(1).max(128),
      input: data.optional(),
      device: name.optional(),
      on,
    }),
    z.strictObject({
      kind: z.literal('wish'),
      desired: z
        .record(z.string(), z.unknown(), 'must be an object')
        .refine((wished) => Object.keys(wished).length > 0, 'must wish something')
        .refine(isSmall, `must have at most ${DATA_BYTES} bytes of JSON`),
      device: name.optional(),
      on,
    }),
    z.strictObject({ kind: z.literal('predict'), model: name }),
    z.strictObject({
      kind: z.literal('ticket'),
      title: line(200),
      onCall: z.array(name, 'must be a list of names').max(20).default([]),
      predict: name.optional(),
    }),
  ],
  { error: 'must be an action: its kind is one of notify, event, command, wish, predict, ticket' },
)

export const ruleRequest = z
  .strictObject({
    status: z.enum(RULE_STATUSES, 'must be draft or live').default('draft'),
    model: z.string('must be the name of a model').min(1).max(128).optional(),
    filter: filter.optional(),
    when: condition,
    clear: condition.optional(),
    for: duration('0s', 7).default('0s'),
    clearFor: duration('0s', 7).default('0s'),
    lateAfter: duration('1s', 7).default('5m'),
    schedule: windowSchema.optional(),
    severity,
    worse: z
      .array(z.strictObject({ when: condition, severity }), 'must be a list')
      .max(SEVERITIES.length - 1)
      .default([]),
    text: z.string('must be a text').min(1, 'must say something').max(RULE_LIMITS.text),
    onChange: z.enum(['keep', 'clear'], 'must be keep or clear').default('keep'),
    verifyFor: duration('0s', 31).optional(),
    actions: z.array(action, 'must be a list of actions').max(10).default([]),
    description: z.string('must be a text').max(2_000).default(''),
  })
  .superRefine(({ model, filter, actions }, context) => {
    const refuse = (path: Array<string | number>, message: string) => context.addIssue({ code: 'custom', path, message })
    if (model === undefined && filter === undefined)
      refuse(['model'], 'one of model and filter is needed, or both: which devices it is for')
    let after = 0
    for (const [i, action] of actions.entries()) {
      if (action.kind !== 'notify') continue
      if (spanMs(action.after) < after)
        refuse(['actions', i, 'after'], 'must not be before that of the notification above it: who is told first stands first')
      after = spanMs(action.after)
    }
    const tickets = actions.flatMap(({ kind }, i) => (kind === 'ticket' ? [i] : []))
    if (tickets.length > 1) refuse(['actions', tickets[1]!], 'is a second ticket: an alarm has one')
  })

export type RuleBody = z.infer<typeof ruleRequest>
export type RuleAction = RuleBody['actions'][number]
