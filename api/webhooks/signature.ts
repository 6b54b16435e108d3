/**
 * The signature of a webhook, as the Standard Webhooks specification 1.0 has it: HMAC-SHA256 over `id.timestamp.body`, base64, with version
 * `v1`. With two secrets, while one replaces the other, there are two signatures and the receiver needs one of both.
 */
import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'
const SECRET_BYTES = 32
/** What the specification allows. */
const BOUNDS = { least: 24, most: 64 }

export interface Signed {
  /** Of the event: the same for each attempt. */
  id: string
  /** Of the attempt, epoch seconds. */
  timestamp: number
  /** The very text that is sent. */
  body: string
}

export type SignatureHeaders = { [name in 'webhook-id' | 'webhook-timestamp' | 'webhook-signature']: string }

export function newSecret(): string {
  return secretOf(randomBytes(SECRET_BYTES))
}

export function secretOf(key: Buffer): string {
  return PREFIX + key.toString('base64')
}

/** Those of them that sign now, the newest first. `until`: replaced, and valid until then (epoch ms). */
export function signingSecrets(secrets: ReadonlyArray<{ secret: string; until?: number }>, now: number): string[] {
  return secrets.filter(({ until }) => until === undefined || until > now).map(({ secret }) => secret)
}

/** `secrets`: the newest first. Throws when there is none, or one that is none: nothing is sent unsigned. */
export function signatureHeaders({ id, timestamp, body }: Signed, secrets: readonly string[]): SignatureHeaders {
  if (secrets.length === 0) throw new Error('A webhook without a secret cannot be signed. Rotate it to get one')
  const content = `${id}.${timestamp}.${body}`
  const signatures = secrets.map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(content).digest('base64')}`)
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signatures.join(' ') }
}

function keyOf(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : ''
  const key = Buffer.from(text, 'base64')
  // Node skips what is not base64, and would sign with another key than the receiver has.
  if (key.length >= BOUNDS.least && key.length <= BOUNDS.most && key.toString('base64') === text) return key
  throw new Error(
    `A webhook's secret must be ${PREFIX} and the base64 of ${BOUNDS.least} to ${BOUNDS.most} bytes. Rotate it to get a new one`,
  )
}
