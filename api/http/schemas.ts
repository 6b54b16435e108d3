/** Schemas that several resources share. */
import { z } from '@hono/zod-openapi'
import { formatDuration, parseDuration } from '../../twin-models/durations.ts'
import { ID_PATTERN } from '../../twin-models/ids.ts'

export const deviceId = z
  .string('must be a text')
  .regex(ID_PATTERN, 'a device id begins with a letter or digit and has up to 128 of A-Z a-z 0-9 . _ : -')
  .openapi({ example: 't-1' })

export const deviceParams = z.object({ id: deviceId.openapi({ param: { name: 'id', in: 'path' }, example: 't-1' }) })

export const time = z.iso.datetime().openapi({ description: 'RFC 3339, UTC, milliseconds.', example: '2026-11-21T06:00:00.000Z' })

/** A point in time, in a query or a body: RFC 3339 with a zone. Gives epoch milliseconds. */
export const timeParameter = z.iso
  .datetime({ offset: true, error: 'must be a time like 2026-11-21T06:00:00Z' })
  .transform((text) => Date.parse(text))
  .openapi({ type: 'string', format: 'date-time' })

/** A duration as written everywhere here. Gives milliseconds. */
export function durationParameter(leastMs: number, mostMs: number) {
  const bounds = `from ${formatDuration(leastMs)} to ${formatDuration(mostMs)}`
  return z
    .string('must be a text like 30s')
    .max(20)
    .transform((text, context) => {
      const ms = parseDuration(text)
      if (ms !== undefined && ms >= leastMs && ms <= mostMs) return ms
      context.addIssue({ code: 'custom', message: `must be a duration ${bounds}, like 30s, 5m, 24h or 7d` })
      return z.NEVER
    })
    .openapi({ type: 'string', example: '30s' })
}

/** A parameter. */
export function wholeNumber(least: number, most: number) {
  const words = `must be a whole number from ${least} to ${most}`
  return z.coerce.number(words).int(words).min(least, words).max(most, words)
}

/** One or several of `words`, separated by commas. */
export function wordsParameter<Word extends string>(words: readonly Word[], what: string) {
  return z
    .string()
    .max(1_000)
    .transform((text, context): Word[] => {
      const given = [...new Set(text.split(','))]
      const unknown = given.find((word) => !(words as readonly string[]).includes(word))
      if (unknown === undefined) return given as Word[]
      context.addIssue({ code: 'custom', message: `${JSON.stringify(unknown.slice(0, 50))} is no ${what}; there are ${words.join(', ')}` })
      return z.NEVER
    })
    .openapi({ type: 'string', description: `One or several, separated by commas: ${words.join(', ')}.` })
}

export const attributes = z
  .record(z.string(), z.unknown(), 'must be an object')
  .openapi('Attributes', { description: 'What is known of the device; free, up to 64 kB of JSON.', example: { site: 'north' } })

export const jsonValue = z.unknown().openapi({ description: 'Any JSON value.' })

export function jsonContent(schema: z.ZodType) {
  return { 'application/json': { schema } }
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}
