/**
 * Tokens of devices, looked up once in a few seconds each, so that a device that sends often costs no query a message. What was found
 * out lasts as long as a revocation may take. Tokens that mean nothing are remembered too, for less: guessing must not load Postgres.
 */
import { CastorError } from '../../twin-models/errors.ts'

export interface KnownDevice {
  tenant: string
  device: string
  incarnation: number
}

export type FindByToken = (tokenHash: Buffer) => Promise<KnownDevice | undefined>

interface Entry {
  device: KnownDevice | undefined
  until: number
}

const MOST = 50_000
const LOOKUP_MS = 5000

export function createTokenCache(find: FindByToken, trustMs: number, now: () => number = () => performance.now()) {
  const entries = new Map<string, Entry>()
  /** Many requests of one device wait for one query. */
  const asking = new Map<string, Promise<KnownDevice | undefined>>()

  return { find: findDevice }

  /** Throws `unauthenticated`, or `unavailable` when the registry does not answer. */
  async function findDevice(tokenHash: Buffer): Promise<KnownDevice> {
    const key = tokenHash.toString('latin1')
    const entry = entries.get(key)
    const device = entry && entry.until > now() ? entry.device : await lookUp(key, tokenHash)
    if (!device)
      throw new CastorError('unauthenticated', 'This token is not that of a device. A token is shown once, when the device is registered.')
    return device
  }

  async function lookUp(key: string, tokenHash: Buffer): Promise<KnownDevice | undefined> {
    let query = asking.get(key)
    if (!query) {
      query = withDeadline(find(tokenHash)).finally(() => asking.delete(key))
      asking.set(key, query)
    }
    const device = await query
    entries.delete(key)
    entries.set(key, { device, until: now() + (device ? trustMs : trustMs / 3) })
    if (entries.size > MOST) entries.delete(entries.keys().next().value!)
    return device
  }
}

async function withDeadline<T>(query: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new CastorError('unavailable', 'The registry does not answer. Send it again later.', { retryAfterSeconds: 5 })),
      LOOKUP_MS,
    )
  })
  return Promise.race([query, late]).finally(() => clearTimeout(timer))
}
