/**
 * The public keys that simulated devices trust. Their maker gives them these with their credential: by the way of the registration, not by that
 * of the updates. A maker who has a new release key gives it to devices in the field too; so they are asked for again, now and then.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import { keyIdOf } from '../../../twin-models/firmware/envelope.ts'
import type { Trust } from './verify.ts'

export interface Keys {
  readonly trust: Trust
  /** Asks again, if that was a while ago. Keeps what it has when nobody answers. */
  refresh(): Promise<void>
}

const TIMEOUT_MS = 15_000
const AGAIN_MS = 5_000
const listSchema = z.object({ items: z.array(z.object({ publicKey: z.string(), revokedAt: z.string().nullish() })) })

export function createKeys({ restUrl, key }: { restUrl: string; key: string }): Keys {
  let trust: Trust = { director: new Map(), release: new Map() }
  let askedAt = Number.NEGATIVE_INFINITY
  let asking: Promise<void> | undefined

  async function ask(): Promise<void> {
    const [director, release] = await Promise.all([keysAt('/v1/director-keys'), keysAt('/v1/release-keys')])
    trust = { director: director ?? trust.director, release: release ?? trust.release }
  }

  async function keysAt(path: string): Promise<ReadonlyMap<string, KeyObject> | undefined> {
    const response = await fetch(`${restUrl}${path}`, {
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch(() => undefined)
    const body = await response?.json().catch(() => undefined)
    const list = response?.ok ? listSchema.safeParse(body).data : undefined
    const keys = list?.items.filter(({ revokedAt }) => !revokedAt).map(({ publicKey }) => createPublicKey(publicKey))
    return keys && new Map(keys.map((one) => [keyIdOf(one), one]))
  }

  return {
    get trust() {
      return trust
    },
    refresh() {
      if (asking) return asking
      if (performance.now() - askedAt < AGAIN_MS) return Promise.resolve()
      askedAt = performance.now()
      asking = ask()
        .catch(() => {})
        .finally(() => {
          asking = undefined
        })
      return asking
    },
  }
}
