/** What of rollouts goes with time: a year after they ended, first their devices, piece by piece, then they themselves. */
import type { Sql } from './connect.ts'

const KEPT = '365 days'
const ROWS_PER_RUN = 20_000

export async function deleteEndedRollouts(sql: Sql, now: Date): Promise<number> {
  const [rollout] = await sql<Array<{ id: string }>>`
    select id from rollouts where ended_at < ${now}::timestamptz - ${KEPT}::text::interval order by number limit 1`
  if (!rollout) return 0
  const targets = await sql`
    delete from rollout_targets where rollout = ${rollout.id} and (back, number) in (
      select back, number from rollout_targets where rollout = ${rollout.id} limit ${ROWS_PER_RUN})`
  if (targets.count === ROWS_PER_RUN) return targets.count
  const { count } = await sql`delete from rollouts where id = ${rollout.id}`
  return targets.count + count
}
