/**
 * Partitions as they stand, and how they go. Dropping one outright would lock its whole table against everybody; detaching it
 * concurrently first locks out only other changes of the schema, so ingest and reading go on.
 */
import type { Sql } from './connect.ts'
import { PARTITIONED_TABLES } from './partitions.ts'

export interface ExistingPartition {
  table: string
  name: string
  /** Epoch ms. */
  from: number
  /** Epoch ms, exclusive. */
  to: number
  /** With indexes and TOAST. */
  bytes: number
}

/** Oldest first. */
export async function listPartitions(sql: Sql, table: string): Promise<ExistingPartition[]> {
  return await sql<ExistingPartition[]>`
    select ${table} as table, name, (extract(epoch from bounds[1]::timestamptz) * 1000)::float8 as from,
      (extract(epoch from bounds[2]::timestamptz) * 1000)::float8 as to, pg_total_relation_size(oid)::float8 as bytes
    from (
      select c.oid, c.relname as name,
        regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''([^'']+)''[)] TO [(]''([^'']+)''[)]') as bounds
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ${table}::regclass and not i.inhdetachpending
    ) as partition
    order by 3`
}

/** Not inside a transaction. It may end halfway, when somebody holds on to the partition for long: `finishDrops` goes on with it. */
export async function dropPartition(sql: Sql, { table, name }: Pick<ExistingPartition, 'table' | 'name'>): Promise<void> {
  await sql`alter table ${sql(table)} detach partition ${sql(name)} concurrently`.simple()
  await sql`drop table ${sql(name)}`.simple()
}

/** Finishes what an earlier run began: partitions half detached, and detached ones that still stand. Returns their names. */
export async function finishDrops(sql: Sql): Promise<string[]> {
  const pending = await sql<Array<{ table: string; name: string }>>`
    select inhparent::regclass::text as table, inhrelid::regclass::text as name from pg_inherits where inhdetachpending`
  for (const { table, name } of pending) await sql`alter table ${sql(table)} detach partition ${sql(name)} finalize`.simple()
  // Partitions are attached in the transaction that makes them (partitions.ts), so a table of such a name that is none was detached.
  const detached = await sql<Array<{ name: string }>>`
    select relname as name from pg_class
    where relkind = 'r' and not relispartition and relnamespace = current_schema()::regnamespace
      and regexp_replace(relname, '_[0-9]{8}(t[0-9]{4})?$', '') in (select unnest(${PARTITIONED_TABLES.map(({ table }) => table)}::text[]))
      and relname ~ '_[0-9]{8}(t[0-9]{4})?$'`
  for (const { name } of detached) await sql`drop table ${sql(name)}`.simple()
  return detached.map(({ name }) => name)
}
