/** Deliveries as REST shows them, and sends them again: the row waits anew, and the workflow of the webhook takes it from there. */
import type { DeliveryQuery, DeliveryRow, EndedStatus } from '../../api/webhook-ports.ts'
import type { WebhookRow as EventRow } from '../../api/webhooks/body.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql, Transaction } from './connect.ts'

/** Sent again by one request. */
const MOST_RESENT = 10_000

export async function listDeliveries(sql: Queries, webhook: number, { status, type, device, page }: DeliveryQuery): Promise<DeliveryRow[]> {
  const rows = await sql<StoredDelivery[]>`
    select ${sql.unsafe(DELIVERY_COLUMNS)} from webhook_deliveries d
    where webhook = ${webhook} and position < ${page.after ?? Number.MAX_SAFE_INTEGER}
      ${status === undefined ? sql`` : sql`and status = ${status}`}
      ${type === undefined ? sql`` : sql`and type = ${type}`}
      ${device === undefined ? sql`` : sql`and device = ${device}`}
    order by position desc limit ${page.limit}`
  return rows.map(parsedDelivery)
}

export async function findDelivery(sql: Queries, webhook: number, position: number): Promise<DeliveryRow | undefined> {
  const [row] = await sql<StoredDelivery[]>`
    select ${sql.unsafe(DELIVERY_COLUMNS)} from webhook_deliveries d where webhook = ${webhook} and position = ${position}`
  return row && parsedDelivery(row)
}

/** The time keeps other partitions out of it. */
export async function findDeliveryEvent(sql: Queries, { position, at }: DeliveryRow): Promise<EventRow | undefined> {
  const [row] = await sql<EventRow[]>`
    select position, ${sql.unsafe(epochMs('at'))} as at, tenant, device, revision, kind, event, cause from outbox
    where position = ${position} and at >= to_timestamp(${at - 1}::float8 / 1000) and at <= to_timestamp(${at + 1}::float8 / 1000)`
  return row
}

/** Its attempts are counted anew, and stay in its log. */
export async function resendDelivery(sql: Sql, webhook: number, position: number): Promise<boolean> {
  return again(sql, webhook, async (tx) => {
    const { count } = await tx`
      update webhook_deliveries set status = 'retrying', attempts = 0, next_at = now(), ended_at = null
      where webhook = ${webhook} and position = ${position} and status <> 'behind'`
    return { result: count > 0, count }
  })
}

export async function resendDeliveries(
  sql: Sql,
  webhook: number,
  { status, since }: { status: EndedStatus; since: number },
): Promise<{ resent: number; more: boolean }> {
  return again(sql, webhook, async (tx) => {
    const { count } = await tx`
      with ended as materialized (
        select position from webhook_deliveries d
        where webhook = ${webhook} and status = ${status} and at >= to_timestamp(${since}::float8 / 1000) and exists (
          select from outbox o where o.position = d.position and o.at >= d.at - interval '1 millisecond' and o.at <= d.at + interval '1 millisecond')
        order by position limit ${MOST_RESENT}
      )
      update webhook_deliveries d set status = 'retrying', attempts = 0, next_at = now(), ended_at = null
      from ended where d.webhook = ${webhook} and d.position = ended.position`
    return { result: { resent: count, more: count === MOST_RESENT }, count }
  })
}

/** The webhook is locked before its deliveries, as where they are settled. Its workflow is started, or looks at once. */
async function again<Result>(
  sql: Sql,
  webhook: number,
  change: (tx: Transaction) => Promise<{ result: Result; count: number }>,
): Promise<Result> {
  const done = await sql.begin(async (tx) => {
    await tx`select from webhooks where number = ${webhook} for update`
    const { result, count } = await change(tx)
    if (count > 0) await tx`update webhooks set troubled_at = coalesce(troubled_at, now()), nudged_at = now() where number = ${webhook}`
    return { result }
  })
  return done.result
}

const DELIVERY_COLUMNS = `position, ${epochMs('at')} as at, device, type, status, ${epochMs('next_at')} as "nextAt",
  ${epochMs('ended_at')} as "endedAt", log as attempts`

type StoredDelivery = Omit<DeliveryRow, 'attempts'> & { attempts: string }

function parsedDelivery(row: StoredDelivery): DeliveryRow {
  return { ...row, attempts: JSON.parse(row.attempts) }
}
