/**
 * Forward-only numbered migrations: infra/postgres/migrations/NNNN_what.sql, each applied once, in order, each in a transaction of
 * its own. A process refuses a schema newer than it knows: an older program must not write into tables that it does not understand.
 */
import { readdir, readFile } from 'node:fs/promises'
import type { Queries, Sql } from './connect.ts'

/** Any number that nobody else locks. */
const MIGRATION_LOCK = 7_204_811_001
const FOLDER = new URL('./migrations/', import.meta.url)

export interface Migration {
  version: number
  name: string
  text: string
}

/** Applies what is missing and returns the names applied. Safe when several processes call it at once. */
export async function migrate(sql: Sql, migrations?: Migration[]): Promise<string[]> {
  const known = migrations ?? (await readMigrations())
  const connection = await sql.reserve()
  try {
    await connection`select set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false),
      set_config('transaction_timeout', '0', false)`
    await connection`select pg_advisory_lock(${MIGRATION_LOCK}::bigint)`
    await connection`create table if not exists schema_migrations (
      version integer primary key, name text not null, applied_at timestamptz not null default now())`
    const current = await schemaVersion(connection)
    refuseNewer(current, known)
    const missing = known.filter((migration) => migration.version > current)
    for (const migration of missing) await apply(connection, migration)
    return missing.map((migration) => migration.name)
  } finally {
    // The settings and the lock belong to the session: both end here, also after a failure.
    await connection`select pg_advisory_unlock_all()`.catch(() => {})
    await connection.unsafe('reset all').catch(() => {})
    connection.release()
  }
}

/** For a process that does not migrate: refuses a schema that is older or newer than what this program was written for. */
export async function checkSchema(sql: Queries, migrations?: Migration[]): Promise<void> {
  const known = migrations ?? (await readMigrations())
  const [table] = await sql<Array<{ found: boolean }>>`select to_regclass('schema_migrations') is not null as found`
  const current = table?.found ? await schemaVersion(sql) : 0
  refuseNewer(current, known)
  const newest = known.at(-1)?.version ?? 0
  if (current < newest)
    throw new Error(`The database schema is at version ${current}, this Castor needs ${newest}. Start a process that migrates (api) first.`)
}

export async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(FOLDER)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort()
  return Promise.all(
    files.map(async (name) => ({ version: Number(name.slice(0, 4)), name, text: await readFile(new URL(name, FOLDER), 'utf8') })),
  )
}

async function schemaVersion(sql: Queries): Promise<number> {
  const [row] = await sql<Array<{ version: number }>>`select coalesce(max(version), 0) as version from schema_migrations`
  return row!.version
}

function refuseNewer(current: number, known: Migration[]): void {
  const newest = known.at(-1)?.version ?? 0
  if (current > newest)
    throw new Error(
      `The database schema is at version ${current}, but this Castor knows only up to ${newest}. ` +
        'Run the newer Castor that made it, or restore a backup from before.',
    )
}

async function apply(sql: Queries, migration: Migration): Promise<void> {
  try {
    await sql.unsafe('begin')
    await sql.unsafe(migration.text)
    await sql`insert into schema_migrations (version, name) values (${migration.version}, ${migration.name})`
    await sql.unsafe('commit')
  } catch (error) {
    await sql.unsafe('rollback').catch(() => {})
    throw new Error(`Migration ${migration.name} failed and changed nothing: ${(error as Error).message}`, { cause: error })
  }
}
