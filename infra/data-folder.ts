/**
 * The data folder of `npm start`: one Castor at a time holds it. Keeps who was started there (`run/NAME.json`: pid and start time), so
 * that the next start first ends what a killed run left; the admin key; the logs.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from './config.ts'
import { stopEmbeddedPostgres } from './postgres/embedded.ts'
import { isAlive, type ProcessIdentity, stopProcess } from './processes/identity.ts'
import { tryLock } from './processes/lock-file.ts'
import { stopTemporalServer } from './temporal/server.ts'

export interface DataFolder {
  path: string
  /** `logs/NAME.log` below it. */
  logFile(name: string): string
  /** Keeps who runs under this name, for the next start. */
  started(name: string, identity: ProcessIdentity): Promise<void>
  ended(name: string): Promise<void>
  /** What was still running of an earlier start, and was stopped. */
  leftovers: string[]
  release(): Promise<void>
}

/** Locks the folder and ends what a dead run left; refuses one in use. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  await makeFolder(path)
  const lock = await tryLock(join(path, 'castor.lock'))
  if (!('release' in lock))
    throw new ConfigError(
      `The data folder ${path} is in use by a running Castor (process ${lock.heldBy.pid}). ` +
        'Stop that one, or set CASTOR_DATA_DIR (and other ports) for a second.',
    )
  try {
    await mkdir(join(path, 'logs'), { recursive: true, mode: 0o700 })
    await mkdir(join(path, 'run'), { recursive: true, mode: 0o700 })
    const leftovers = await stopLeftovers(path)
    return {
      path,
      logFile: (name) => join(path, 'logs', `${name}.log`),
      started: (name, identity) => writeWhole(runFile(path, name), JSON.stringify(identity)),
      ended: (name) => rm(runFile(path, name), { force: true }),
      leftovers,
      release: lock.release,
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Who was started in this folder and lives, by name. The supervisor itself is `supervisor`. */
export async function runningIn(path: string): Promise<Record<string, ProcessIdentity>> {
  const files = await readdir(join(path, 'run')).catch(() => [])
  const entries = await Promise.all(
    files
      .filter((file) => file.endsWith('.json'))
      .map(async (file) => [file.slice(0, -5), await readIdentity(join(path, 'run', file))] as const),
  )
  return Object.fromEntries(entries.filter((entry): entry is [string, ProcessIdentity] => entry[1] !== null && isAlive(entry[1])))
}

/** The platform operator's key: CASTOR_ADMIN_KEY, else the one in `admin.key`, made once. */
export async function adminKey(path: string, given: string | undefined): Promise<{ key: string; place: string }> {
  if (given !== undefined) return { key: given, place: 'CASTOR_ADMIN_KEY' }
  const file = join(path, 'admin.key')
  const kept = await readFile(file, 'utf8').catch(() => '')
  if (kept.trim() !== '') return { key: kept.trim(), place: file }
  await makeFolder(path)
  const key = `castor_${randomBytes(24).toString('base64url')}`
  await writeWhole(file, `${key}\n`)
  return { key, place: file }
}

/** The processes first, so that they can still finish with the servers; Postgres last. */
async function stopLeftovers(path: string): Promise<string[]> {
  const left = await runningIn(path)
  const names = Object.keys(left)
  const children = names.filter((name) => name !== 'temporal' && name !== 'postgres')
  await Promise.all(
    children.map((name) =>
      stopProcess(left[name]!, [
        { signal: 'SIGTERM', waitMs: 3_000 },
        { signal: 'SIGKILL', waitMs: 3_000 },
      ]),
    ),
  )
  if (left.temporal) await stopTemporalServer(left.temporal)
  if (left.postgres) await stopEmbeddedPostgres(left.postgres)
  await Promise.all((await readdir(join(path, 'run'))).map((file) => rm(join(path, 'run', file), { force: true })))
  return names
}

/** Under root, Postgres runs as another user, which must be able to get through the folder. */
async function makeFolder(path: string): Promise<void> {
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700
  if (existsSync(path)) return
  await mkdir(path, { recursive: true })
  await chmod(path, mode)
}

const runFile = (path: string, name: string) => join(path, 'run', `${name}.json`)

/** Nobody ever reads half a file. */
async function writeWhole(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

async function readIdentity(file: string): Promise<ProcessIdentity | null> {
  try {
    const { pid, started } = JSON.parse(await readFile(file, 'utf8'))
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null
  } catch {
    return null
  }
}
