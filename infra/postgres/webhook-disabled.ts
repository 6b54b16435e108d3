/** A webhook that is given up. */
import type { DisabledReason } from '../../twin-models/webhook-events/platform-events.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

/**
 * Disables it, and tells its tenant by an event, in the transaction in which that is found out. Of its URL the event has the host only: the rest may
 * be a secret, and the event goes to other receivers. False: it was disabled before, or is gone.
 */
export async function disableWebhook(sql: Queries, number: number, reason: DisabledReason, detail: string): Promise<boolean> {
  const { count } = await sql`
    with disabled as (
      update webhooks set status = 'disabled', reason = ${detail}, changed_at = now()
      where number = ${number} and status <> 'disabled'
      returning id, tenant, substring(url from '^[a-z]+://([^/?]+)') as host
    )
    insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    select now(), tenant, 0, '', 'webhook-disabled', json_build_object('at', ${sql.unsafe(epochMs('now()'))}, 'webhook', id, 'host', host,
      'reason', ${reason}::text, 'detail', ${detail}::text)::text, '{"by":"delivery"}'
    from disabled`
  return count > 0
}
