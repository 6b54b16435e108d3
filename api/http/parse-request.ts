/** Query, path and body of a request through the schemas of its endpoint; every problem is told at once, with its place. */
import type { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { CastorError } from '../../twin-models/errors.ts'
import { type BodyRules, readJson } from './json-body.ts'

export function parseQuery<Query>(schema: z.ZodType<Query> | undefined, c: Context): Query {
  const given: Record<string, string> = {}
  if (c.req.url.includes('?')) {
    for (const [name, values] of Object.entries(c.req.queries())) {
      if (values.length > 1) throw invalidQuery([{ path: `query:${name}`, detail: 'is given more than once' }])
      // Postgres takes no such text.
      if (values[0]!.includes('\0')) throw invalidQuery([{ path: `query:${name}`, detail: 'holds U+0000' }])
      given[name] = values[0]!
    }
  }
  if (!schema) {
    const unknown = Object.keys(given)
    if (unknown.length === 0) return undefined as Query
    throw invalidQuery(unknown.map((name) => ({ path: `query:${name}`, detail: 'is no parameter of this resource' })))
  }
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  throw invalidQuery(issuesOf(parsed.error, (path) => `query:${path.join('.')}`))
}

function invalidQuery(errors: Array<{ path: string; detail: string }>): CastorError {
  return new CastorError('invalid', `The query is not valid: ${sentence(errors)}`, { errors })
}

/** What breaks the grammar of its id cannot be there. */
export function parseParams<Params>(schema: z.ZodType<Params>, c: Context): Params {
  const parsed = schema.safeParse(c.req.param())
  if (parsed.success) return parsed.data
  throw new CastorError('not-found', `There is nothing at this path: ${parsed.error.issues[0]!.message}.`)
}

export async function parseBody<Body>(rules: BodyRules & { schema: z.ZodType<Body> }, c: Context): Promise<Body> {
  const contentType = c.req.header('content-type')
  const isAbsent = rules.optional === true && contentType === undefined
  return parseValue(rules.schema, isAbsent ? {} : await readJson(c.req.raw, contentType, rules))
}

/** Also of what a patch makes of something, and of parts of a body. */
export function parseValue<Value>(schema: z.ZodType<Value>, value: unknown, what = 'The body'): Value {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const errors = issuesOf(parsed.error, (path) => path.map((part) => `/${part}`).join(''))
  throw new CastorError('invalid', `${what} is not valid: ${sentence(errors)}`, { errors })
}

function issuesOf(error: z.ZodError, pathOf: (path: string[]) => string): Array<{ path: string; detail: string }> {
  return error.issues.slice(0, 20).flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [{ path: pathOf(issue.path.map(String)), detail: issue.message }]
    return issue.keys.slice(0, 20).map((key) => ({ path: pathOf([...issue.path.map(String), key]), detail: 'is not known here' }))
  })
}

function sentence(errors: Array<{ path: string; detail: string }>): string {
  return `${errors.map(({ path, detail }) => `${path || 'it'}: ${detail}`).join('; ')}.`
}
