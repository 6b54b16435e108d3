/** Who is trusted: /v1/release-keys sign releases, offline, for a tenant; /v1/director-keys are the platform's, and sign jobs. Public parts only. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import { CastorError } from '../../twin-models/errors.ts'
import { keyIdOf } from '../../twin-models/firmware/envelope.ts'
import { type DirectorKeys, MOST_RELEASE_KEYS, type ReleaseKey, type ReleaseKeys } from '../firmware-ports.ts'
import type { Endpoints } from './endpoint.ts'
import { iso, jsonContent, time } from './schemas.ts'

export interface ReleaseKeyDeps {
  releaseKeys: ReleaseKeys
  directorKeys: DirectorKeys
}

const MAX_BODY_BYTES = 16 * 1024
const keyId = z
  .string()
  .openapi({ description: 'First 32 hex digits of the SHA-256 of its SPKI.', example: '3f1c9d0e5b7a4c2688d1f0a9e6b3c754' })
const publicKey = z.string().openapi({ description: 'PEM, of Ed25519.' })

const releaseKeySchema = z
  .object({ id: keyId, name: z.string(), publicKey, createdAt: time, revokedAt: time.optional() })
  .openapi('ReleaseKey')
const directorKeySchema = z.object({ id: keyId, publicKey, createdAt: time }).openapi('DirectorKey')
const releaseKeyRequest = z
  .strictObject({
    name: z.string().min(1, 'must not be empty').max(128),
    publicKey: z.string().max(2_000).openapi({ description: 'PEM, of Ed25519: the file that ends in .pub.' }),
  })
  .openapi('NewReleaseKey')
const releaseKeyParams = z.object({
  id: z
    .string()
    .regex(/^[0-9a-f]{32}$/, 'the id of a key has 32 hex digits')
    .openapi({ param: { name: 'id', in: 'path' } }),
})

export function releaseKeyEndpoints(endpoint: Endpoints, { releaseKeys, directorKeys }: ReleaseKeyDeps): void {
  const tag = 'Firmware'

  endpoint(
    {
      method: 'post',
      path: '/v1/release-keys',
      operationId: 'createReleaseKey',
      summary: 'Trust a key that signs releases',
      description: `Its private part never comes here. A tenant has at most ${MOST_RELEASE_KEYS}, revoked ones included.`,
      tag,
      body: { schema: releaseKeyRequest, types: ['application/json'], maxBytes: MAX_BODY_BYTES },
      responses: {
        200: { description: 'It was trusted before; its name stays.', content: jsonContent(releaseKeySchema) },
        201: { description: 'It is trusted.', content: jsonContent(releaseKeySchema) },
      },
      problems: [409],
    },
    async ({ tenant, body: { name, publicKey: pem } }) => {
      const key = publicKeyOf(pem)
      const wanted = { id: keyIdOf(key), name, publicKey: key.export({ type: 'spki', format: 'pem' }).toString() }
      const made = await releaseKeys.insert(tenant, wanted)
      if (made === 'too-many') throw new CastorError('conflict', `There are ${MOST_RELEASE_KEYS} release keys already.`)
      if (made.key.revokedAt !== null)
        throw new CastorError('conflict', `The release key ${made.key.id} was revoked, for good: make another one.`)
      return { status: made.isNew ? 201 : 200, body: releaseKeyJson(made.key) }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/release-keys',
      operationId: 'listReleaseKeys',
      summary: 'List the keys that sign releases',
      tag,
      responses: { 200: { description: 'All, the newest first.', content: jsonContent(listOf(releaseKeySchema)) } },
    },
    async ({ tenant }) => ({ status: 200, body: listJson((await releaseKeys.list(tenant)).map(releaseKeyJson)) }),
  )

  endpoint(
    {
      method: 'delete',
      path: '/v1/release-keys/{id}',
      operationId: 'revokeReleaseKey',
      summary: 'Revoke a key',
      description: 'For good. What it signed is neither rolled out nor downloaded any more, until another key signs it.',
      tag,
      params: releaseKeyParams,
      responses: { 204: { description: 'Revoked.' } },
    },
    async ({ tenant, params }) => {
      if (!(await releaseKeys.revoke(tenant, params.id))) throw new CastorError('not-found', `There is no release key ${params.id}.`)
      return { status: 204, body: null }
    },
  )

  endpoint(
    {
      method: 'get',
      path: '/v1/director-keys',
      operationId: 'listDirectorKeys',
      summary: 'List the keys that sign jobs',
      description: 'The platform’s own: devices do what a job says only when one of these signed it. The newest signs.',
      tag,
      responses: { 200: { description: 'All, the newest first.', content: jsonContent(listOf(directorKeySchema)) } },
    },
    async () => {
      const items = await directorKeys.list()
      return { status: 200, body: listJson(items.map((key) => JSON.stringify({ ...key, createdAt: iso(key.createdAt) }))) }
    },
  )
}

function publicKeyOf(pem: string): KeyObject {
  const refused = (detail: string) => new CastorError('invalid', `publicKey ${detail}.`, { errors: [{ path: '/publicKey', detail }] })
  // createPublicKey would take it, and make the public part of it.
  if (pem.includes('PRIVATE KEY')) throw refused('is a private key: keep that to yourself, and send the public one')
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    throw refused('is no public key in PEM')
  }
  if (key.asymmetricKeyType !== 'ed25519') throw refused(`must be of Ed25519; this one is of ${key.asymmetricKeyType}`)
  return key
}

function releaseKeyJson({ id, name, publicKey: pem, createdAt, revokedAt }: ReleaseKey): string {
  const revoked = revokedAt === null ? {} : { revokedAt: iso(revokedAt) }
  return JSON.stringify({ id, name, publicKey: pem, createdAt: iso(createdAt), ...revoked })
}

/** Short lists, as all others, but in one page. */
function listOf(item: z.ZodType) {
  return z.object({ items: z.array(item), next: z.null() })
}

function listJson(items: string[]): string {
  return `{"items":[${items.join(',')}],"next":null}`
}
