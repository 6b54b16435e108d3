/**
 * What one says of a prediction model: where it is served, what it is asked with, and how its answer is read. What is parsed is what is stored:
 * parsing it once more gives the same.
 */
import { z } from 'zod'
import { formatDuration, parseDuration } from '../durations.ts'
import { CastorError } from '../errors.ts'
import { FilterError, type Path, parseFilter } from '../filter/parse.ts'
import { ID_PATTERN } from '../ids.ts'
import { filter } from './filter.ts'

const PREDICTION_LIMITS = { inputs: 64, url: 2_048, credential: 4_096, description: 500, atOnce: 50 } as const

const SECOND = 1_000
const DAY = 86_400_000
/** Names of tensors, models and versions, as servers have them; a path of dots alone would lead elsewhere. */
const TENSOR = /^[\x21-\x7e]{1,128}$/
const MODEL = /^[A-Za-z0-9_][A-Za-z0-9_.:@~+-]{0,127}$/
/** They are keys of the stored features, in order: so none is a number. */
const INPUT = /^[A-Za-z_]([\x20-\x7e]{0,126}[\x21-\x7e])?$/

const TAKES = ['last', 'mean', 'min', 'max', 'stddev', 'count', 'change'] as const

const tensorName = z.string('must be a text').regex(TENSOR, 'must be 1 to 128 visible ASCII characters without blanks')
const modelName = z.string('must be a text').regex(MODEL, 'begins with a letter or digit and has up to 128 of A-Z a-z 0-9 _ . : @ ~ + -')

/** Kept as it is written. */
function duration(leastMs: number, mostMs: number) {
  return z.string('must be a text like 5m').superRefine((text, context) => {
    const ms = parseDuration(text)
    if (ms === undefined || ms < leastMs || ms > mostMs)
      context.addIssue({
        code: 'custom',
        message: `must be a duration from ${formatDuration(leastMs)} to ${formatDuration(mostMs)}, like 5m`,
      })
  })
}

const url = z.string('must be a URL').transform((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const problem = urlProblem(parsed)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  return parsed?.href.replace(/\/+$/, '') ?? ''
})

function urlProblem(parsed: URL | undefined): string | undefined {
  if (!parsed) return 'must be a whole URL, like https://models.example.com'
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') return 'must begin with https:// (or http://, where that is allowed)'
  if (parsed.username !== '' || parsed.password !== '') return 'must not hold a user or password: give a token as auth'
  if (/[?#]/.test(parsed.href)) return 'must have neither a query nor a fragment: /v2/models/… is added to it'
  if (parsed.href.length > PREDICTION_LIMITS.url) return `must have at most ${PREDICTION_LIMITS.url} characters`
  return undefined
}

const input = z
  .strictObject({
    name: z
      .string('must be a text')
      .regex(INPUT, 'begins with a letter or _ and has up to 128 visible ASCII characters, with blanks only between them')
      .refine((name) => !(name in Object.prototype), 'is a name that means something else already'),
    path: z
      .string('must be a path')
      .max(1_000)
      .describe('Into the twin document, to a number or a boolean: telemetry.vibration.value, attributes.age.'),
    over: duration(SECOND, 7 * DAY)
      .optional()
      .describe('Of the stored readings of telemetry.NAME.value: those of so long until now.'),
    take: z.enum(TAKES, `must be one of ${TAKES.join(', ')}`).default('last'),
    default: z.number('must be a number').optional().describe('Where there is no value. Without it nothing is asked then.'),
  })
  .superRefine(({ path, over, take }, context) => {
    const refuse = (at: string, message: string) => context.addIssue({ code: 'custom', path: [at], message })
    const parsed = pathOf(path)
    if ('problem' in parsed) refuse('path', parsed.problem)
    else if (over !== undefined && !isReading(parsed.path)) refuse('over', 'is for readings: a path like telemetry.vibration.value')
    if (over === undefined && take !== 'last') refuse('over', `is needed to take ${take === 'stddev' ? 'a deviation' : `the ${take}`}`)
  })

export const predictionModelRequest = z
  .strictObject({
    url: url.describe('Of the server, without /v2. https; http and private addresses only where the platform allows them.'),
    model: modelName.describe('As the server calls it.'),
    version: modelName.optional().describe('Without it the server chooses.'),
    inputs: z.array(input, 'must be a list').min(1).max(PREDICTION_LIMITS.inputs),
    tensor: tensorName
      .optional()
      .describe('All inputs go in this one tensor, of shape [1, n]. Without it each has a tensor of its own, of shape [1, 1].'),
    datatype: z.enum(['FP64', 'FP32'], 'must be FP64 or FP32').default('FP64').describe('Of the tensors that are sent.'),
    output: z.strictObject({
      probability: tensorName.describe('The output that has it, from 0 to 1.'),
      index: z.int('must be a whole number').min(0).max(10_000).optional().describe('Which of its values, where it has several.'),
      explanation: tensorName.optional().describe('An output of texts, or of one number for each input.'),
    }),
    horizon: duration(60 * SECOND, 366 * DAY).describe('What is predicted may happen within so long.'),
    threshold: z.number('must be a number').min(0).max(1).default(0.5).describe('From this probability on the risk is high.'),
    timeout: duration(100, 30 * SECOND)
      .default('5s')
      .describe('Of one request.'),
    atOnce: z.int('must be a whole number').min(1).max(PREDICTION_LIMITS.atOnce).default(4).describe('Predictions under way.'),
    schedule: z
      .strictObject({ every: duration(60 * SECOND, 30 * DAY), filter })
      .optional()
      .describe('All devices that the filter finds are asked about, again and again.'),
    auth: z
      .strictObject({
        bearer: z
          .string('must be a text')
          .max(PREDICTION_LIMITS.credential)
          .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters without blanks'),
      })
      .nullable()
      .optional()
      .describe('How the server knows us. Never shown again; absent it stays as it is, null takes it away.'),
    description: z.string('must be a text').max(PREDICTION_LIMITS.description).default(''),
  })
  .superRefine(({ inputs }, context) => {
    const seen = new Set<string>()
    for (const [i, { name }] of inputs.entries()) {
      if (seen.has(name)) context.addIssue({ code: 'custom', path: ['inputs', i, 'name'], message: 'is there twice' })
      seen.add(name)
    }
  })

export type PredictionModelRequest = z.infer<typeof predictionModelRequest>
/** Without its credential. */
export type PredictionSettings = Omit<PredictionModelRequest, 'auth'>
export type PredictionInput = PredictionSettings['inputs'][number]

/** As one starts `prediction` in the Temporal UI. */
export const predictionRequest = z.strictObject({
  device: z.string('must be the id of a device').regex(ID_PATTERN, 'must be the id of a device'),
  model: z.string('must be the name of a prediction model').regex(ID_PATTERN, 'must be the name of a prediction model'),
})

/** A duration of stored settings, which was checked. */
export function msOf(duration: string): number {
  return parseDuration(duration)!
}

export function pathOf(text: string): { path: Path } | { problem: string } {
  try {
    const parsed = parseFilter(`exists ${text}`)
    return parsed.kind === 'exists' ? { path: parsed.path } : { problem: 'must be one path, like telemetry.vibration.value' }
  } catch (error) {
    if (!(error instanceof CastorError)) throw error
    const [, detail = error.message] =
      error instanceof FilterError ? (/^The filter is not valid at character \d+: (.*)$/s.exec(error.message) ?? []) : []
    return { problem: `is no path: ${detail}` }
  }
}

/** telemetry.NAME.value */
export function isReading(path: Path): boolean {
  return path.length === 3 && path[0] === 'telemetry' && path[2] === 'value'
}
