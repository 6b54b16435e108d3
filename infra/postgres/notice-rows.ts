/** Bundles as they are told: their notices by id, in the order of their urgency. */
import type { Bundle, NoticeTarget, ToldNotice } from '../../api/notify/ports.ts'
import type { WebhookSecret } from '../../api/webhook-ports.ts'
import { signingSecrets } from '../../api/webhooks/signature.ts'
import { MOST_SHOWN } from '../../twin-models/core/bundles.ts'
import { epochMs } from './columns.ts'
import type { Queries } from './connect.ts'

/** Severities as a number: the most urgent is the greatest. */
export const RANKED = `array_position(array['warning', 'minor', 'major', 'critical'], severity)`

export interface StoredTarget extends Omit<NoticeTarget, 'settings' | 'auth' | 'secrets'>, Record<'settings' | 'secrets', string> {
  auth: string | null
}

export const TARGET_COLUMNS = 'number, tenant, name, settings, auth, secrets'

export function targetOf({ number, tenant, name, settings, auth, secrets }: StoredTarget, now: number): NoticeTarget {
  return {
    ...{ number, tenant, name, settings: JSON.parse(settings), auth: auth === null ? null : JSON.parse(auth) },
    secrets: signingSecrets(JSON.parse(secrets) as WebhookSecret[], now),
  }
}

type ToldRow = Omit<ToldNotice, 'facts' | 'links'> & Record<'facts' | 'links', string> & { dueAt: number }

/**
 * What of the bundle is still to be told. Undefined: nothing is. Notices that were cancelled since it was made are left out; two of one alarm are
 * one, the newer. Where none is left of those that stood in it in full, others do now.
 */
export async function bundleOf(
  sql: Queries,
  { id, groupKey, madeAt }: { id: string; groupKey: string; madeAt: number },
): Promise<Bundle | undefined> {
  let rows = await shownIn(sql, id)
  if (rows.length === 0) {
    const { count } = await sql`
      update notices set shown = true where id in (
        select id from notices where bundle = ${id} and state = 'waiting' order by id limit ${MOST_SHOWN} for update)`
    if (count === 0) return undefined
    rows = await shownIn(sql, id)
  }
  const [counted] = await sql<[{ truncated: number; dueAt: number | null }]>`
    select count(distinct key)::int as truncated, ${sql.unsafe(epochMs('min(due_at)'))} as "dueAt"
    from notices where bundle = ${id} and not shown and state = 'waiting'`
  return {
    ...{ id, groupKey, madeAt, truncated: counted.truncated },
    dueAt: Math.min(counted.dueAt ?? Infinity, ...rows.map(({ dueAt }) => dueAt)),
    notices: rows.map(({ facts, links, dueAt: _, ...row }) => ({ ...row, facts: JSON.parse(facts), links: JSON.parse(links) })),
  }
}

async function shownIn(sql: Queries, id: string): Promise<ToldRow[]> {
  return sql<ToldRow[]>`
    select * from (
      select distinct on (n.key) n.key, n.kind, n.status, n.severity, n.device, n.rule, n.site,
        case when n.incarnation is not null then n.incarnation || '-' || n.n end as alarm, n.subject, n.words as text, n.facts, n.links,
        ${sql.unsafe(epochMs('n.since'))} as since, ${sql.unsafe(epochMs('n.over_at'))} as "overAt", ${sql.unsafe(epochMs('n.due_at'))} as "dueAt", (
          select f.bundle::text from notices f where f.tenant = n.tenant and f.key = n.key and f.target = n.target and f.bundle is not null
          order by f.id limit 1
        ) as thread
      from notices n where n.bundle = ${id} and n.shown and n.state = 'waiting' order by n.key, n.id desc
    ) as told order by status, ${sql.unsafe(RANKED)} desc, since, key`
}
