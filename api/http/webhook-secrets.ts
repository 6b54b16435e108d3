/**
 * Making a webhook once under an Idempotency-Key. A repeated request gets the same answer, the secret included; as the token of a device
 * (registration.ts) it is then derived from the key and a stored salt.
 */
import { randomBytes } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import type { Registry } from '../ports.ts'
import { MOST_WEBHOOKS, type NewWebhook, type Webhook, type Webhooks } from '../webhook-ports.ts'
import { secretOf } from '../webhooks/signature.ts'
import { answerUnder, derivedCredential, justEnded, keyHashOf, sha256 } from './idempotency.ts'
import { withSecret } from './webhook-json.ts'

interface Once {
  webhooks: Webhooks
  registry: Pick<Registry, 'storedAnswer'>
  key: string
  wanted: Omit<NewWebhook, 'secret'>
  responseOf: (row: Webhook) => string
}

export async function createOnce({ webhooks, registry, key, wanted, responseOf }: Once): Promise<{ response: string; replayed: boolean }> {
  const { tenant, settings } = wanted
  const keyHash = keyHashOf(tenant, key)
  const requestHash = sha256(JSON.stringify(['webhook', settings]))
  const salt = randomBytes(32)
  const secret = derivedSecret(key, salt)
  const made = await webhooks.insert({ ...wanted, secret }, { claim: { keyHash, requestHash, salt }, responseOf })
  if (made === 'too-many') throw tooMany()
  if (made !== 'claimed') return { response: withSecret(responseOf(made), secret), replayed: false }

  const stored = await answerUnder(registry, tenant, keyHash, requestHash)
  if (!stored) throw justEnded()
  return { response: withSecret(stored.response, derivedSecret(key, stored.salt)), replayed: true }
}

export function tooMany(): CastorError {
  return new CastorError('conflict', `There are ${MOST_WEBHOOKS} webhooks already, which is the most. Remove one that is no longer needed.`)
}

function derivedSecret(key: string, salt: Uint8Array): string {
  return secretOf(derivedCredential(key, salt))
}
