/** Webhooks as REST makes, shows and changes them. How their deliveries fare is webhook-deliveries.ts. */
import type { IdempotencyClaim, Page } from '../../api/ports.ts'
import { MOST_WEBHOOKS, type NewWebhook, type Webhook, type WebhookSecret, type Webhooks } from '../../api/webhook-ports.ts'
import { CLOSED } from '../../twin-models/core/delivery.ts'
import type { WebhookSettings } from '../../twin-models/schemas/webhook.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'
import { claimKey } from './idempotency.ts'
import { findDelivery, findDeliveryEvent, listDeliveries, resendDeliveries, resendDelivery } from './webhook-deliveries.ts'

/** Positions that are looked through for what waits: of one webhook, and of each in a list. */
const LOOKED_THROUGH = { one: 20_000, listed: 1_000 }
/** More are not valid at once: then the oldest ends early. */
const MOST_SECRETS = 5
const ROWS_A_STEP = 50_000

export function createWebhooks(sql: Sql): Webhooks {
  return {
    insert: (webhook, once) => insertWebhook(sql, webhook, once),
    find: (tenant, id) => findWebhook(sql, tenant, id),
    list: (tenant, page) => listWebhooks(sql, tenant, page),
    update: (tenant, id, change) => updateWebhook(sql, tenant, id, change),
    remove: (tenant, id) => removeWebhook(sql, tenant, id),
    pause: (tenant, id) => pauseWebhook(sql, tenant, id),
    resume: (tenant, id) => resumeWebhook(sql, tenant, id),
    rotate: (tenant, id, secret, oldUntil) => rotateSecret(sql, tenant, id, secret, oldUntil),
    deliveries: (webhook, query) => listDeliveries(sql, webhook, query),
    delivery: (webhook, position) => findDelivery(sql, webhook, position),
    event: (delivery) => findDeliveryEvent(sql, delivery),
    resend: (webhook, position) => resendDelivery(sql, webhook, position),
    resendAll: (webhook, which) => resendDeliveries(sql, webhook, which),
  }
}

/**
 * Its position is the end of the outbox as numbered when it is made. Rows get their number after their commit, so whatever is committed after this
 * has a higher one, and nothing is missed. What was committed within some hundredths of a second before it, and has no number yet, is sent too.
 */
async function insertWebhook(
  sql: Sql,
  { id, tenant, settings, secret }: NewWebhook,
  once?: { claim: IdempotencyClaim; responseOf: (row: Webhook) => string },
): Promise<Webhook | 'too-many' | 'claimed'> {
  return sql.begin(async (tx) => {
    if (once && !(await claimKey(tx, tenant, once.claim, ''))) return 'claimed'
    // Two at once would both find the last place free.
    await tx`select from tenants where tenant = ${tenant} for no key update`
    // It is there for all that is fanned out from now on (webhook-fan-out.ts).
    await tx`select from webhook_fan_out for share`
    const [{ count }] = await tx<[{ count: number }]>`select count(*)::int as count from webhooks where tenant = ${tenant}`
    if (count >= MOST_WEBHOOKS) {
      if (once) await tx`delete from idempotency_keys where tenant = ${tenant} and key_hash = ${once.claim.keyHash}`
      return 'too-many'
    }
    await tx`
      insert into webhooks (id, tenant, secrets, ${tx.unsafe(SETTINGS_COLUMNS)}, position)
      select ${id}::uuid, ${tenant}::text, ${JSON.stringify([{ secret }])}::text, ${values(tx, settings)}, position from outbox_end`
    const row = (await findWebhook(tx, tenant, id))!
    if (once)
      await tx`update idempotency_keys set response = ${once.responseOf(row)} where tenant = ${tenant} and key_hash = ${once.claim.keyHash}`
    return row
  })
}

async function findWebhook(sql: Queries, tenant: string, id: string): Promise<Webhook | undefined> {
  const [row] = await sql<StoredWebhook[]>`
    select ${sql.unsafe(WEBHOOK_COLUMNS)}, ${sql.unsafe(waiting(LOOKED_THROUGH.one))} as waiting from webhooks w where tenant = ${tenant} and id = ${id}`
  return row && parsedWebhook(row)
}

async function listWebhooks(sql: Queries, tenant: string, { after, limit }: Page<number>): Promise<Webhook[]> {
  const rows = await sql<StoredWebhook[]>`
    select ${sql.unsafe(WEBHOOK_COLUMNS)}, ${sql.unsafe(waiting(LOOKED_THROUGH.listed))} as waiting from webhooks w
    where tenant = ${tenant} and number < ${after ?? 2 ** 31 - 1} order by number desc limit ${limit}`
  return rows.map(parsedWebhook)
}

/** Its workflow, if one works on it, looks at once: what was wrong may be right now. Without order nothing waits behind another. */
async function updateWebhook(
  sql: Sql,
  tenant: string,
  id: string,
  change: (row: Webhook) => WebhookSettings,
): Promise<Webhook | undefined> {
  return sql.begin(async (tx) => {
    const row = await lockedWebhook(tx, tenant, id)
    if (!row) return undefined
    const settings = change(row)
    await tx`
      update webhooks set (${tx.unsafe(SETTINGS_COLUMNS)}) = (select ${values(tx, settings)}), changed_at = now(), ${tx.unsafe(NUDGED)}
      where number = ${row.number}`
    if (row.ordered && !settings.ordered)
      await tx`update webhook_deliveries set status = 'retrying', next_at = now() where webhook = ${row.number} and status = 'behind'`
    return findWebhook(tx, tenant, id)
  })
}

/** In steps: one with ordered delivery may have a million that wait behind others. */
async function removeWebhook(sql: Sql, tenant: string, id: string): Promise<boolean> {
  const [row] = await sql<Array<{ number: number }>>`
    update webhooks set status = 'disabled', reason = 'It is being removed', ${sql.unsafe(NUDGED)} where tenant = ${tenant} and id = ${id}
    returning number`
  if (!row) return false
  for (let gone = ROWS_A_STEP; gone === ROWS_A_STEP; ) {
    const step = sql`select position from webhook_deliveries where webhook = ${row.number} limit ${ROWS_A_STEP}`
    gone = (await sql`delete from webhook_deliveries where webhook = ${row.number} and position in (${step})`).count
  }
  await sql`delete from webhooks where number = ${row.number}`
  return true
}

async function pauseWebhook(sql: Queries, tenant: string, id: string): Promise<Webhook | undefined> {
  await sql`
    update webhooks set status = 'paused', changed_at = now(), ${sql.unsafe(NUDGED)}
    where tenant = ${tenant} and id = ${id} and status = 'active'`
  return findWebhook(sql, tenant, id)
}

/** What failed before, and still waits, is tried again at once: by its workflow, which may have ended meanwhile. */
async function resumeWebhook(sql: Sql, tenant: string, id: string): Promise<Webhook | undefined> {
  return sql.begin(async (tx) => {
    // Locked first: what ends at this moment is seen below.
    const row = await lockedWebhook(tx, tenant, id)
    if (!row || row.status === 'active') return row
    await tx`update webhook_deliveries set next_at = now() where webhook = ${row.number} and status = 'retrying'`
    await tx`
      update webhooks w set status = 'active', reason = null, health = ${JSON.stringify(CLOSED)}, changed_at = now(),
        (troubled_at, nudged_at) = (select at, at from (
          select case when exists (
            select from webhook_deliveries d where d.webhook = w.number and d.status in ('retrying', 'behind')) then now() end as at
        ) as trouble)
      where number = ${row.number}`
    return findWebhook(tx, tenant, id)
  })
}

async function rotateSecret(sql: Sql, tenant: string, id: string, secret: string, oldUntil: number): Promise<Webhook | undefined> {
  return sql.begin(async (tx) => {
    const row = await lockedWebhook(tx, tenant, id)
    if (!row) return undefined
    const [current, ...older] = row.secrets
    const valid = older.filter(({ until }) => until! > Date.now())
    const secrets: WebhookSecret[] = [{ secret }, { secret: current!.secret, until: oldUntil }, ...valid].slice(0, MOST_SECRETS)
    await tx`update webhooks set secrets = ${JSON.stringify(secrets)}, changed_at = now() where number = ${row.number}`
    return findWebhook(tx, tenant, id)
  })
}

async function lockedWebhook(tx: Transaction, tenant: string, id: string): Promise<Webhook | undefined> {
  const [row] = await tx`select number from webhooks where tenant = ${tenant} and id = ${id} for update`
  return row && findWebhook(tx, tenant, id)
}

/** The workflow that works on it looks at once. */
const NUDGED = 'nudged_at = case when troubled_at is null then nudged_at else now() end'

const SETTINGS_COLUMNS = 'url, types, filter, system, form, headers, auth, ordered, per_second, at_once, description'

function values(
  sql: Queries,
  { url, types, filter, system, form, headers, auth, ordered, perSecond, atOnce, description }: WebhookSettings,
) {
  return sql`${url}::text, ${JSON.stringify(types)}::text, ${filter ?? null}::text, ${system ?? null}::text, ${form}::text, ${JSON.stringify(headers)}::text,
    ${auth ? JSON.stringify(auth) : null}::text, ${ordered}::boolean, ${perSecond}::float8, ${atOnce}::int, ${description}::text`
}

const WEBHOOK_COLUMNS = `id, number, status, reason, url, types, filter, system, form, headers, auth, ordered, per_second as "perSecond",
  at_once as "atOnce", description, secrets, health, missed, ${epochMs('created_at')} as "createdAt", ${epochMs('changed_at')} as "updatedAt"`

/** For `webhooks w`: what its workflow has not ended yet, and what is for it above its position, as JSON. */
function waiting(most: number): string {
  return `(
    select json_build_object('count', retrying.count + ahead.count, 'more', retrying.count = ${most} or ahead.seen = ${most})::text from (
      select count(*) from (select from webhook_deliveries d where d.webhook = w.number and d.status in ('retrying', 'behind') limit ${most}) as d
    ) as retrying, (
      select count(*) filter (where w.number = any(endpoints)) as count, count(*) as seen from (
        select endpoints from webhook_events e where e.position > w.position order by e.position limit ${most}
      ) as e
    ) as ahead)`
}

interface StoredWebhook
  extends Omit<Webhook, 'types' | 'filter' | 'system' | 'headers' | 'auth' | 'secrets' | 'health' | 'waiting'>,
    Record<'types' | 'headers' | 'secrets' | 'health' | 'waiting', string>,
    Record<'filter' | 'system' | 'auth', string | null> {}

function parsedWebhook({ filter, system, auth, ...row }: StoredWebhook): Webhook {
  return {
    ...row,
    types: JSON.parse(row.types),
    headers: JSON.parse(row.headers),
    secrets: JSON.parse(row.secrets),
    health: JSON.parse(row.health),
    waiting: JSON.parse(row.waiting),
    ...(filter !== null && { filter }),
    ...(system !== null && { system }),
    ...(auth !== null && { auth: JSON.parse(auth) }),
  }
}
