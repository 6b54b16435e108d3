/** Fixed-window limits per tenant, told by the RateLimit headers (draft-ietf-httpapi-ratelimit-headers). In memory, per process. */
import { CastorError } from '../../twin-models/errors.ts'

export interface RateLimitPolicy {
  name: string
  quota: number
  windowSeconds: number
}

export interface RateLimit {
  /** Counts one; the headers to send, and the refusal when the quota is used up. */
  take(tenant: string): { headers: Record<string, string>; refusal: CastorError | undefined }
}

export function createRateLimit({ name, quota, windowSeconds }: RateLimitPolicy, now: () => number = Date.now): RateLimit {
  const policy = `"${name}";q=${quota};w=${windowSeconds}`
  const windowMs = windowSeconds * 1000
  // Forgotten as a whole at the end of each window, so it is bounded by the tenants that called in it.
  const used = new Map<string, number>()
  let endsAt = 0
  return {
    take(tenant) {
      const at = now()
      if (at >= endsAt) {
        used.clear()
        endsAt = at + windowMs
      }
      const count = (used.get(tenant) ?? 0) + 1
      used.set(tenant, count)
      const seconds = Math.ceil((endsAt - at) / 1000)
      const headers = { 'ratelimit-policy': policy, ratelimit: `"${name}";r=${Math.max(0, quota - count)};t=${seconds}` }
      if (count <= quota) return { headers, refusal: undefined }
      const detail = `More than ${quota} requests of the kind '${name}' in ${windowSeconds} s. Try again in ${seconds} s.`
      return { headers, refusal: new CastorError('too-many-requests', detail, { retryAfterSeconds: seconds }) }
    },
  }
}
