/**
 * A whole Castor for the bench: `npm start` on free ports and an empty data folder, and the ways into it that the bench needs
 * (its Postgres, its processes by name). Nothing in it is tuned for the bench.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, type Sql } from '../../infra/postgres/connect.ts'
import { freePort } from '../support/free-port.ts'
import { namedProcesses } from './processes.ts'

export interface Castor {
  host: string
  mqttPort: number
  httpPort: number
  temporalAddress: string
  adminKey: string
  /** Its database; outside of every figure, for looking and for registering many devices at once. */
  sql: Sql
  /** Of a database beside Castor's own in the same server, for the floor. */
  floorUrl: string
  /** Roots of its process trees, by name. */
  pids(): Record<string, number>
  /** SIGKILL for all of them, then a start on the same data and ports. Resolves when it is ready. */
  killAndStart(): Promise<void>
  stop(): Promise<void>
}

const HOST = '127.0.0.1'
const START_MS = 300_000
const STOP_MS = 30_000
const FLOOR_DATABASE = 'bench_floor'

export async function startCastor(say: (line: string) => void, nodeOptions = ''): Promise<Castor> {
  const dataDir = mkdtempSync(join(tmpdir(), 'castor-bench-'))
  chmodSync(dataDir, 0o755) // Postgres runs as another user and must get through
  const [http, deviceHttp, mqtt, temporal, ui, pg] = await Promise.all(Array.from({ length: 6 }, freePort))
  const adminKey = randomBytes(24).toString('base64url')
  const settings = {
    NODE_OPTIONS: nodeOptions,
    CASTOR_DATA_DIR: dataDir,
    CASTOR_ADMIN_KEY: adminKey,
    CASTOR_HTTP_PORT: String(http),
    CASTOR_DEVICE_HTTP_PORT: String(deviceHttp),
    CASTOR_MQTT_PORT: String(mqtt),
    CASTOR_TEMPORAL_PORT: String(temporal),
    CASTOR_TEMPORAL_UI_PORT: String(ui),
    CASTOR_PG_PORT: String(pg),
    CASTOR_LOG: 'warn',
    // The bench receives them itself.
    CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true',
  }
  const removeData = () => rmSync(dataDir, { recursive: true, force: true })
  let main = await startMain(settings, http!).catch((error) => {
    removeData()
    throw error
  })
  const password = readFileSync(join(dataDir, 'postgres.password'), 'utf8')
  const url = (database: string) =>
    `postgres://castor:${password}@${HOST}:${pg}/${database}?host=${encodeURIComponent(join(dataDir, 'socket'))}`
  const sql = connect(url('castor'), { max: 4, name: 'bench', statementTimeoutMs: 120_000, transactionTimeoutMs: 0 })
  await sql.unsafe(`create database ${FLOOR_DATABASE}`)
  say(`Castor is up (data in ${dataDir})`)
  return {
    host: HOST,
    mqttPort: mqtt!,
    httpPort: http!,
    temporalAddress: `${HOST}:${temporal}`,
    adminKey,
    sql,
    floorUrl: url(FLOOR_DATABASE),
    pids: () => namedProcesses(main.child.pid!),
    async killAndStart() {
      for (const pid of Object.values(namedProcesses(main.child.pid!))) killIfThere(pid)
      await main.ended
      main = await startMain(settings, http!)
    },
    async stop() {
      await sql.end({ timeout: 5 })
      await stop(main)
      removeData()
    },
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended when another did.
  }
}

interface Main {
  child: ChildProcess
  ended: Promise<void>
}

/** Ready, or ended again. */
async function startMain(settings: NodeJS.ProcessEnv, httpPort: number): Promise<Main> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../../infra/processes/main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited(), ...settings },
  })
  const output = tail(child)
  // However the bench ends, its Castor ends too; it does so by itself, in order.
  const endToo = () => child.kill('SIGTERM')
  process.once('exit', endToo)
  child.once('exit', () => process.off('exit', endToo))
  const main = { child, ended: new Promise<void>((resolve) => child.once('exit', () => resolve())) }
  try {
    await ready(child, httpPort, output)
  } catch (error) {
    await stop(main)
    throw error
  }
  return main
}

/** Settings of a Castor that somebody else runs must not get in. */
function inherited(): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'XDG_CACHE_HOME', 'TEMPORAL_CLI_PATH', 'TMPDIR', 'LANG', 'USER']
  return Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
}

async function ready(child: ChildProcess, httpPort: number, output: () => string): Promise<void> {
  const until = Date.now() + START_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`Castor ended with ${child.exitCode} while it started:\n${output()}`)
    const response = await fetch(`http://${HOST}:${httpPort}/readyz`, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
    if (response?.ok) return
    if (Date.now() > until) throw new Error(`Castor was not ready within ${START_MS / 1000} s:\n${output()}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function stop({ child, ended }: Main): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(timer)
}

function tail(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text = (text + chunk).slice(-4000)))
  return () => text
}
