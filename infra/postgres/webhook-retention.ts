/** What of webhooks goes with time: for whom events were, and deliveries that have ended. */
import type { Sql } from './connect.ts'
import type { ExistingPartition } from './old-partitions.ts'

const DAY_MS = 24 * 60 * 60_000
/** Ended deliveries of a webhook that are kept. */
const KEPT = { ms: 7 * DAY_MS, rows: 10_000 }
/** Deleted at once, and how often in one run of retention. */
const STEP = { rows: 20_000, most: 25 }

/** Before a partition of `webhook_events` is dropped: webhooks that have not come past it do now, and are told how many they missed. */
export async function passEvents(sql: Sql, { name }: Pick<ExistingPartition, 'name'>): Promise<void> {
  const [last] = await sql<[{ position: number | null }]>`select max(position) as position from ${sql(name)}`
  if (last.position === null) return
  await sql`
    with late as materialized (select number, position from webhooks where position < ${last.position}),
      missed as materialized (
        select l.number, count(*) as count from late l, ${sql(name)} e
        where e.position > l.position and l.number = any (e.endpoints) group by l.number
      )
    update webhooks w set missed = w.missed + coalesce(m.count, 0), position = greatest(w.position, ${last.position})
    from late l left join missed m on m.number = l.number where w.number = l.number`
}

/** Those older than a week, and all but the newest of each webhook. */
export async function deleteEndedDeliveries(sql: Sql, now: number): Promise<number> {
  let deleted = 0
  const webhooks = await sql<Array<{ number: number }>>`select number from webhooks order by number`
  let steps = 0
  for (const { number } of webhooks) {
    const [oldest] = await sql<Array<{ endedAt: Date }>>`
      select ended_at as "endedAt" from webhook_deliveries where webhook = ${number} and ended_at is not null
      order by ended_at desc offset ${KEPT.rows} limit 1`
    const until = Math.max(now - KEPT.ms, oldest?.endedAt.getTime() ?? 0)
    for (let count = STEP.rows; count === STEP.rows && steps < STEP.most; steps++) {
      const ended = sql`
        select position from webhook_deliveries where webhook = ${number} and ended_at <= ${new Date(until)} order by ended_at limit ${STEP.rows}`
      count = (await sql`delete from webhook_deliveries where webhook = ${number} and position in (${ended})`).count
      deleted += count
    }
    if (steps >= STEP.most) break
  }
  return deleted
}
