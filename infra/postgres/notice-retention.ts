/** What of notices goes with time. Those of an alarm that is open stay: who was told of it is told when it is over. */
import type { Sql } from './connect.ts'

const DAY_MS = 24 * 60 * 60_000
/** Ended notices that are kept: of all, and of one target. */
const KEPT = { ms: 30 * DAY_MS, rows: 20_000 }
/** Deleted at once; what is left waits for the next run, a minute later. */
const STEP_ROWS = 20_000

export async function deleteEndedNotices(sql: Sql, now: number): Promise<number> {
  await failOrphans(sql)
  let deleted = await deleteSome(sql, sql`ended_at <= ${new Date(now - KEPT.ms)}`)
  for (const { number } of await sql<Array<{ number: number }>>`select number from targets order by number`) {
    const [oldest] = await sql<Array<{ endedAt: Date }>>`
      select ended_at as "endedAt" from notices where endpoint = ${number} and ended_at is not null
      order by ended_at desc offset ${KEPT.rows} limit 1`
    if (oldest) deleted += await deleteSome(sql, sql`endpoint = ${number} and ended_at <= ${oldest.endedAt}`)
  }
  return deleted + (await deleteEmpty(sql, now))
}

async function deleteSome(sql: Sql, which: ReturnType<Sql>): Promise<number> {
  const { count } = await sql`
    delete from notices where id in (
      select id from notices n where ${which} and not exists (
        select from told_alarms a where a.incarnation = n.incarnation and a.n = n.n and a.ended_at is null)
      order by ended_at limit ${STEP_ROWS})`
  return count
}

/** Bundles and alarms of which no notice is left, and groups that have long gone out. */
async function deleteEmpty(sql: Sql, now: number): Promise<number> {
  const until = new Date(now - DAY_MS)
  const bundles = await sql`
    delete from notice_bundles where id in (
      select id from notice_bundles b where ended_at < ${until} and not exists (select from notices n where n.bundle = b.id) limit ${STEP_ROWS})`
  const alarms = await sql`
    delete from told_alarms where (incarnation, n) in (
      select incarnation, n from told_alarms a where ended_at < ${until}
        and not exists (select from notices n where n.incarnation = a.incarnation and n.n = a.n) limit ${STEP_ROWS})`
  const groups =
    await sql`delete from notice_groups where (target, key) in (select target, key from notice_groups where last_at < ${until} limit ${STEP_ROWS})`
  return bundles.count + alarms.count + groups.count
}

/** Of a target whose removal did not come to its end. */
async function failOrphans(sql: Sql): Promise<void> {
  await sql`
    update notices set state = 'failed', reason = 'Its target was removed', ready_at = null, held_at = null, ended_at = now()
    where id in (
      select id from notices n where ended_at is null and endpoint is not null and not exists (select from targets t where t.number = n.endpoint)
      order by id limit ${STEP_ROWS} for update)`
}
