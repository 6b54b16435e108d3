/** Firmware in an api under test: uploaded over REST and signed by a key that it trusts. */
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import { imageOf, type KeyPair, manifestOf, newKeyPair, signManifest } from '../support/signed-firmware.ts'
import { DEMO_KEY, type TestApi } from './test-api.ts'

export interface Uploaded {
  id: string
  manifest: Manifest
  /** As a device says that it runs it. */
  firmware: { version: string; sha256: string }
}

export async function trustedKey(api: TestApi, tenantKey = DEMO_KEY): Promise<KeyPair> {
  const key = newKeyPair()
  const { status, text } = await api.ask('POST', '/v1/release-keys', { key: tenantKey, body: { name: 'ci', publicKey: key.pem } })
  if (status !== 201) throw new Error(text)
  return key
}

/** `key` undefined: nobody signs it. */
export async function uploaded(
  api: TestApi,
  key: KeyPair | undefined,
  changes: Partial<Manifest> = {},
  tenantKey = DEMO_KEY,
): Promise<Uploaded> {
  const image = imageOf()
  const manifest = manifestOf(image, changes)
  const body = new FormData()
  body.append('manifest', JSON.stringify(key ? signManifest(manifest, key) : manifest))
  body.append('file', new Blob([image as Uint8Array<ArrayBuffer>]), 'image.bin')
  const made = await api.app.request('/v1/firmware', { method: 'POST', body, headers: { authorization: `Bearer ${tenantKey}` } })
  const text = await made.text()
  if (made.status !== 201) throw new Error(text)
  return { id: JSON.parse(text).id, manifest, firmware: { version: manifest.version, sha256: manifest.sha256 } }
}
