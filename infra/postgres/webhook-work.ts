/** What the workflow of an endpoint works on (api/webhooks/work-off.ts): deliveries that failed, and what waits behind them. */
import type { Endpoint } from '../../api/webhooks/ports.ts'
import type { DueDelivery, WorkStore } from '../../api/webhooks/work-off.ts'
import { withoutProbes } from '../../twin-models/core/delivery.ts'
import type { WebhookReport } from '../../workflows/messages.ts'
import { epochMs } from './columns.ts'
import type { Queries, Sql } from './connect.ts'
import { disableWebhook } from './webhook-disabled.ts'
import { endpoints, eventsAt } from './webhook-fan-out.ts'
import { settle } from './webhook-settle.ts'

const DUE_AT_ONCE = 200
/** For telling why. */
const LOOKED_AT = 500
const REASONS = 5

export function createWebhookWork(sql: Sql): WorkStore {
  return {
    find: async (tenant, id) => {
      const [row] = await sql<Array<{ number: number }>>`select number from webhooks where tenant = ${tenant} and id::text = ${id}`
      return row && (await endpoints(sql, row.number))[0]
    },
    due: (endpoint, now, probe) => due(sql, endpoint, now, probe),
    settle: (settlement, now) => settle(sql, settlement, now),
    giveUp: async (number, positions) => {
      await sql`
        update webhook_deliveries set status = 'failed', next_at = null, ended_at = now()
        where webhook = ${number} and position in (select unnest(${`{${positions.join(',')}}`}::text::bigint[]))`
    },
    retryNow: async (number) => {
      await sql`update webhook_deliveries set next_at = now() where webhook = ${number} and status = 'retrying'`
    },
    skip: async (number) => {
      await sql`
        update webhook_deliveries set status = 'skipped', next_at = null, ended_at = now() where webhook = ${number} and status = 'retrying'`
    },
    disable: async ({ number }, detail) => {
      await sql.begin((tx) => disableWebhook(tx, number, 'stopped', detail))
    },
    report: (endpoint, now) => report(sql, endpoint, now),
  }
}

type DueRow = Omit<DueDelivery, 'row'>

async function due(sql: Sql, { number, ordered }: Endpoint, now: number, probe: boolean): Promise<DueDelivery[]> {
  const rows = ordered ? await dueInOrder(sql, number, now, probe) : await dueInTime(sql, number, now, probe)
  const events = new Map(
    (
      await eventsAt(
        sql,
        rows.map(({ position }) => position),
      )
    ).map((row) => [row.position, row]),
  )
  return rows.map((row) => ({ ...row, row: events.get(row.position) ?? null }))
}

const DUE_COLUMNS = `position, ${epochMs('at')} as at, incarnation, device, type`

async function dueInTime(sql: Sql, number: number, now: number, probe: boolean): Promise<DueRow[]> {
  return sql<DueRow[]>`
    select ${sql.unsafe(DUE_COLUMNS)} from webhook_deliveries
    where webhook = ${number} and status = 'retrying' and (${probe} or next_at <= to_timestamp(${now}::float8 / 1000))
    order by next_at, position limit ${probe ? 1 : DUE_AT_ONCE}`
}

/** The first of each device that has not ended: one that waited behind others has no time of its own. */
async function dueInOrder(sql: Sql, number: number, now: number, probe: boolean): Promise<DueRow[]> {
  return sql<DueRow[]>`
    select * from (
      select distinct on (incarnation) ${sql.unsafe(DUE_COLUMNS)}, status, next_at from webhook_deliveries
      where webhook = ${number} and status in ('retrying', 'behind') order by incarnation, position
    ) as first
    where ${probe} or status = 'behind' or next_at <= to_timestamp(${now}::float8 / 1000)
    order by position limit ${probe ? 1 : DUE_AT_ONCE}`
}

interface Standing {
  status: Endpoint['status']
  reason: string | null
  retrying: number
  behind: number
  failed: number
  nextAt: number | null
}

/** Where nothing is left the endpoint is out of trouble, unless something failed this very moment. */
async function report(sql: Sql, { number, url }: Endpoint, now: number): Promise<WebhookReport> {
  return sql.begin(async (tx) => {
    const [row] = await tx<Array<{ health: string } & Pick<Standing, 'status' | 'reason'>>>`
      select status, reason, health from webhooks where number = ${number} for update`
    if (!row) return { status: 'removed', done: true }
    const [counts] = await tx<[Omit<Standing, 'status' | 'reason'>]>`
      select count(*) filter (where status = 'retrying')::int as retrying, count(*) filter (where status = 'behind')::int as behind,
        (select count(*)::int from webhook_deliveries where webhook = ${number} and status = 'failed') as failed,
        ${tx.unsafe(epochMs('min(next_at)'))} as "nextAt"
      from webhook_deliveries where webhook = ${number} and status in ('retrying', 'behind')`
    const known = JSON.parse(row.health) as Endpoint['health']
    const isDone = row.status !== 'active' || counts.retrying + counts.behind === 0
    const health = isDone ? withoutProbes(known) : known
    const { failures, failingSince, probeAt } = health
    const nextAt = isDone ? undefined : (probeAt ?? counts.nextAt ?? now)
    await tx`
      update webhooks set health = ${JSON.stringify(health)}, nudged_at = case when ${isDone} then null else nudged_at end,
        troubled_at = case when ${isDone} then null else troubled_at end, looks_at = to_timestamp(${nextAt ?? null}::float8 / 1000)
      where number = ${number}`
    return {
      ...{ status: row.status, done: isDone, url, failures, failingSince, probeAt },
      ...{ retrying: counts.retrying, behind: counts.behind, failed: counts.failed },
      ...(row.reason !== null && { reason: row.reason }),
      ...(nextAt !== undefined && { nextAt }),
      ...(await reasonsOf(tx, number)),
    }
  })
}

async function reasonsOf(sql: Queries, number: number): Promise<Pick<WebhookReport, 'last' | 'reasons'>> {
  const attempts = await sql<Array<{ attempt: string }>>`
    select (log::json -> -1)::text as attempt from webhook_deliveries where webhook = ${number} and status = 'retrying'
    order by next_at limit ${LOOKED_AT}`
  const counts = new Map<string, number>()
  let last: WebhookReport['last']
  for (const { attempt } of attempts) {
    const tried = JSON.parse(attempt) as NonNullable<WebhookReport['last']>
    const reason = tried.error ?? `status ${tried.status}`
    counts.set(reason, (counts.get(reason) ?? 0) + 1)
    if (last === undefined || tried.at > last.at) last = tried
  }
  const reasons = [...counts].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count)
  return { ...(last && { last }), reasons: reasons.slice(0, REASONS) }
}
