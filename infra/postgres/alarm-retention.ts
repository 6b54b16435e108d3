/** How long alarms are kept: for 90 days after they were cleared. One that is open is kept for as long as it is. */
import type { Sql } from './connect.ts'

const ROWS_PER_RUN = 20_000

export async function deleteClearedAlarms(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from alarms where (incarnation, n) in (
      select incarnation, n from alarms where cleared_at < ${now}::timestamptz - interval '90 days'
      order by cleared_at limit ${ROWS_PER_RUN})`
  return count
}
