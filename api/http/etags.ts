/** Entity tags and the conditions on them (RFC 9110, 13.1). */
import { CastorError } from '../../twin-models/errors.ts'

const TAG = /(W\/)?"([^"]*)"/g
const TAGS = new RegExp(`^\\s*${TAG.source}(\\s*,\\s*${TAG.source})*\\s*$`)

/** If-None-Match: weak comparison, a list, or `*`. */
export function isOneOf(etag: string, header: string): boolean {
  const opaque = etag.replace(/^W\//, '')
  return header.split(',').some((given) => given.trim() === '*' || given.trim().replace(/^W\//, '') === opaque)
}

/**
 * If-Match where the strong tag is a version that only rises: the version to insist on, undefined for none. What cannot match any more is
 * refused at once; whether the version is still this one when it is decided, the twin says. Strong comparison: weak tags match nothing.
 */
export function expectedVersion(header: string | undefined, current: number, what?: string): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  if (!TAGS.test(header)) {
    throw new CastorError('invalid', 'If-Match must be an ETag as it was given, like "3", a list of them, or *.', {
      errors: [{ path: 'header:If-Match', detail: 'is no ETag' }],
    })
  }
  if ([...header.matchAll(TAG)].some(([, weak, tag]) => weak === undefined && tag === String(current))) return current
  throw hasChanged(current, what)
}

/** `what` has changed. */
export function hasChanged(version: number | undefined, what = 'The desired state'): CastorError {
  const now = version === undefined ? '' : ` It is ${version} now.`
  return new CastorError('precondition-failed', `${what} has not the version that If-Match names.${now} Read it and try again.`, {
    errors: [{ path: 'header:If-Match', detail: version === undefined ? 'does not match' : `does not match "${version}"` }],
  })
}
