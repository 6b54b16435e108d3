/**
 * The ETag of what is pending: a digest of all that stays pending, and the number of the newest error that the device was given. Who sends it
 * back says both what it has and which errors it has seen; so an error is given until then, and that it expires is no news.
 */
import { createHash } from 'node:crypto'
import type { Pending } from '../downlink.ts'

/** What an If-None-Match says that the device has. */
export interface Known {
  /** `*`: whatever it is. */
  all: boolean
  digests: string[]
  /** Number of the newest error. 0: none. */
  errors: number
}

/** A number has less digits than would be rounded. */
const TAG = /"([\w-]{22})(?:\.(\d{1,15}))?"/g

/** Tags that were never given match nothing. */
export function knownOf(header: string): Known {
  const tags = [...header.matchAll(TAG)]
  return {
    all: header.trim() === '*',
    digests: tags.map(([, digest]) => digest!),
    errors: Math.max(0, ...tags.map(([, , errors = '0']) => Number(errors))),
  }
}

/** Weak: the time and the number of attempts in the answer are not part of it. */
export function tagOf(digest: string, errors: number): string {
  return `W/"${digest}${errors === 0 ? '' : `.${errors}`}"`
}

/** The body of an update has its id and attempt, and a number that no other attempt has. */
export function digestOf({ desired, commands, cancels, update, updateCancels }: Pending): string {
  const what = JSON.stringify([desired?.body ?? null, commands.map(({ id }) => id), cancels, update?.body ?? null, updateCancels])
  return createHash('sha256').update(what).digest('base64url').slice(0, 22)
}
