/**
 * The Temporal dev server, for `npm start` and the tests: the real server in one process, with its Web UI, keeping its data in one
 * SQLite file. In a session of its own, as embedded Postgres is (infra/postgres/embedded.ts), and for the same reasons.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { identityOf, isAlive, type ProcessIdentity, stopProcess } from '../processes/identity.ts'
import { SEARCH_ATTRIBUTES } from './client.ts'

const START_TIMEOUT_MS = 60_000
/** Far above what one machine reaches: Castor paces itself, by what Temporal answers. */
const REQUESTS_PER_SECOND = 100_000
/** One server: four partitions a queue would only hand tasks to each other. */
const PARTITIONS = ['matching.numTaskqueueReadPartitions=1', 'matching.numTaskqueueWritePartitions=1']
/** Without these SQLite syncs its file three times a transaction; the write-ahead log once, and is as durable. */
const PRAGMAS = ['journal_mode=WAL', 'synchronous=FULL']

export interface TemporalServerOptions {
  binary: string
  host: string
  port: number
  /** null: without Web UI. */
  uiPort: number | null
  /** null: in memory. */
  databaseFile: string | null
  namespace: string
  logFile: string
  /** Ends the start, with the server. */
  signal?: AbortSignal
  /** Called as soon as the process runs, before it is ready, so that its pid can be kept. */
  onSpawn?: (identity: ProcessIdentity) => Promise<void> | void
}

export interface TemporalServer {
  address: string
  identity: ProcessIdentity
  /** Resolves when the server ends, whoever ended it, with how it ended. */
  ended: Promise<string>
  stop(): Promise<void>
}

export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const log = openSync(options.logFile, 'a', 0o600)
  const child = spawn(options.binary, serverArguments(options), { detached: true, stdio: ['ignore', log, log] })
  closeSync(log)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ? `killed by ${signal}` : `exit status ${code}`))
    child.once('error', (error) => resolve(error.message))
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(new Error(`The Temporal server ${options.binary} cannot be run: ${error.message}`)))
  })
  const identity = identityOf(child.pid!)
  if (!identity) throw await startError(options)
  child.unref()
  try {
    await options.onSpawn?.(identity)
  } catch (error) {
    // What nobody knows of must not run: a later start would find its ports taken.
    await stopTemporalServer(identity)
    throw error
  }
  await listening(identity, options)
  return { address: `${options.host}:${options.port}`, identity, ended, stop: () => stopTemporalServer(identity) }
}

export async function stopTemporalServer(identity: ProcessIdentity): Promise<void> {
  await stopProcess(identity, [
    { signal: 'SIGTERM', waitMs: 5_000 },
    { signal: 'SIGKILL', waitMs: 3_000 },
  ])
}

function serverArguments(options: TemporalServerOptions): string[] {
  const limits = ['frontend.rps', 'frontend.namespaceRPS', 'frontend.globalNamespaceRPS', 'history.rps', 'matching.rps']
  const dynamic = [...limits.map((name) => `${name}=${REQUESTS_PER_SECOND}`), 'frontend.namespaceRPS.visibility=1000', ...PARTITIONS]
  return [
    'server',
    'start-dev',
    ...['--ip', options.host, '--port', String(options.port)],
    ...(options.uiPort === null ? ['--headless'] : ['--ui-ip', options.host, '--ui-port', String(options.uiPort)]),
    ...(options.databaseFile === null
      ? []
      : ['--db-filename', options.databaseFile, ...PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma])]),
    ...['--namespace', options.namespace],
    ...dynamic.flatMap((value) => ['--dynamic-config-value', value]),
    ...Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
    ...['--log-level', 'warn', '--log-format', 'json'],
    '--disable-config-file',
  ]
}

async function listening(identity: ProcessIdentity, options: TemporalServerOptions): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  while (!(await accepts(options.host, options.port))) {
    if (!isAlive(identity)) throw await startError(options)
    if (options.signal?.aborted) await stopTemporalServer(identity)
    options.signal?.throwIfAborted()
    if (performance.now() > end) {
      await stopTemporalServer(identity)
      throw new Error(`The Temporal server did not listen within ${START_TIMEOUT_MS / 1000} s; its log is ${options.logFile}.`)
    }
    await sleep(30)
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout: 1_000 })
    const answer = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
    socket.once('timeout', () => answer(false))
  })
}

async function startError({ logFile, port }: TemporalServerOptions): Promise<Error> {
  const log = await readFile(logFile, 'utf8').catch(() => '')
  return new Error(`The Temporal server (port ${port}) ended while starting; its log is ${logFile}:\n${log.trim().slice(-1_000)}`)
}
