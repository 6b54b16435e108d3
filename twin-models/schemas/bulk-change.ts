/** What one asks for with a bulk change: over REST, or as the one JSON object with which an operator starts `bulkChange` in the Temporal UI. */
import { z } from 'zod'
import type { ErrorLimit, Pace } from '../core/pacing.ts'
import type { JsonObject, Value } from '../core/types.ts'
import { parseDuration } from '../durations.ts'
import { FILTER_LIMITS } from '../filter/parse.ts'
import { NAME_PATTERN } from '../ids.ts'

/** Devices of one bulk change. */
export const MOST_TARGETS = 100_000
const DEFAULTS = { perSecond: 20, atOnce: 1_000, share: 0.2, minimum: 10, deadline: '7d', timeout: '1h' } as const

const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text)
  if (ms === undefined || ms > 366 * 86_400_000)
    context.addIssue({ code: 'custom', message: 'must be a duration like 30s, 5m, 24h, at most 366d' })
  return ms ?? 0
})

const errorLimit = z.strictObject({
  share: z.number().min(0).max(1).default(DEFAULTS.share),
  minimum: z.number().int().min(1).default(DEFAULTS.minimum),
  count: z.number().int().min(0).optional(),
})

export const bulkChangeRequest = z
  .strictObject({
    filter: z.string('must be a filter').min(1).max(FILTER_LIMITS.length),
    /** A merge patch of the desired state. */
    wish: z.record(z.string(), z.unknown()).optional(),
    command: z.strictObject({ name: z.string().regex(NAME_PATTERN), input: z.unknown().optional() }).optional(),
    /** Of the wish, for each device. */
    deadline: duration.optional(),
    /** Of the command, for each device. */
    timeout: duration.optional(),
    perSecond: z.number().min(0.01).max(1_000).default(DEFAULTS.perSecond),
    atOnce: z.number().int().min(1).max(MOST_TARGETS).default(DEFAULTS.atOnce),
    errorLimit: errorLimit.prefault({}),
  })
  .superRefine(({ wish, command, deadline, timeout }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if ((wish === undefined) === (command === undefined)) refuse('wish', 'one of wish and command is needed')
    if (wish !== undefined && timeout !== undefined) refuse('timeout', 'is for commands; a wish has a deadline')
    if (command !== undefined && deadline !== undefined) refuse('deadline', 'is for wishes; a command has a timeout')
  })

/** What it does to each device. */
export type Change =
  | { wish: JsonObject; deadlineMs: number; command?: undefined }
  | { command: { name: string; input?: Value }; timeoutMs: number; wish?: undefined }

export interface BulkRequest {
  filter: string
  change: Change
  pace: Pace
}

export function bulkRequestOf(parsed: z.infer<typeof bulkChangeRequest>): BulkRequest {
  const { filter, wish, command, deadline, timeout, perSecond, atOnce } = parsed
  const { share, minimum, count } = parsed.errorLimit
  const limit: ErrorLimit = { share, minimum, ...(count === undefined ? {} : { count }) }
  return { filter, change: changeOf(wish, command, deadline, timeout), pace: { perSecond, atOnce, errorLimit: limit } }
}

type Parsed = z.infer<typeof bulkChangeRequest>

function changeOf(wish: Parsed['wish'], command: Parsed['command'], deadline: number | undefined, timeout: number | undefined): Change {
  if (wish !== undefined) return { wish: wish as JsonObject, deadlineMs: deadline ?? parseDuration(DEFAULTS.deadline)! }
  const { name, input } = command!
  const asked = input === undefined ? { name } : { name, input: input as Value }
  return { command: asked, timeoutMs: timeout ?? parseDuration(DEFAULTS.timeout)! }
}
