/** Idempotency-Key: the same request again gives the same answer for 24 hours; another request under the same key is refused. */
import { createHmac, hash } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import type { Registry, StoredAnswer } from '../ports.ts'

export function sha256(text: string): Uint8Array {
  return hash('sha256', text, 'buffer')
}

/** A credential that only who knows the key gets again: of the key and a stored random salt, 32 bytes. */
export function derivedCredential(key: string, salt: Uint8Array): Buffer {
  return createHmac('sha256', salt).update(key).digest()
}

/** Keys of tenants never meet. Short keys are guessed, and a device's token hangs on one. */
export function keyHashOf(tenant: string, key: string): Uint8Array {
  if (/^[\x21-\x7e]{16,255}$/.test(key)) return sha256(`${tenant}\n${key}`)
  throw new CastorError('invalid', 'An Idempotency-Key has 16 to 255 visible ASCII characters; take a random UUID.', {
    errors: [{ path: 'header:Idempotency-Key', detail: 'is not valid' }],
  })
}

/** Undefined: the key is free. */
export async function answerUnder(
  registry: Pick<Registry, 'storedAnswer'>,
  tenant: string,
  keyHash: Uint8Array,
  requestHash: Uint8Array,
): Promise<StoredAnswer | undefined> {
  const stored = await registry.storedAnswer(tenant, keyHash)
  if (!stored || Buffer.from(stored.requestHash).equals(requestHash)) return stored
  throw new CastorError('conflict', 'This Idempotency-Key was used for another request. Take a new key for each new request.', {
    errors: [{ path: 'header:Idempotency-Key', detail: 'belongs to another request' }],
  })
}

/** The key was taken a moment ago, and is free now. */
export function justEnded(): CastorError {
  return new CastorError('unavailable', 'The first request with this Idempotency-Key has just ended. Try again.', { retryAfterSeconds: 1 })
}
