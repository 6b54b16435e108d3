/** Lists: `limit`, `cursor`, and `{items, next}`. A cursor is the key of the last item shown, opaque to clients. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { wholeNumber } from './schemas.ts'

export const MAX_LIMIT = 200
export const DEFAULT_LIMIT = 50

export const limitParameter = wholeNumber(1, MAX_LIMIT)
  .default(DEFAULT_LIMIT)
  .openapi({ description: 'How many items at most.', type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT })

export const cursorParameter = z.string().max(400).optional().openapi({ description: 'Where to go on: `next` of the page before. Opaque.' })

/** `list` names the list: a cursor of another one is refused. */
export function cursorOf(list: string, key: unknown): string {
  return Buffer.from(JSON.stringify([list, key])).toString('base64url')
}

export function keyOf<Key>(list: string, cursor: string | undefined, schema: z.ZodType<Key>): Key | undefined {
  if (cursor === undefined) return undefined
  try {
    const [name, key] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as [unknown, unknown]
    const parsed = schema.safeParse(key)
    if (name === list && parsed.success) return parsed.data
  } catch {
    // Told below.
  }
  throw new CastorError('invalid', 'The cursor is not one of this list: take `next` of the page before as it is.', {
    errors: [{ path: 'query:cursor', detail: 'is not valid' }],
  })
}

/** Items are JSON texts. `cursor` is asked only when the page is full: then there may be more. */
export function pageJson(items: string[], limit: number, cursor: () => string): string {
  const next = items.length < limit ? 'null' : JSON.stringify(cursor())
  return `{"items":[${items.join(',')}],"next":${next}}`
}

export function pageSchema<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), next: z.string().nullable().openapi({ description: 'Cursor of the next page, or null.' }) })
}
