/** Webhooks in trouble whose workflow is to look: it was asked to, or should have looked and did not. */
import { epochMs } from './columns.ts'
import type { Sql } from './connect.ts'

export interface TroubledWebhook {
  number: number
  id: string
  tenant: string
  /** Epoch ms; null: it is only late. */
  nudgedAt: number | null
}

const AT_ONCE = 100
/** A run may have ended, or a signal been lost, at a bad moment. */
const LATE_SECONDS = 90

export async function troubledWebhooks(sql: Sql): Promise<TroubledWebhook[]> {
  return sql<TroubledWebhook[]>`
    select number, id, tenant, ${sql.unsafe(epochMs('nudged_at'))} as "nudgedAt" from webhooks
    where troubled_at is not null and (nudged_at is not null or coalesce(looks_at, troubled_at) < now() - make_interval(secs => ${LATE_SECONDS}))
    order by number limit ${AT_ONCE}`
}

/** What was asked since stays asked. A late one is late again only after as long. Where it has found nothing left already, none looks. */
export async function webhookNudged(sql: Sql, { number, nudgedAt }: TroubledWebhook): Promise<void> {
  await sql`
    update webhooks set looks_at = case when troubled_at is not null then greatest(looks_at, now()) end,
      nudged_at = case when ${epochMsOf(sql)} = ${nudgedAt}::float8 then null else nudged_at end
    where number = ${number}`
}

function epochMsOf(sql: Sql) {
  return sql.unsafe(epochMs('nudged_at'))
}
