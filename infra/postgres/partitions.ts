/**
 * Partitions by time, made ahead of need. A row without a partition is refused by Postgres, so whoever inserts calls this at its
 * start and every few minutes. Idempotent, and safe when several processes do it at once. Names tell the start: `telemetry_20261121`,
 * `ingest_log_20261121t0610`.
 */
import type { Queries, Sql, Transaction } from './connect.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** Any number that nobody else locks. */
const PARTITION_LOCK = 7_204_811_002

export interface PartitionedTable {
  table: string
  /** Length of one partition. */
  stepMs: number
  /** How many there are before and after the one of now. */
  before: number
  after: number
}

export const PARTITIONED_TABLES: readonly PartitionedTable[] = [
  { table: 'ingest_log', stepMs: 10 * MINUTE_MS, before: 1, after: 12 },
  { table: 'telemetry', stepMs: DAY_MS, before: 8, after: 2 },
  { table: 'message_ids', stepMs: DAY_MS, before: 1, after: 2 },
  { table: 'dead_letters', stepMs: DAY_MS, before: 1, after: 2 },
  { table: 'twin_history', stepMs: 7 * DAY_MS, before: 1, after: 2 },
  { table: 'outbox', stepMs: DAY_MS, before: 1, after: 2 },
  { table: 'webhook_events', stepMs: DAY_MS, before: 1, after: 2 },
]

/** Makes what is missing around `now`; returns the names made. */
export async function ensurePartitions(sql: Sql, now: Date): Promise<string[]> {
  const wanted = PARTITIONED_TABLES.flatMap((table) => partitionsAround(table, now))
  // The usual case is that nothing is missing: look before taking any lock.
  if ((await missing(sql, wanted)).length === 0) return []
  const made: string[] = []
  for (const { table } of PARTITIONED_TABLES) {
    const ofTable = wanted.filter((partition) => partition.table === table)
    made.push(...(await sql.begin((tx) => makeMissing(tx, ofTable))))
  }
  return made
}

export interface Partition {
  name: string
  table: string
  from: Date
  /** Exclusive. */
  to: Date
}

export function partitionsAround({ table, stepMs, before, after }: PartitionedTable, now: Date): Partition[] {
  const current = startOf(stepMs, now)
  return Array.from({ length: before + 1 + after }, (_, i) => {
    const from = new Date(current + (i - before) * stepMs)
    return { name: partitionName(table, stepMs, from), table, from, to: new Date(from.getTime() + stepMs) }
  })
}

/** Start of the partition that holds `at`. Weeks begin on Monday: the epoch was a Thursday, four days off. */
function startOf(stepMs: number, at: Date): number {
  const offset = stepMs === 7 * DAY_MS ? 4 * DAY_MS : 0
  return Math.floor((at.getTime() - offset) / stepMs) * stepMs + offset
}

function partitionName(table: string, stepMs: number, from: Date): string {
  const [day, time] = [from.toISOString().slice(0, 10).replaceAll('-', ''), from.toISOString().slice(11, 16).replace(':', '')]
  return stepMs < DAY_MS ? `${table}_${day}t${time}` : `${table}_${day}`
}

/**
 * `create table … partition of` would lock the whole table against everybody; attaching one that is made first locks out only other
 * changes of the schema, so ingest goes on.
 */
async function makeMissing(tx: Transaction, wanted: Partition[]): Promise<string[]> {
  await tx`select pg_advisory_xact_lock(${PARTITION_LOCK}::bigint)`
  const toMake = await missing(tx, wanted)
  for (const { name, table, from, to } of toMake) {
    await tx.unsafe(`create table ${name} (like ${table} including defaults including constraints including indexes including storage)`)
    await tx.unsafe(`alter table ${table} attach partition ${name} for values from ('${from.toISOString()}') to ('${to.toISOString()}')`)
  }
  return toMake.map(({ name }) => name)
}

async function missing(sql: Queries, wanted: Partition[]): Promise<Partition[]> {
  // From the catalogue itself: to_regclass may answer from a cache that is older than the lock.
  const rows = await sql<Array<{ name: string }>>`
    select name from unnest(${wanted.map(({ name }) => name)}::text[]) as name
    where not exists (select from pg_class where relname = name and relnamespace = current_schema()::regnamespace)`
  const names = new Set(rows.map(({ name }) => name))
  return wanted.filter(({ name }) => names.has(name))
}
