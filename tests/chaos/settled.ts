/** When is everything that was accepted also processed, sealed, decided and answered? */
import type { Sql } from '../../infra/postgres/connect.ts'
import { until } from '../support/wait.ts'

export interface Depth {
  /** Entries of the ingest log that no lane has passed. */
  unprocessed: number
  pending: number
  unanswered: number
  /** Answers of twins that no lane has taken. */
  answers: number
}

/** What is under way now. `pending` may stay for a window: routine readings wait there on purpose. */
export async function depth(sql: Sql): Promise<Depth> {
  const [inbox] = await sql<{ pending: number; unanswered: number; answers: number }[]>`
    select count(*) filter (where pending is not null)::int as pending,
           count(*) filter (where sealed is not null)::int as unanswered,
           (select count(*)::int from twin_answers) as answers
    from twin_inbox`
  return { unprocessed: await unprocessed(sql), ...inbox! }
}

/** Waits until all is processed and each twin has decided. Routine readings need their window of a minute: allow for it. */
export async function settled(sql: Sql, timeoutMs: number): Promise<void> {
  let last: Depth | undefined
  const isSettled = async () => {
    last = await depth(sql)
    return last.unprocessed === 0 && last.pending === 0 && last.unanswered === 0
  }
  try {
    await until(isSettled, 'everything is decided', timeoutMs)
  } catch (error) {
    throw new Error(`It did not settle: ${JSON.stringify(last)}`, { cause: error })
  }
}

/** Processed is enough where only values are compared. */
export async function processed(sql: Sql, timeoutMs: number): Promise<void> {
  await until(async () => (await unprocessed(sql)) === 0, 'everything is processed', timeoutMs)
}

async function unprocessed(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from ingest_log e join lanes l on l.lane = e.lane
    where e.seq > coalesce((l.cursors::jsonb ->> e.stream::text)::bigint, 0)`
  return row!.count
}
