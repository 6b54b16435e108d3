/**
 * A whole Castor for a test: `npm start` on free ports in a folder of its own, whose processes the test may kill.
 * Its embedded Postgres and Temporal run in sessions of their own, so `stop` makes sure that they are gone too.
 */
import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runningIn } from '../../infra/data-folder.ts'
import { connect, type Sql } from '../../infra/postgres/connect.ts'
import { identityOf, isAlive, type ProcessIdentity, stopProcess } from '../../infra/processes/identity.ts'
import { type RestClient, restClient } from './client.ts'
import { freePort } from './free-port.ts'
import { startProcess, type TestProcess } from './process.ts'
import { until } from './wait.ts'

export const CASTOR_PROCESSES = ['bridge', 'processor', 'worker', 'dispatcher', 'api', 'temporal', 'postgres', 'supervisor'] as const
export type CastorProcess = (typeof CASTOR_PROCESSES)[number]

export interface TestCastor {
  /** REST. */
  api: string
  deviceHttp: string
  mqttUrl: string
  mqttPort: number
  key: string
  /** As the test reaches it. */
  dataDir: string
  databaseUrl: string
  temporalAddress: string
  rest: RestClient
  /** A pool of its own, which survives a Postgres that is killed. */
  sql: Sql
  /** Registers a device and gives its token. */
  register(device: string, model?: string): Promise<string>
  /** What runs now, by name. */
  pids(): Promise<Partial<Record<CastorProcess, ProcessIdentity>>>
  /** SIGKILL unless told otherwise. A killed supervisor stays dead until `start`. False if that process was not there. */
  kill(name: CastorProcess, signal?: NodeJS.Signals): Promise<boolean>
  /** After the supervisor was killed. */
  start(): Promise<void>
  /** /readyz says that every process serves. */
  ready(timeoutMs?: number): Promise<void>
  output(): string
  /** In order; then whatever still lives is killed, and the folder removed unless it is to be kept. Its exit code. */
  stop(): Promise<number | null>
  removeData(): Promise<void>
}

export interface CastorOptions {
  env?: Record<string, string>
  /** The data folder stays after `stop`. */
  keepData?: boolean
  /** The data folder lies on a disk of its own that is so small, and goes with it: for a test that asked `missingSmallDisk`. */
  diskMegabytes?: number
}

const START_TIMEOUT_MS = 90_000

export async function startCastor({ env = {}, keepData = false, diskMegabytes }: CastorOptions = {}): Promise<TestCastor> {
  const folder = await mkdtemp(join(tmpdir(), 'castor-test-'))
  // Under root, Postgres runs as another user and must be able to get through.
  await chmod(folder, 0o711)
  const ports = await portsOf()
  const settings = { CASTOR_DATA_DIR: folder, ...ports, ...env }
  const api = `http://127.0.0.1:${ports.CASTOR_HTTP_PORT}`
  let supervisor: TestProcess = startProcess([], settings, diskMegabytes === undefined ? [] : onSmallDisk(folder, diskMegabytes))
  const disk = diskMegabytes === undefined ? undefined : await openSmallDisk(supervisor, folder)
  const dataDir = disk === undefined ? folder : `/proc/${process.pid}/fd/${disk}`

  async function ready(timeoutMs = START_TIMEOUT_MS): Promise<void> {
    try {
      await until(() => supervisor.exit !== undefined || isReady(api), 'Castor is ready', timeoutMs)
    } catch (cause) {
      throw new Error(`Castor is not ready. It said:\n${supervisor.output()}`, { cause })
    }
    if (supervisor.exit) throw new Error(`Castor ended with ${JSON.stringify(supervisor.exit)}. It said:\n${supervisor.output()}`)
  }

  async function pids(): Promise<Partial<Record<CastorProcess, ProcessIdentity>>> {
    const root = identityOf(supervisor.pid)
    return { ...(await runningIn(dataDir)), ...(root && !supervisor.exit && { supervisor: root }) }
  }

  async function removeData(): Promise<void> {
    if (disk !== undefined) closeSync(disk)
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }

  async function end(): Promise<number | null> {
    const code = supervisor.exit ? supervisor.exit.code : await supervisor.stop().catch(() => null)
    const left = Object.values(await pids()).filter((identity) => identity && isAlive(identity))
    await Promise.all(left.map((identity) => stopProcess(identity!, [{ signal: 'SIGKILL', waitMs: 5_000 }])))
    return code
  }

  try {
    await ready()
    const key = (await readFile(join(dataDir, 'admin.key'), 'utf8')).trim()
    const password = await readFile(join(dataDir, 'postgres.password'), 'utf8')
    const databaseUrl = `postgres://castor:${password.trim()}@127.0.0.1:${ports.CASTOR_PG_PORT}/castor`
    const sql = connect(databaseUrl, { max: 4, name: 'test', connectTimeoutMs: 2_000 })
    const rest = restClient(api, key)
    return {
      api,
      deviceHttp: `http://127.0.0.1:${ports.CASTOR_DEVICE_HTTP_PORT}`,
      mqttUrl: `mqtt://127.0.0.1:${ports.CASTOR_MQTT_PORT}`,
      mqttPort: Number(ports.CASTOR_MQTT_PORT),
      key,
      dataDir,
      databaseUrl,
      temporalAddress: `127.0.0.1:${ports.CASTOR_TEMPORAL_PORT}`,
      rest,
      sql,
      async register(device, model = 'thermostat') {
        const { status, body } = await rest('POST', '/v1/devices', { id: device, model })
        if (status !== 201) throw new Error(`Registering ${device}: status ${status} ${JSON.stringify(body)}`)
        return body.token
      },
      pids,
      async kill(name, signal = 'SIGKILL') {
        const identity = (await pids())[name]
        if (!identity || !isAlive(identity)) return false
        process.kill(identity.pid, signal)
        if (signal === 'SIGKILL') await until(() => !isAlive(identity), `${name} is gone`)
        return true
      },
      async start() {
        supervisor = startProcess([], settings)
      },
      ready,
      output: () => supervisor.output(),
      removeData,
      async stop() {
        await sql.end({ timeout: 1 })
        const code = await end()
        if (!keepData) await removeData()
        return code
      },
    }
  } catch (error) {
    await end()
    if (!keepData) await removeData()
    throw error
  }
}

/** In a mount namespace of its own: nobody else sees that disk, and it is gone with the last process that holds it. */
function onSmallDisk(folder: string, megabytes: number): string[] {
  const script = `mount -t tmpfs -o size=${megabytes}m,mode=711 castor-test "$0" && exec "$@"`
  return ['unshare', '--mount', 'sh', '-c', script, folder]
}

/** From outside a file descriptor leads there, and keeps it reachable until what outlives the supervisor has ended too. */
async function openSmallDisk(supervisor: TestProcess, folder: string): Promise<number> {
  const inside = `/proc/${supervisor.pid}/root${folder}`
  await until(() => supervisor.exit !== undefined || existsSync(join(inside, 'run')), 'Castor has its small disk')
  if (supervisor.exit) throw new Error(`There is no small disk. Castor said:\n${supervisor.output()}`)
  return openSync(inside, constants.O_RDONLY | constants.O_DIRECTORY)
}

async function isReady(api: string): Promise<boolean> {
  return (await fetch(`${api}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok
}

async function portsOf(): Promise<Record<string, string>> {
  const names = ['HTTP', 'DEVICE_HTTP', 'DEVICE_HTTPS', 'MQTT', 'MQTTS', 'TEMPORAL', 'TEMPORAL_UI', 'PG']
  const entries = await Promise.all(names.map(async (name) => [`CASTOR_${name}_PORT`, String(await freePort())]))
  return Object.fromEntries(entries)
}
