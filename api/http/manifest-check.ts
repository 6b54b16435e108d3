/**
 * What a manifest has to be before its artifact is taken in: signed by a key that the tenant trusts (or by nobody yet), canonical, for a model
 * that there is, and not expired. What passes is kept as it was signed, byte for byte.
 */
import { createPublicKey } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import { canonicalJson, type Envelope, envelopeSchema, verifiedPayload } from '../../twin-models/firmware/envelope.ts'
import { MANIFEST_TYPE, type Manifest, manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { type FirmwareSignature, MAX_ARTIFACT_BYTES, type ReleaseKeys } from '../firmware-ports.ts'
import type { Models } from '../ports.ts'
import { jsonOf } from './json-body.ts'
import { parseValue } from './parse-request.ts'

export interface ManifestDeps {
  releaseKeys: ReleaseKeys
  models: Models
  now: () => number
}

export interface CheckedManifest {
  manifest: Manifest
  /** RFC 8785 canonical JSON. */
  text: string
  signature: FirmwareSignature | undefined
}

/** So that it fits into an envelope, in base64. */
const MAX_MANIFEST_BYTES = 48 * 1024

/** `value`: an envelope, or the manifest itself: nobody has signed it yet. */
export async function checkManifest(deps: ManifestDeps, tenant: string, value: unknown): Promise<CheckedManifest> {
  const isEnvelope = typeof value === 'object' && value !== null && 'payload' in value
  const signed = isEnvelope ? await checkEnvelope(deps, tenant, parseValue(envelopeSchema, value, 'The envelope')) : undefined
  const content = signed ? jsonOf(signed.text, 'The payload of the envelope') : value
  const manifest = parseValue(manifestSchema, content, 'The manifest')
  const text = canonicalJson(content)
  if (signed && signed.text !== text)
    throw refused(
      'invalid',
      'The payload of the envelope is not canonical JSON (RFC 8785): sign it with `npm run firmware -- sign`.',
      '/payload',
    )
  if (Buffer.byteLength(text) > MAX_MANIFEST_BYTES)
    throw new CastorError('too-large', `The manifest is larger than ${MAX_MANIFEST_BYTES} bytes.`)
  checkContent(deps, manifest)
  return { manifest, text, signature: signed?.signature }
}

/** The payload, and who signed it. */
export async function checkEnvelope(
  { releaseKeys }: Pick<ManifestDeps, 'releaseKeys'>,
  tenant: string,
  envelope: Envelope,
): Promise<{ text: string; signature: FirmwareSignature }> {
  if (envelope.payloadType !== MANIFEST_TYPE)
    throw refused('invalid', `The envelope holds no firmware manifest: its payloadType must be ${MANIFEST_TYPE}.`, '/payloadType')
  const id = envelope.signatures[0]!.keyid
  const key = await releaseKeys.find(tenant, id)
  if (!key) throw refused('forbidden', `No release key ${id} is known here. Register it at /v1/release-keys first.`, '/signatures/0/keyid')
  if (key.revokedAt !== null) throw refused('forbidden', `The release key ${id} (${key.name}) was revoked.`, '/signatures/0/keyid')
  const text = verifiedPayload(envelope, MANIFEST_TYPE, createPublicKey(key.publicKey))
  if (text === undefined)
    throw refused('forbidden', `The signature is not one of the release key ${id} (${key.name}) over this payload.`, '/signatures/0/sig')
  return { text, signature: { envelope: JSON.stringify(envelope), key: id } }
}

function checkContent({ models, now }: ManifestDeps, { model, size, expires }: Manifest): void {
  if (!models.find(model)) {
    const known = models.list().map(({ name }) => name)
    throw refused('invalid', `There is no model '${model}'; there are ${known.join(', ')}.`, '/model')
  }
  if (size > MAX_ARTIFACT_BYTES)
    throw new CastorError('too-large', `Firmware may have ${MAX_ARTIFACT_BYTES} bytes; the manifest names ${size}.`)
  if (expires !== undefined && Date.parse(expires) <= now())
    throw refused('invalid', `The manifest has expired at ${expires}: sign a new one.`, '/expires')
}

function refused(code: 'invalid' | 'forbidden', message: string, path: string): CastorError {
  return new CastorError(code, message, { errors: [{ path, detail: message }] })
}
