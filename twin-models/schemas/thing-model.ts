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
  })
  .refine(({ type, 'castor:normalRange': range }) => range === undefined || type === 'number' || type === 'integer', {
    message: 'castor:normalRange needs a property of type number or integer',
  })

/** Without `data` an event may carry anything. */
const event = z.looseObject({ data: z.looseObject({ type: z.enum([...DATA_TYPES, 'null']).optional() }).optional() })

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
  actions: z.record(name, z.looseObject({})).default({}),
  'castor:presenceTimeout': duration(PRESENCE_TIMEOUT_MS.least, PRESENCE_TIMEOUT_MS.most).default(60_000),
  'castor:unknownProperties': z.enum(['keep', 'refuse']).default('keep'),
  'castor:backfillLimit': duration(1_000, LONGEST_BACKFILL_MS).default(LONGEST_BACKFILL_MS),
})

export type ThingModel = z.infer<typeof thingModelSchema>
export type PropertyAffordance = ThingModel['properties'][string]
export type EventAffordance = ThingModel['events'][string]

/** Throws an Error that names the model and lists everything that is wrong with it. */
export function parseThingModel(model: string, json: unknown): ThingModel {
  const parsed = thingModelSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const lines = parsed.error.issues.map(({ path, message }) => `  /${path.map(String).join('/')}: ${message}`)
  throw new Error(`The Thing Model ${model} is not valid.\n${lines.join('\n')}`)
}
