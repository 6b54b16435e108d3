/**
 * How many accepted messages are not processed yet: those in entries of the ingest log beyond the cursor of their lane. Exact, and
 * cheap while the lag is short. Accepted minus this is processed.
 */
import { FINISHED } from '../../api/ingest/lane-store.ts'
import type { Sql } from '../../infra/postgres/connect.ts'

const SAY_EVERY_MS = 10_000

export async function unprocessed(sql: Sql): Promise<number> {
  const [row] = await sql<Array<{ messages: number }>>`
    with cursors as (
      select lanes.lane, streams.stream, coalesce((lanes.cursors::json ->> streams.stream::text)::bigint, 0) as seq
      from lanes cross join streams
      where coalesce((lanes.cursors::json ->> streams.stream::text)::bigint, 0) <> ${FINISHED}
    ),
    streams_from as (select stream, min(seq) as seq from cursors group by stream)
    select coalesce(sum(json_array_length(entry.heads::json)), 0)::int as messages
    from streams_from f
    join lateral (select l.lane, l.seq, l.heads from ingest_log l where l.stream = f.stream and l.seq > f.seq and l.lane >= 0) entry on true
    join cursors c on c.stream = f.stream and c.lane = entry.lane and entry.seq > c.seq`
  return row!.messages
}

/** Waits until the twins know all that they should: nothing pending, nothing under way. For figures that want a quiet machine. */
export async function quiet(sql: Sql, timeoutMs: number, say: (line: string) => void): Promise<void> {
  await workedOff(sql, timeoutMs, say)
  await decided(sql, '', timeoutMs, say)
}

/** The same of those twins alone whose device ids begin so, whatever is under way besides. */
export async function decided(sql: Sql, prefix: string, timeoutMs: number, say: (line: string) => void): Promise<void> {
  const until = performance.now() + timeoutMs
  let saidAt = performance.now()
  for (;;) {
    const [row] = await sql<Array<{ twins: number }>>`
      select count(*) as twins from twin_inbox i join devices d using (incarnation)
      where (pending is not null or sealed is not null) and d.device like ${`${prefix}%`}`
    if (row!.twins === 0) return
    if (performance.now() > until) throw new Error(`${row!.twins} twins still wait for what is in their inbox`)
    if (performance.now() - saidAt > SAY_EVERY_MS) {
      say(`  waiting for quiet: ${row!.twins} twins have something in their inbox`)
      saidAt = performance.now()
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}

/** Waits until all is worked off; returns the seconds. */
export async function workedOff(sql: Sql, timeoutMs: number, say: (line: string) => void): Promise<number> {
  const from = performance.now()
  let saidAt = from
  for (;;) {
    const left = await unprocessed(sql)
    const tookMs = performance.now() - from
    if (left === 0) return tookMs / 1000
    if (tookMs > timeoutMs) throw new Error(`${left} accepted messages are not processed after ${Math.round(tookMs / 1000)} s`)
    if (performance.now() - saidAt > SAY_EVERY_MS) {
      say(`  ${left} messages wait`)
      saidAt = performance.now()
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}
