/** `?filter=` of lists: parsed and compiled once per text, since programs ask the same again and again. */
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { FILTER_LIMITS, type Filter, parseFilter } from '../../twin-models/filter/parse.ts'
import { type CompiledFilter, compileFilter } from '../../twin-models/filter/sql.ts'
import { FIRST_FILTER_PARAMETER } from '../ports.ts'

export const filterParameter = z.string().min(1).max(FILTER_LIMITS.length).optional().openapi({
  description:
    "A condition over the paths of the twin document: = != < <= > >=, and, or, not, in (…), exists path, like 'text%'. What is absent, or of another type, compares as false; != is the negation of =.",
  example: "attributes.site = 'north' and telemetry.temperature.value > 30",
})

const MOST_REMEMBERED = 200

export function createFilterCompiler(): (text: string | undefined) => CompiledFilter | undefined {
  const remembered = new Map<string, CompiledFilter>()
  return (text) => {
    if (text === undefined) return undefined
    let compiled = remembered.get(text)
    if (!compiled) {
      compiled = compileFilter(parseFilterParameter(text), FIRST_FILTER_PARAMETER)
      if (remembered.size >= MOST_REMEMBERED) remembered.clear()
      remembered.set(text, compiled)
    }
    return compiled
  }
}

export function parseFilterParameter(text: string): Filter {
  try {
    return parseFilter(text)
  } catch (error) {
    if (!(error instanceof CastorError)) throw error
    throw new CastorError(error.code, error.message, { errors: [{ path: 'query:filter', detail: error.message }] })
  }
}
