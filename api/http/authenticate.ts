/**
 * Who calls: an API key as bearer token. The tenant comes from the key alone (docs/architecture.md §3.15). Keys are looked up by
 * their hash, and the answer is remembered for some seconds: so long a revoked key may still work.
 */
import { hash } from 'node:crypto'
import { CastorError } from '../../twin-models/errors.ts'
import type { ApiKey, ApiKeys } from '../ports.ts'

export type Authenticate = (authorization: string | undefined) => ApiKey | Promise<ApiKey>

const REMEMBER_MS = 5_000
const MOST_REMEMBERED = 10_000

export function createAuthenticate(keys: ApiKeys, now: () => number = Date.now): Authenticate {
  const remembered = new Map<string, { key: ApiKey; until: number }>()

  const lookUp = async (digest: string): Promise<ApiKey> => {
    const key = await keys.find(Buffer.from(digest, 'base64'))
    if (!key) throw new CastorError('unauthenticated', 'The API key is not valid.')
    if (remembered.size >= MOST_REMEMBERED) remembered.clear()
    remembered.set(digest, { key, until: now() + REMEMBER_MS })
    return key
  }

  return (authorization) => {
    const token = bearerToken(authorization)
    const digest = hash('sha256', token, 'base64')
    const known = remembered.get(digest)
    return known && known.until > now() ? known.key : lookUp(digest)
  }
}

function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw new CastorError('unauthenticated', 'The request has no credential: send `Authorization: Bearer <api key>`.')
  }
  const match = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(authorization)
  if (!match) throw new CastorError('unauthenticated', 'The credential has the wrong form: send `Authorization: Bearer <api key>`.')
  return match[1]!
}
