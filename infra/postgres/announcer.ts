/**
 * Says to all bridges, by NOTIFY, for which devices there is something to send: a decision has left it, or a message was refused. NOTIFY takes
 * a global lock at commit, so it never stands in the transaction itself: one for all of a few milliseconds, after them. One that is lost
 * costs time only, since bridges also look by themselves (infra/mqtt/downlink.ts, api/http/device-polls.ts).
 */
import type { Logger } from 'pino'
import type { Announcer } from '../../activities/ports.ts'
import type { Sql } from './connect.ts'

/** Payload: incarnations, separated by commas. */
export const DOWNLINK_CHANNEL = 'downlink'
/** The same, of devices without a connection that may ask what was wrong with a message of theirs. */
export const ERRORS_CHANNEL = 'device_errors'
const COALESCE_MS = 5
/** A payload has less than 8,000 bytes; an incarnation and its comma at most 11. */
const PER_NOTIFICATION = 700

export function createAnnouncer(sql: Sql, log: Logger, channel = DOWNLINK_CHANNEL): Announcer {
  let waiting = new Set<number>()

  async function send(): Promise<void> {
    const all = [...waiting]
    waiting = new Set()
    for (let from = 0; from < all.length; from += PER_NOTIFICATION) {
      const payload = all.slice(from, from + PER_NOTIFICATION).join(',')
      await sql`select pg_notify(${channel}, ${payload})`.catch((err: unknown) =>
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
