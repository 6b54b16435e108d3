/** How long something is to be so: until a time, or for a while from now; one of both. */
import { formatDuration } from '../../twin-models/durations.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { durationParameter, timeParameter } from './schemas.ts'

export interface Until {
  until?: number | undefined
  for?: number | undefined
}

/** Members of a body. */
export function untilMembers(longestMs: number, example: string) {
  return {
    until: timeParameter.optional().openapi({ description: `Up to ${formatDuration(longestMs)} from now. One of this and \`for\`.` }),
    for: durationParameter(1_000, longestMs).optional().openapi({ description: 'The same, from now.', example }),
  }
}

export function untilOf({ until, for: duration }: Until, now: number, longestMs: number): number {
  if (until !== undefined && duration !== undefined) throw refused('/for', 'goes without `until`: one of both')
  if (duration !== undefined) return now + duration
  if (until === undefined) throw refused('/until', 'or `for` must be there')
  if (until <= now || until > now + longestMs) throw refused('/until', `must lie between now and ${formatDuration(longestMs)} from now`)
  return until
}

function refused(path: string, detail: string): CastorError {
  return new CastorError('invalid', `The body is not valid: ${path}: ${detail}.`, { errors: [{ path, detail }] })
}
