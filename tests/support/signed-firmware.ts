/** Firmware for tests: keys, and jobs and manifests that they signed, each of which may be made other than right. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto'
import { canonicalJson, type Envelope, keyIdOf, signEnvelope } from '../../twin-models/firmware/envelope.ts'
import { JOB_TYPE, type Job } from '../../twin-models/firmware/job.ts'
import { MANIFEST_TYPE, type Manifest } from '../../twin-models/firmware/manifest.ts'

export interface KeyPair {
  id: string
  publicKey: KeyObject
  privateKey: KeyObject
  pem: string
}

export function newKeyPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { id: keyIdOf(publicKey), publicKey, privateKey, pem: publicKey.export({ type: 'spki', format: 'pem' }) as string }
}

export function imageOf(size = 1_000): Buffer {
  return randomBytes(size)
}

export function sha256Of(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Of a thermostat's 2.0.0, which may be returned from to its factory's 1.4.2. */
export function manifestOf(content: Uint8Array | string, changes: Partial<Manifest> = {}): Manifest {
  return {
    type: 'firmware',
    name: 'thermostat',
    model: 'thermostat',
    version: '2.0.0',
    counter: 20,
    hardware: [],
    size: Buffer.byteLength(content),
    sha256: sha256Of(content),
    prerequisites: {},
    rollbackTo: ['1.4.2'],
    issued: '2026-11-01T00:00:00Z',
    ...changes,
  }
}

/** For that manifest; a minute is left. */
export function jobOf({ version, sha256 }: Manifest, now: number, changes: Partial<Job> = {}): Job {
  return {
    type: 'update-job',
    update: randomUUID(),
    tenant: 'demo',
    device: 't-1',
    registration: 7,
    attempt: 1,
    nonce: randomUUID(),
    kind: 'install',
    firmware: { version, sha256 },
    issued: new Date(now).toISOString(),
    expires: new Date(now + 60_000).toISOString(),
    ...changes,
  }
}

export function signJob(job: object, key: KeyPair, type = JOB_TYPE): Envelope {
  return signEnvelope(type, canonicalJson(job), key.privateKey)
}

export function signManifest(manifest: object, key: KeyPair, type = MANIFEST_TYPE): Envelope {
  return signEnvelope(type, canonicalJson(manifest), key.privateKey)
}
