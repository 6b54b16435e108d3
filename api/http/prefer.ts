/** The Prefer header (RFC 7240): how long an answer that must be decided first is waited for. What cannot be met is ignored, as it asks. */
import { z } from '@hono/zod-openapi'

export const MOST_WAIT_SECONDS = 20
/** For endpoints that wait so long: from the request to its answer at most. */
export const WAITING_DEADLINE_MS = MOST_WAIT_SECONDS * 1000 + 10_000

export interface Preference {
  /** Undefined: the caller said nothing. */
  waitMs: number | undefined
  headers: { 'preference-applied'?: string }
}

export const preferHeader = z
  .string()
  .optional()
  .openapi({
    description: `\`wait=N\` waits up to N seconds (at most ${MOST_WAIT_SECONDS}) for the outcome, \`respond-async\` not at all.`,
    example: 'wait=10',
  })

/** Where both are given, `wait` says how long `respond-async` may take to begin (RFC 7240, 4.3): so it counts. */
export function preferenceOf(header: string | undefined): Preference {
  const preferences = (header ?? '').split(',').map((one) => one.split(';')[0]!.trim().toLowerCase())
  const wait = preferences.map((one) => /^wait\s*=\s*"?(\d{1,6})"?$/.exec(one)?.[1]).find((seconds) => seconds !== undefined)
  if (wait !== undefined) {
    const seconds = Math.min(Number(wait), MOST_WAIT_SECONDS)
    return { waitMs: seconds * 1000, headers: { 'preference-applied': `wait=${seconds}` } }
  }
  if (preferences.includes('respond-async')) return { waitMs: 0, headers: { 'preference-applied': 'respond-async' } }
  return { waitMs: undefined, headers: {} }
}
