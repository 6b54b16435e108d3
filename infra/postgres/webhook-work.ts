/** What the workflow of an endpoint works on (api/webhooks/work-off.ts): deliveries that failed, and what waits behind them. */
import type { Endpoint } from '../../api/webhooks/ports.ts'
import type { DueDelivery, WorkStore } from '../../api/webhooks/work-off.ts'
import { halfOpened } from '../../twin-models/core/delivery.ts'
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
      return row && (await endpoints(sql, { number: row.number }))[0]
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
    halfOpen: (number) => halfOpen(sql, number),
    disable: async ({ number }, detail) => {
      await sql.begin((tx) => disableWebhook(tx, number, 'stopped', detail))
    },
    report: (endpoint, now, notBefore) => report(sql, endpoint, now, notBefore),
  }
}

type DueRow = Omit<DueDelivery, 'row'>

async function due(sql: Sql, { number, ordered }: Endpoint, now: number, probe: boolean): Promise<DueDelivery[]> {
  const rows = await (ordered ? dueInOrder : dueInTime)(sql, number, now, probe)
  const events = await eventsAt(
    sql,
    rows.map(({ position }) => position),
  )
  // Where events are large these are not all: the others are due still.
  return events.map(({ row }, i) => ({ ...rows[i]!, row }))
}

const DUE_COLUMNS = `position, ${epochMs('at')} as at, incarnation, device, type`

/** A probe is what was not tried for longest: else one that the receiver never takes would be all that is ever tried. */
async function dueInTime(sql: Sql, number: number, now: number, probe: boolean): Promise<DueRow[]> {
  return sql<DueRow[]>`
    select ${sql.unsafe(DUE_COLUMNS)} from webhook_deliveries
    where webhook = ${number} and status = 'retrying' and (${probe} or next_at <= to_timestamp(${now}::float8 / 1000))
    order by next_at, position limit ${probe ? 1 : DUE_AT_ONCE}`
}

/** Of each device the first that has not ended, where its time has come, and what waits behind it: some of many devices, or many of one. */
async function dueInOrder(sql: Sql, number: number, now: number, probe: boolean): Promise<DueRow[]> {
  if (probe)
    return sql<DueRow[]>`
      with recursive ${firsts(sql, number)}
      select d.* from (select position from first order by next_at nulls first, position limit 1) as f
      cross join lateral (select ${sql.unsafe(DUE_COLUMNS)} from webhook_deliveries where webhook = ${number} and position = f.position) as d`
  return sql<DueRow[]>`
    with recursive ${firsts(sql, number)}
    select d.* from (
      select * from first where next_at is null or next_at <= to_timestamp(${now}::float8 / 1000) order by position limit ${DUE_AT_ONCE}
    ) as f cross join lateral (
      select ${sql.unsafe(DUE_COLUMNS)}, row_number() over (order by position) as place from webhook_deliveries
      where webhook = ${number} and incarnation = f.incarnation and status in ('retrying', 'behind')
      order by position limit ${DUE_AT_ONCE}
    ) as d
    order by d.place, d.position limit ${DUE_AT_ONCE}`
}

/** The first of each device, found from device to device. `next_at` is null where it waited behind another that has ended: it is due. */
function firsts(sql: Queries, number: number) {
  const open = sql`select incarnation, position, next_at from webhook_deliveries where webhook = ${number} and status in ('retrying', 'behind')`
  return sql`first as (
    (${open} order by incarnation, position limit 1)
    union all
    select n.* from first f cross join lateral (${open} and incarnation > f.incarnation order by incarnation, position limit 1) as n
  )`
}

async function halfOpen(sql: Sql, number: number): Promise<void> {
  await sql.begin(async (tx) => {
    const [row] = await tx<Array<{ health: string }>>`select health from webhooks where number = ${number} for update`
    const health = row && JSON.stringify(halfOpened(JSON.parse(row.health)))
    if (health !== undefined) await tx`update webhooks set health = ${health} where number = ${number}`
  })
}

interface Row {
  status: Endpoint['status']
  reason: string | null
  health: string
  ordered: boolean
}

interface Counts {
  retrying: number
  behind: number
  failed: number
}

/** Where nothing is left the endpoint is out of trouble, unless something failed this very moment. */
async function report(sql: Sql, { number, url }: Endpoint, now: number, notBefore: number): Promise<WebhookReport> {
  return sql.begin(async (tx) => {
    const [row] = await tx<Row[]>`select status, reason, health, ordered from webhooks where number = ${number} for update`
    if (!row) return { status: 'removed', done: true }
    const [counts] = await tx<[Counts]>`
      select count(*) filter (where status = 'retrying')::int as retrying, count(*) filter (where status = 'behind')::int as behind,
        (select count(*)::int from webhook_deliveries where webhook = ${number} and status = 'failed') as failed
      from webhook_deliveries where webhook = ${number} and status in ('retrying', 'behind')`
    const { failures, failingSince, probeAt } = JSON.parse(row.health) as Endpoint['health']
    // While it is open somebody has to half-open it, also where nothing that failed is left.
    const isDone = row.status !== 'active' || (counts.retrying + counts.behind === 0 && probeAt === null)
    const nextAt = isDone ? undefined : Math.max(probeAt ?? (await nextDue(tx, number, row.ordered)) ?? now, notBefore)
    await tx`
      update webhooks set nudged_at = case when ${isDone} then null else nudged_at end,
        troubled_at = case when ${isDone} then null else troubled_at end, looks_at = to_timestamp(${nextAt ?? null}::float8 / 1000)
      where number = ${number}`
    return {
      ...{ status: row.status, done: isDone, url, failures, failingSince, probeAt, ...counts },
      ...(row.reason !== null && { reason: row.reason }),
      ...(nextAt !== undefined && { nextAt, notBefore }),
      ...(await reasonsOf(tx, number)),
    }
  })
}

/** Null: now. */
async function nextDue(sql: Queries, number: number, ordered: boolean): Promise<number | null> {
  const [row] = ordered
    ? await sql<[{ at: number | null }]>`
        with recursive ${firsts(sql, number)}
        select case when bool_and(next_at is not null) then ${sql.unsafe(epochMs('min(next_at)'))} end as at from first`
    : await sql<[{ at: number | null }]>`
        select ${sql.unsafe(epochMs('min(next_at)'))} as at from webhook_deliveries where webhook = ${number} and status = 'retrying'`
  return row.at
}

async function reasonsOf(sql: Queries, number: number): Promise<Pick<WebhookReport, 'last' | 'reasons'>> {
  const attempts = await sql<Array<{ attempt: string }>>`
    select (log::json -> -1)::text as attempt from webhook_deliveries where webhook = ${number} and status = 'retrying' and log <> '[]'
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
