/**
 * The parts of a W3C WoT Thing Model 1.1 that Castor reads, with its own terms in the `castor:` context. Whatever else a model says
 * is kept as it is and means nothing here.
 */
import { z } from 'zod'
import { formatDuration, parseDuration } from '../durations.ts'
import { NAME_PATTERN } from '../ids.ts'
import { isReservedName } from '../names.ts'

const TD_CONTEXT = 'https://www.w3.org/2022/wot/td/v1.1'
const THING_MODEL = 'tm:ThingModel'

/** Telemetry has partitions for a week back (infra/postgres/partitions.ts). */
const LONGEST_BACKFILL_MS = 7 * 86_400_000
const PRESENCE_TIMEOUT_MS = { least: 1_000, most: 7 * 86_400_000 } as const
const CHECK_IN_MS = { least: 1_000, most: 31 * 86_400_000 } as const
const RETRY_MS = { least: 1_000, most: 86_400_000 } as const
/** How long a wish or a command may be pursued. */
const PURSUIT_MS = { least: 1_000, most: 366 * 86_400_000 } as const
const MOST_ATTEMPTS = 1_000
const MOST_AT_ONCE = 100

/** Duration text to milliseconds. */
function duration(least: number, most: number) {
  return z.string().transform((text, context) => {
    const ms = parseDuration(text)
    if (ms !== undefined && ms >= least && ms <= most) return ms
    context.addIssue(`expected a duration like 60s, 5m, 24h or 7d, from ${formatDuration(least)} to ${formatDuration(most)}`)
    return z.NEVER
  })
}

const normalRange = z
  .strictObject({ minimum: z.number().optional(), maximum: z.number().optional(), hysteresis: z.number().min(0).optional() })
  .refine(({ minimum, maximum }) => minimum !== undefined || maximum !== undefined, 'needs a minimum, a maximum or both')
  .refine(({ minimum = -Infinity, maximum = Infinity }) => minimum < maximum, 'the minimum must be less than the maximum')
  .refine(
    ({ minimum = -Infinity, maximum = Infinity, hysteresis = 0 }) => hysteresis <= maximum - minimum,
    'the hysteresis must not be wider than the range',
  )

const DATA_TYPES = ['number', 'integer', 'boolean', 'string', 'object', 'array'] as const

const property = z
  .looseObject({
    type: z.enum(DATA_TYPES),
    unit: z.string().optional(),
    readOnly: z.boolean().default(false),
    'castor:normalRange': normalRange.optional(),
    'castor:wins': z.enum(['desired', 'device', 'newest']).optional(),
    'castor:deadline': duration(PURSUIT_MS.least, PURSUIT_MS.most).optional(),
  })
  .refine(({ type, 'castor:normalRange': range }) => range === undefined || type === 'number' || type === 'integer', {
    message: 'castor:normalRange needs a property of type number or integer',
  })
  .refine(({ readOnly, 'castor:wins': wins, 'castor:deadline': deadline }) => !readOnly || (wins === undefined && deadline === undefined), {
    message: 'castor:wins and castor:deadline need a property that is not readOnly',
  })

const dataSchema = z.looseObject({ type: z.enum([...DATA_TYPES, 'null']).optional() })

/** Without `data` an event may carry anything. */
const event = z.looseObject({ data: dataSchema.optional() })

/** Without `input` it takes none; without `output` its answer may carry anything. */
const action = z.looseObject({
  input: dataSchema.optional(),
  output: dataSchema.optional(),
  /** May it be sent again under the same id? */
  idempotent: z.boolean().default(false),
  'castor:timeout': duration(PURSUIT_MS.least, PURSUIT_MS.most).default(5 * 60_000),
  'castor:retry': duration(RETRY_MS.least, RETRY_MS.most).default(10_000),
  'castor:attempts': z.int().min(1).max(MOST_ATTEMPTS).default(10),
  'castor:concurrency': z.int().min(1).max(MOST_AT_ONCE).optional(),
  'castor:onlyLast': z.boolean().default(false),
})

const name = z
  .string()
  .regex(NAME_PATTERN, 'names begin with a letter or _, go on with letters, digits, _ . -, and have at most 128 characters')
  .refine((text) => !isReservedName(text), 'the names id, ts, ageMs and values are reserved, and what every object has, like constructor')

const context = z.union([z.string(), z.array(z.union([z.string(), z.record(z.string(), z.unknown())]))])
const type = z.union([z.string(), z.array(z.string())])

export const thingModelSchema = z.looseObject({
  '@context': context.refine((value) => [value].flat().includes(TD_CONTEXT), `must name ${TD_CONTEXT}`),
  '@type': type.refine((value) => [value].flat().includes(THING_MODEL), `must be ${THING_MODEL}`),
  title: z.string().min(1),
  description: z.string().default(''),
  version: z.looseObject({ model: z.string().min(1).max(64) }),
  properties: z.record(name, property).default({}),
  events: z.record(name, event).default({}),
  actions: z.record(name, action).default({}),
  'castor:presenceTimeout': duration(PRESENCE_TIMEOUT_MS.least, PRESENCE_TIMEOUT_MS.most).default(60_000),
  'castor:checkIn': duration(CHECK_IN_MS.least, CHECK_IN_MS.most).optional(),
  'castor:retry': duration(RETRY_MS.least, RETRY_MS.most).default(30_000),
  'castor:unknownProperties': z.enum(['keep', 'refuse']).default('keep'),
  'castor:backfillLimit': duration(1_000, LONGEST_BACKFILL_MS).default(LONGEST_BACKFILL_MS),
})

export type ThingModel = z.infer<typeof thingModelSchema>
export type PropertyAffordance = ThingModel['properties'][string]
export type EventAffordance = ThingModel['events'][string]
export type ActionAffordance = ThingModel['actions'][string]
/** Of an event's data, an action's input or output. */
export type DataSchema = z.infer<typeof dataSchema>

/** Throws an Error that names the model and lists everything that is wrong with it. */
export function parseThingModel(model: string, json: unknown): ThingModel {
  const parsed = thingModelSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const lines = parsed.error.issues.map(({ path, message }) => `  /${path.map(String).join('/')}: ${message}`)
  throw new Error(`The Thing Model ${model} is not valid.\n${lines.join('\n')}`)
}
