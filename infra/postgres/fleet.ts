/** How the fleet is, in three numbers. */
import type { Sql } from './connect.ts'

export interface Fleet {
  registered: number
  online: number
  /** Not seen for a day, and registered for longer than that. */
  inactive: number
}

/** One pass over the devices: some 100 ms for 100,000. */
export async function readFleet(sql: Sql, now: number): Promise<Fleet> {
  const dayAgo = now - 86_400_000
  const [row] = await sql<[Fleet]>`
    select count(*)::int as registered,
      (count(*) filter (where d.decided -> 'presence' ->> 'status' = 'online'))::int as online,
      (count(*) filter (where coalesce(i.last_seen, 0) < ${dayAgo} and d.created_at < to_timestamp(${dayAgo}::float8 / 1000)))::int as inactive
    from devices d left join twin_inbox i using (incarnation)`
  return row
}
