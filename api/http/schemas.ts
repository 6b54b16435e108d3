/** Schemas that several resources share. */
import { z } from '@hono/zod-openapi'
import { ID_PATTERN } from '../../twin-models/ids.ts'

export const deviceId = z
  .string('must be a text')
  .regex(ID_PATTERN, 'a device id begins with a letter or digit and has up to 128 of A-Z a-z 0-9 . _ : -')
  .openapi({ example: 't-1' })

export const deviceParams = z.object({ id: deviceId.openapi({ param: { name: 'id', in: 'path' }, example: 't-1' }) })

export const time = z.iso.datetime().openapi({ description: 'RFC 3339, UTC, milliseconds.', example: '2026-11-21T06:00:00.000Z' })

/** A point in time as a query parameter: RFC 3339 with a zone. Gives epoch milliseconds. */
export const timeParameter = z.iso
  .datetime({ offset: true, error: 'must be a time like 2026-11-21T06:00:00Z' })
  .transform((text) => Date.parse(text))
  .openapi({ type: 'string', format: 'date-time' })

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
