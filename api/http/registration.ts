/**
 * Tokens, and registering once under an Idempotency-Key.
 *
 * A repeated request must give the same answer, the token included, and yet no token may be stored. So under an Idempotency-Key the
 * token is derived from that key and a stored random salt: only a caller that still knows its key gets the token again.
 */
import { randomBytes } from 'node:crypto'
import type { NewDevice, Registry } from '../ports.ts'
import { answerUnder, derivedCredential, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { taken } from './refusals.ts'

export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

export function tokenHash(token: string): Uint8Array {
  return sha256(token)
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
  const keyHash = keyHashOf(wanted.tenant, key)
  const requestHash = sha256(JSON.stringify([wanted.device, wanted.model, wanted.attributes]))
  const salt = randomBytes(32)
  const token = derivedToken(key, salt)
  const made = await registry.insertOnce({ ...wanted, tokenHash: tokenHash(token) }, { keyHash, requestHash, salt }, (registration) =>
    responseOf(wanted, registration.createdAt),
  )
  if (made === undefined) throw taken(wanted.device)
  if (made !== 'claimed') return { response: withToken(responseOf(wanted, made.createdAt), token), replayed: false }

  const stored = await answerUnder(registry, wanted.tenant, keyHash, requestHash)
  if (!stored) throw justEnded()
  return { response: withToken(stored.response, derivedToken(key, stored.salt)), replayed: true }
}

function derivedToken(key: string, salt: Uint8Array): string {
  return derivedCredential(key, salt).toString('base64url')
}
