/**
 * Says to all bridges, by NOTIFY, for which devices a decision has left something to send. NOTIFY takes a global lock at commit, so it never
 * stands in the decision itself: one for all decisions of a few milliseconds, after them. One that is lost costs time only, since
 * bridges also look by themselves (infra/mqtt/downlink.ts).
 */
import type { Logger } from 'pino'
import type { Announcer } from '../../activities/ports.ts'
import type { Sql } from './connect.ts'

/** Payload: incarnations, separated by commas. */
export const DOWNLINK_CHANNEL = 'downlink'
const COALESCE_MS = 5
/** A payload has less than 8,000 bytes; an incarnation and its comma at most 11. */
const PER_NOTIFICATION = 700

export function createAnnouncer(sql: Sql, log: Logger): Announcer {
  let waiting = new Set<number>()

  async function send(): Promise<void> {
    const all = [...waiting]
    waiting = new Set()
    for (let from = 0; from < all.length; from += PER_NOTIFICATION) {
      const payload = all.slice(from, from + PER_NOTIFICATION).join(',')
      await sql`select pg_notify(${DOWNLINK_CHANNEL}, ${payload})`.catch((err: unknown) =>
        log.info({ err }, 'The bridges were not told of something to send; they look by themselves'),
      )
    }
  }

  return {
    announce(incarnation) {
      if (waiting.size === 0) setTimeout(send, COALESCE_MS)
      waiting.add(incarnation)
    },
  }
}
