/** The problem document in OpenAPI. */
import { z } from '@hono/zod-openapi'
import { ERRORS, type ErrorCode } from '../../twin-models/errors.ts'
import { PROBLEM_TYPE } from './problem.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]

export const problemSchema = z
  .object({
    type: z.string().openapi({ description: 'Names the kind of problem, for programs.', example: 'urn:castor:problem:not-found' }),
    title: z.string(),
    status: z.int(),
    detail: z.string().openapi({ description: 'What is wrong and what to do.' }),
    code: z.enum(CODES as [ErrorCode, ...ErrorCode[]]),
    requestId: z.string().optional(),
    errors: z
      .array(z.object({ path: z.string().openapi({ description: 'A JSON pointer, `query:name` or `header:name`.' }), detail: z.string() }))
      .optional(),
  })
  .openapi('Problem', { description: 'RFC 9457.' })

export function problemResponses(statuses: number[]) {
  const sorted = [...new Set(statuses)].sort((a, b) => a - b)
  return Object.fromEntries(
    sorted.map((status) => {
      const title = Object.values(ERRORS).find((error) => error.status === status)?.title ?? 'A problem'
      const retry = status === 429 || status === 503 ? { headers: z.object({ 'Retry-After': z.string() }) } : {}
      return [status, { description: title, content: { [PROBLEM_TYPE]: { schema: problemSchema } }, ...retry }]
    }),
  )
}
