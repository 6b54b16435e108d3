/** When is everything that was accepted also processed, sealed, decided and answered? */
import { FINISHED } from '../../api/ingest/lane-store.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { until } from '../support/wait.ts'

export interface Depth {
  /** Entries of the ingest log that some lane has not passed. */
  unprocessed: number
  /** Inboxes in which something waits: what is urgent, and all. Routine readings wait for a window of a minute, on purpose. */
  urgent: number
  pending: number
  /** Seals that no decision has answered. */
  unanswered: number
}

/** What is under way now. The log is looked at first: what is processed stands in its inbox from then on, and is not missed between the two. */
export async function depth(sql: Sql): Promise<Depth> {
  const waiting = await unprocessed(sql)
  const [inbox] = await sql<{ urgent: number; pending: number; unanswered: number }[]>`
    select count(*) filter (where urgent)::int as urgent,
           count(*) filter (where pending is not null)::int as pending,
           count(*) filter (where sealed is not null)::int as unanswered
    from twin_inbox`
  return { unprocessed: waiting, ...inbox! }
}

/** Waits until all is processed and decided but routine readings. */
export function decided(sql: Sql, timeoutMs: number): Promise<void> {
  return waitFor(sql, ({ unprocessed, urgent, unanswered }) => unprocessed + urgent + unanswered === 0, timeoutMs)
}

/** Waits until routine readings are decided too: nothing waits anywhere. */
export function drained(sql: Sql, timeoutMs: number): Promise<void> {
  return waitFor(sql, ({ unprocessed, pending, unanswered }) => unprocessed + pending + unanswered === 0, timeoutMs)
}

async function waitFor(sql: Sql, isThere: (depth: Depth) => boolean, timeoutMs: number): Promise<void> {
  let last: Depth | undefined
  const isSettled = async () => {
    last = await depth(sql)
    return isThere(last)
  }
  try {
    await until(isSettled, 'it settles', timeoutMs)
  } catch (error) {
    throw new Error(`It did not settle in ${timeoutMs / 1000} s: ${JSON.stringify(last)}`, { cause: error })
  }
}

/** Processed is enough where only values are compared. */
export async function processed(sql: Sql, timeoutMs: number): Promise<void> {
  await until(async () => (await unprocessed(sql)) === 0, 'everything is processed', timeoutMs)
}

async function unprocessed(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count
    from (
      select lane, stream, coalesce((cursors::jsonb ->> stream::text)::bigint, 0) as cursor from lanes cross join streams
    ) reached
    join ingest_log e using (lane, stream)
    where cursor <> ${FINISHED} and e.seq > cursor`
  return row!.count
}
