/**
 * What of predictions goes with time: after 90 days, or two years where somebody said what became of the device, since that is what a model is
 * judged and trained by. Rules ask as often as devices give reason to, so the table is bounded by bytes too; then those without an outcome go first.
 */
import type { Sql } from './connect.ts'

const KEPT = '90 days'
const KEPT_WITH_OUTCOME = '730 days'
const ROWS_PER_RUN = 20_000
/** Rows that are measured. */
const SAMPLE = 1_000
/** Of a row in its indexes, about. */
const INDEX_BYTES = 400

export async function deleteOldPredictions(sql: Sql, now: Date): Promise<number> {
  const { count } = await sql`
    delete from predictions where id in (
      select id from predictions
      where asked_at < ${now}::timestamptz - ${KEPT}::text::interval
        and (outcome is null or asked_at < ${now}::timestamptz - ${KEPT_WITH_OUTCOME}::text::interval)
      order by asked_at limit ${ROWS_PER_RUN})`
  return count
}

/** Rows times their size as the newest have it, and not what the table takes on the disk: space that is free in it is used again. */
export async function deletePredictionsBySize(sql: Sql, limit: number): Promise<number> {
  const [{ rows, bytes }] = await sql<[{ rows: number; bytes: number }]>`
    select (select n_live_tup::float8 from pg_stat_user_tables where relid = 'predictions'::regclass) as rows,
      (select coalesce(avg(pg_column_size(p.*)), 0)::float8 from (select * from predictions order by asked_at desc limit ${SAMPLE}) p) + ${INDEX_BYTES} as bytes`
  const excess = Math.ceil(rows - limit / bytes)
  if (excess <= 0) return 0
  const most = Math.min(excess, ROWS_PER_RUN)
  return (await deleteOldest(sql, most, false)) || (await deleteOldest(sql, most, true))
}

async function deleteOldest(sql: Sql, most: number, withOutcome: boolean): Promise<number> {
  const { count } = await sql`
    delete from predictions where id in (
      select id from predictions where status <> 'waiting' and (outcome is not null) = ${withOutcome} order by asked_at limit ${most})`
  return count
}
