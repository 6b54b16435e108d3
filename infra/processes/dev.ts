/**
 * `npm start`: everything on one machine, under one supervisor. Embedded Postgres and the Temporal dev server, unless DATABASE_URL and
 * TEMPORAL_ADDRESS name outer ones; then bridge, processor, worker, dispatcher and api, each a process of its own.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Config, ConfigError, readConfig } from '../config.ts'
import { adminKey, type DataFolder, openDataFolder } from '../data-folder.ts'
import { boundLogFile, createLog, type LogEntry, terminalLine } from '../log.ts'
import { connect } from '../postgres/connect.ts'
import { migrate } from '../postgres/migrate.ts'
import { ensurePartitions } from '../postgres/partitions.ts'
import { temporalBinary } from '../temporal/binary.ts'
import { connectTemporal, prepareTemporal } from '../temporal/client.ts'
import type { Readiness } from './health.ts'
import { identityOf } from './identity.ts'
import { postgresPart, processPart, temporalPart } from './parts.ts'
import { choosePorts, freePort, requireFreePorts, urlHost } from './ports.ts'
import { PROCESS_NAMES, type ProcessName } from './process.ts'
import { Supervisor } from './supervisor.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** Accept nothing new, answer what was asked, finish what is under way; then what they all stand on. */
const STOP_ORDER = ['bridge', 'api', 'processor', 'dispatcher', 'worker', 'temporal', 'postgres']
const STOP_MS: Record<ProcessName, number> = { bridge: 5_000, api: 3_000, processor: 4_000, dispatcher: 4_000, worker: 4_000 }
/** A signal to the whole group reaches the supervisor too: so long a process's own waits for it. */
const GROUP_SIGNAL_MS = 500
const LOG_CHECK_MS = 60_000
const READY_POLL_MS = 100
/** So long nobody needs to know what is waited for. */
const SAY_WAITING_MS = 15_000

export async function runDev(): Promise<void> {
  const config = readConfig()
  const terminal = createTerminal()
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (!stopping.signal.aborted) terminal.say('Stopping')
      stopping.abort()
    })
  const folder = await openDataFolder(config.dataDir)
  let code = 0
  const dev = createDev(config, folder, terminal, stopping.signal)
  const told = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve())
    if (stopping.signal.aborted) resolve()
  })
  const start = dev.start().catch((error: Error) => {
    if (stopping.signal.aborted) return
    code = 1
    terminal.say(error instanceof ConfigError ? error.message : `Castor could not start: ${error.message}`)
    stopping.abort()
  })
  // Told to end while it starts, it does not finish starting.
  await Promise.race([start.then(() => told), told])
  await dev.stop()
  await folder.release()
  if (code === 0) terminal.say('Stopped')
  process.exit(code)
}

function createDev(config: Config, folder: DataFolder, terminal: Terminal, stopping: AbortSignal) {
  const log = createLog({ name: 'supervisor', level: config.logLevel, file: folder.logFile('supervisor') })
  const supervisor = new Supervisor({
    say: (line) => {
      log.warn(line)
      terminal.say(line)
    },
    onStarted: (name, identity) => folder.started(name, identity),
    onEnded: (name) => folder.ended(name),
  })
  const logCheck = setInterval(() => void boundLogs(config.dataDir), LOG_CHECK_MS)
  return { start, stop }

  async function start(): Promise<void> {
    await folder.started('supervisor', identityOf(process.pid)!)
    if (folder.leftovers.length > 0) terminal.say(`An earlier run was killed; ended what it left: ${folder.leftovers.join(', ')}`)
    const ports = await choosePorts(config)
    await requireFreePorts(ports)
    const { key, place } = await adminKey(config.dataDir, config.adminKey)
    if (ports.webhookNetworks.allowPrivate)
      terminal.say('CASTOR_WEBHOOK_ALLOW_PRIVATE is set: webhooks may go to private addresses, and over http')
    const temporal = startTemporal(ports)
    // Its failure is told where it is awaited.
    temporal.catch(() => {})
    const databaseUrl = await startPostgres(ports)
    const temporalAddress = ports.temporalAddress ?? `${ports.host}:${ports.temporalPort}`
    const env = await processEnvironment(ports, { databaseUrl, temporalAddress, key })
    // Only the worker needs Temporal's namespace and search attributes; without Temporal the others wait, or go on without.
    await Promise.all(
      PROCESS_NAMES.map(async (name) => {
        if (name === 'worker') await temporal
        await startProcess(name, env)
      }),
    )
    await ready(ports)
    if (!stopping.aborted) terminal.banner(ports, place)
  }

  async function stop(): Promise<void> {
    clearInterval(logCheck)
    await supervisor.stop(STOP_ORDER)
    await folder.ended('supervisor')
  }

  async function startPostgres(ports: Config): Promise<string> {
    let url = ports.databaseUrl
    if (!url) {
      const options = { dataDir: ports.dataDir, port: ports.pgPort, logFile: folder.logFile('postgres'), say: terminal.say }
      const onSpawn = (identity: Parameters<DataFolder['started']>[1]) => folder.started('postgres', identity)
      await supervisor.run(postgresPart({ ...options, onSpawn }, (value) => (url = value)))
    }
    const sql = connect(url!, { max: 1, name: 'migrate' })
    try {
      const applied = await migrate(sql)
      if (applied.length > 0) log.info({ applied }, 'Migrated the database')
      await ensurePartitions(sql, new Date())
    } finally {
      await sql.end({ timeout: 1 })
    }
    return url!
  }

  async function startTemporal(ports: Config): Promise<void> {
    if (!ports.temporalAddress) {
      const { temporalCliPath: cliPath, cacheDir } = ports
      // The server makes its files for all to read; the folder is for nobody else.
      const databaseFolder = join(ports.dataDir, 'temporal')
      await mkdir(databaseFolder, { recursive: true, mode: 0o700 })
      const binary = await temporalBinary({ cliPath, cacheDir, say: terminal.say, signal: stopping })
      await supervisor.run(
        temporalPart({
          binary,
          host: ports.host,
          port: ports.temporalPort,
          uiPort: ports.temporalUiPort,
          databaseFile: join(databaseFolder, 'temporal.db'),
          namespace: ports.temporalNamespace,
          logFile: folder.logFile('temporal'),
          onSpawn: (identity) => folder.started('temporal', identity),
        }),
      )
    }
    const connection = await connectTemporal(ports.temporalAddress ?? `${ports.host}:${ports.temporalPort}`)
    try {
      await prepareTemporal(connection, ports.temporalNamespace)
    } finally {
      await connection.close()
    }
  }

  function startProcess(name: ProcessName, env: (name: ProcessName) => Record<string, string>): Promise<void> {
    const part = processPart({
      name,
      env: env(name),
      logFile: folder.logFile(name),
      stopMs: STOP_MS[name],
      note: (entry: LogEntry) => terminal.note(terminalLine(entry)),
      onSignalled: (signalled) => setTimeout(() => !stopping.aborted && void supervisor.restart(signalled), GROUP_SIGNAL_MS),
    })
    return supervisor.run(part)
  }

  async function ready(ports: Config): Promise<void> {
    const url = `http://${urlHost(ports.host)}:${ports.httpPort}/readyz`
    let sayAt = performance.now() + SAY_WAITING_MS
    while (!stopping.aborted) {
      const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => null)
      const readiness = (await answer?.json().catch(() => null)) as Readiness | null | undefined
      if (answer?.ok) return
      if (performance.now() > sayAt) {
        sayAt += SAY_WAITING_MS
        const waiting = Object.entries(readiness?.processes ?? { api: 'it does not answer' }).filter(([, why]) => why !== true)
        terminal.say(`Waiting for ${waiting.map(([name, why]) => `${name} (${why})`).join(', ')}`)
      }
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS))
    }
  }
}

interface Shared {
  databaseUrl: string
  temporalAddress: string
  key: string
}

/** What each process gets beside our own environment. */
async function processEnvironment(ports: Config, shared: Shared): Promise<(name: ProcessName) => Record<string, string>> {
  const health = new Map<ProcessName, number>()
  for (const name of PROCESS_NAMES) health.set(name, await freePort(ports.host))
  const peers = [...health].map(([name, port]) => `${name}=http://${urlHost(ports.host)}:${port}`).join(',')
  return (name) => ({
    CASTOR_DATA_DIR: ports.dataDir,
    CASTOR_HTTP_PORT: String(ports.httpPort),
    CASTOR_DEVICE_HTTP_PORT: String(ports.deviceHttpPort),
    CASTOR_MQTT_PORT: String(ports.mqttPort),
    CASTOR_TEMPORAL_PORT: String(ports.temporalPort),
    CASTOR_TEMPORAL_UI_PORT: String(ports.temporalUiPort),
    CASTOR_HEALTH_PORT: String(health.get(name)),
    CASTOR_PEERS: peers,
    ...(name === 'api' && { CASTOR_ADMIN_KEY: shared.key }),
    DATABASE_URL: shared.databaseUrl,
    TEMPORAL_ADDRESS: shared.temporalAddress,
  })
}

async function boundLogs(dataDir: string): Promise<void> {
  const folder = join(dataDir, 'logs')
  for (const file of await readdir(folder).catch(() => []))
    if (file.endsWith('.log')) await boundLogFile(join(folder, file)).catch(() => {})
}
