/** Images, manifests and keys for tests of firmware. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { canonicalJson, type Envelope, keyIdOf, signEnvelope } from '../../twin-models/firmware/envelope.ts'
import { MANIFEST_TYPE, type Manifest } from '../../twin-models/firmware/manifest.ts'

export interface TestKey {
  id: string
  /** PEM. */
  publicPem: string
  publicKey: KeyObject
  privateKey: KeyObject
}

export function newKey(): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { id: keyIdOf(publicKey), publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(), publicKey, privateKey }
}

export function imageOf(size = 1_000): Buffer {
  return randomBytes(size)
}

export function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

export function manifestOf(image: Uint8Array, changes: Partial<Manifest> = {}): Manifest {
  return {
    type: 'firmware',
    name: 'thermostat',
    model: 'thermostat',
    version: '1.0.0',
    counter: 1,
    hardware: [],
    size: image.length,
    sha256: sha256Of(image),
    prerequisites: {},
    rollbackTo: [],
    issued: '2026-01-01T00:00:00.000Z',
    ...changes,
  }
}

export function signed(manifest: object, key: TestKey, type = MANIFEST_TYPE): Envelope {
  return signEnvelope(type, canonicalJson(manifest), key.privateKey)
}
