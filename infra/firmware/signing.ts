/** Signing an image, and checking what was signed: offline, with nothing but files. */
import { createHash, type KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import type { z } from 'zod'
import { MAX_ARTIFACT_BYTES } from '../../api/firmware-ports.ts'
import { canonicalJson, type Envelope, envelopeSchema, signEnvelope, verifiedPayload } from '../../twin-models/firmware/envelope.ts'
import { MANIFEST_TYPE, type Manifest, manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { CommandError, fileError } from './command-error.ts'

/** What the command line says of a release; the rest is in the image. */
export type Release = Omit<Manifest, 'type' | 'size' | 'sha256'>

export function manifestFileOf(image: string): string {
  return `${image}.manifest.json`
}

/** Writes the envelope. */
export async function signImage(image: string, release: Release, key: KeyObject, manifestFile: string): Promise<Manifest> {
  const { size, sha256 } = await digestOf(image)
  if (size > MAX_ARTIFACT_BYTES) throw new CommandError(`${image} has ${size} bytes, and may have ${MAX_ARTIFACT_BYTES}.`)
  const manifest = parsed(manifestSchema, { type: 'firmware', ...release, size, sha256 }, 'The manifest')
  const envelope = signEnvelope(MANIFEST_TYPE, canonicalJson(manifest), key)
  await writeEnvelope(manifestFile, envelope)
  return manifest
}

/** Signs a manifest as it stands, whoever has signed it before: of a version there is but one manifest. */
export async function signManifest(image: string, key: KeyObject, manifestFile: string): Promise<Manifest> {
  const given = jsonOf(await readFile(manifestFile, 'utf8').catch(fileError(manifestFile)), manifestFile)
  const { data: before } = envelopeSchema.safeParse(given)
  const content = before ? jsonOf(Buffer.from(before.payload, 'base64').toString(), manifestFile) : given
  const manifest = parsed(manifestSchema, content, manifestFile)
  await checkImage(image, manifest)
  await writeEnvelope(manifestFile, signEnvelope(MANIFEST_TYPE, canonicalJson(content), key))
  return manifest
}

/** Throws unless this key signed it, and for these bytes. */
export async function verifyImage(image: string, key: KeyObject, manifestFile: string, now: number): Promise<Manifest> {
  const text = await readFile(manifestFile, 'utf8').catch(fileError(manifestFile))
  const envelope = parsed(envelopeSchema, jsonOf(text, manifestFile), manifestFile)
  const payload = verifiedPayload(envelope, MANIFEST_TYPE, key)
  if (payload === undefined)
    throw new CommandError(`${manifestFile} is not signed by this key: its key id is ${envelope.signatures[0]!.keyid}.`)
  const manifest = parsed(manifestSchema, jsonOf(payload, manifestFile), manifestFile)
  await checkImage(image, manifest)
  if (manifest.expires !== undefined && Date.parse(manifest.expires) <= now)
    throw new CommandError(`${manifestFile} is right, but has expired at ${manifest.expires}.`)
  return manifest
}

async function checkImage(image: string, manifest: Manifest): Promise<void> {
  const { size, sha256 } = await digestOf(image)
  if (size !== manifest.size) throw new CommandError(`${image} has ${size} bytes, and its manifest names ${manifest.size}.`)
  if (sha256 !== manifest.sha256) throw new CommandError(`${image} is not what its manifest names: its SHA-256 is ${sha256}.`)
}

async function writeEnvelope(file: string, envelope: Envelope): Promise<void> {
  await writeFile(file, `${JSON.stringify(envelope, null, 2)}\n`).catch(fileError(file))
}

async function digestOf(image: string): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256')
  let size = 0
  try {
    for await (const chunk of createReadStream(image) as AsyncIterable<Buffer>) {
      size += chunk.length
      hash.update(chunk)
    }
  } catch (error) {
    fileError(image)(error as NodeJS.ErrnoException)
  }
  if (size === 0) throw new CommandError(`${image} is empty.`)
  return { size, sha256: hash.digest('hex') }
}

function jsonOf(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CommandError(`${file} is no JSON.`)
  }
}

function parsed<Value>(schema: z.ZodType<Value>, value: unknown, what: string): Value {
  const { data, error } = schema.safeParse(value)
  if (data !== undefined) return data
  const lines = error!.issues.map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`)
  throw new CommandError(`${what} is not valid:\n  ${lines.join('\n  ')}`)
}
