/**
 * Tokens, and registering once under an Idempotency-Key.
 *
 * A repeated request must give the same answer, the token included, and yet no token may be stored. So under an Idempotency-Key the
 * token is derived from that key and a stored random salt: only a caller that still knows its key gets the token again.
 */
import { createHmac, hash, randomBytes } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import type { NewDevice, Registry } from '../ports.ts'
import { taken } from './refusals.ts'

export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

export function tokenHash(token: string): Uint8Array {
  return hash('sha256', token, 'buffer')
}

/** Into the JSON of the answer, and nowhere else. */
export function withToken(json: string, token: string): string {
  return `${json.slice(0, -1)},"token":"${token}"}`
}

type Wanted = Omit<NewDevice, 'tokenHash'>

export async function registerOnce(
  registry: Registry,
  wanted: Wanted,
  key: string,
  responseOf: (wanted: Wanted, createdAt: number) => string,
): Promise<{ response: string; replayed: boolean }> {
  checkKey(key)
  const keyHash = tokenHash(`${wanted.tenant}\n${key}`)
  const requestHash = tokenHash(JSON.stringify([wanted.device, wanted.model, wanted.attributes]))
  const salt = randomBytes(32)
  const token = derivedToken(key, salt)
  const made = await registry.insertOnce({ ...wanted, tokenHash: tokenHash(token) }, { keyHash, requestHash, salt }, (registration) =>
    responseOf(wanted, registration.createdAt),
  )
  if (made === undefined) throw taken(wanted.device)
  if (made !== 'claimed') return { response: withToken(responseOf(wanted, made.createdAt), token), replayed: false }

  const stored = await registry.storedAnswer(wanted.tenant, keyHash)
  if (!stored)
    throw new CastorError('unavailable', 'The first request with this Idempotency-Key has just ended. Try again.', { retryAfterSeconds: 1 })
  if (!Buffer.from(stored.requestHash).equals(requestHash)) {
    throw new CastorError('conflict', 'This Idempotency-Key was used for another request. Take a new key for each new request.', {
      errors: [{ path: 'header:Idempotency-Key', detail: 'belongs to another request' }],
    })
  }
  return { response: withToken(stored.response, derivedToken(key, stored.salt)), replayed: true }
}

function derivedToken(key: string, salt: Uint8Array): string {
  return createHmac('sha256', salt).update(key).digest('base64url')
}

/** Short keys are guessed, and a token hangs on this one. */
function checkKey(key: string): void {
  if (/^[\x21-\x7e]{16,255}$/.test(key)) return
  throw new CastorError('invalid', 'An Idempotency-Key has 16 to 255 visible ASCII characters; take a random UUID.', {
    errors: [{ path: 'header:Idempotency-Key', detail: 'is not valid' }],
  })
}
