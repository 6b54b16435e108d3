/**
 * A signed statement: a DSSE 1.0 envelope with one Ed25519 signature over RFC 8785 canonical JSON.
 *
 * The payload travels verbatim, as base64: what was signed is what is checked, byte for byte, before anybody parses it. What is signed is
 * DSSE's pre-authentication encoding, which has the payload's type in it: so a signature of one kind of statement is none of another.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import canonicalize from 'canonicalize'
import { z } from 'zod'
import { CastorError } from '../errors.ts'

const KEY_ID = /^[0-9a-f]{32}$/

export const envelopeSchema = z.object({
  payloadType: z.string().max(200),
  payload: z.base64().max(64 * 1024),
  signatures: z.array(z.object({ keyid: z.string().regex(KEY_ID), sig: z.base64().max(200) })).length(1, 'has one signature'),
})
export type Envelope = z.infer<typeof envelopeSchema>

/** RFC 8785. Throws `invalid` for what JSON cannot say. */
export function canonicalJson(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new CastorError('invalid', 'Only JSON can be signed.')
  return text
}

export function signEnvelope(payloadType: string, payload: string, privateKey: KeyObject): Envelope {
  const bytes = Buffer.from(payload)
  const sig = sign(null, preAuthentication(payloadType, bytes), privateKey).toString('base64')
  return { payloadType, payload: bytes.toString('base64'), signatures: [{ keyid: keyIdOf(createPublicKey(privateKey)), sig }] }
}

/** The payload, if it is of this type and this key signed it; else undefined. */
export function verifiedPayload(envelope: Envelope, payloadType: string, publicKey: KeyObject): string | undefined {
  const [{ sig, keyid }] = envelope.signatures as [Envelope['signatures'][number]]
  if (envelope.payloadType !== payloadType || publicKey.asymmetricKeyType !== 'ed25519' || keyid !== keyIdOf(publicKey)) return undefined
  const bytes = Buffer.from(envelope.payload, 'base64')
  const isSigned = verify(null, preAuthentication(payloadType, bytes), publicKey, Buffer.from(sig, 'base64'))
  return isSigned ? bytes.toString('utf8') : undefined
}

/** First 32 hex digits of the SHA-256 of its SPKI. */
export function keyIdOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 32)
}

/** DSSE 1.0, PAE: `DSSEv1 <length of type> <type> <length of body> <body>`, lengths in bytes. */
function preAuthentication(payloadType: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${body.length} `), body])
}
