/**
 * The servers that all tests of a run share: one embedded Postgres, one Temporal dev server. Runs once, beside the test workers
 * (vitest globalSetup). A worker asks over HTTP (tests/support/{postgres,temporal}.ts), and the first question starts the server, so
 * that a run of pure tests starts none. The reaper takes them down, also when the run itself is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { readConfig } from '../../infra/config.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { startEmbeddedPostgres } from '../../infra/postgres/embedded.ts'
import { migrate } from '../../infra/postgres/migrate.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import type { ProcessIdentity } from '../../infra/processes/identity.ts'
import { temporalBinary } from '../../infra/temporal/binary.ts'
import { startTemporalServer } from '../../infra/temporal/server.ts'
import { freePort } from './free-port.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where to ask for servers. */
    testServers: string
  }
}

export interface PostgresServer {
  /** Of the database `postgres`. */
  url: string
  /** A migrated database to copy. */
  template: string
}

export interface TemporalServer {
  address: string
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const reaper = startReaper()
  const starters: Record<string, () => Promise<unknown>> = {
    '/postgres': once(() => startPostgres(reaper)),
    '/temporal': once(() => startTemporal(reaper)),
  }
  const server = createServer(async (request, response) => {
    try {
      const start = starters[request.url ?? '']
      if (!start) throw new Error(`no such server: ${request.url}`)
      response.end(JSON.stringify(await start()))
    } catch (error) {
      response.writeHead(500).end((error as Error).stack)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  project.provide('testServers', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return async () => {
    server.close()
    server.closeAllConnections()
    await reaper.finish()
  }
}

async function startPostgres(reaper: Reaper): Promise<PostgresServer> {
  const dataDir = await temporaryFolder(reaper, 'castor-test-postgres-')
  const { url } = await startEmbeddedPostgres({
    dataDir,
    port: await freePort(),
    logFile: join(dataDir, 'postgres.log'),
    durable: false,
    onSpawn: (identity) => reaper.process(identity, 'SIGQUIT'),
  })
  const template = connect(url, { max: 1, name: 'test template' })
  await migrate(template)
  await ensurePartitions(template, new Date())
  await template.end()
  return { url: databaseUrl(url, 'postgres'), template: 'castor' }
}

async function startTemporal(reaper: Reaper): Promise<TemporalServer> {
  const config = readConfig()
  const binary = await temporalBinary({ cliPath: config.temporalCliPath, cacheDir: config.cacheDir, say: (line) => console.log(line) })
  const folder = await temporaryFolder(reaper, 'castor-test-temporal-')
  const { address } = await startTemporalServer({
    binary,
    host: '127.0.0.1',
    port: await freePort(),
    uiPort: null,
    databaseFile: null,
    namespace: 'default',
    logFile: join(folder, 'temporal.log'),
    onSpawn: (identity) => reaper.process(identity, 'SIGKILL'),
  })
  return { address }
}

/** A URL of another database on the same server. */
export function databaseUrl(url: string, database: string): string {
  const other = new URL(url)
  other.pathname = `/${database}`
  return other.href
}

async function temporaryFolder(reaper: Reaper, prefix: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), prefix))
  // Under root, Postgres runs as another user and must be able to get through.
  await chmod(folder, 0o711)
  reaper.folder(folder)
  return folder
}

interface Reaper {
  process(identity: ProcessIdentity, signal: NodeJS.Signals): void
  folder(path: string): void
  /** Ends what it was told of, and itself. */
  finish(): Promise<void>
}

/** A process in a session of its own that waits for the end of its input: however this run ends, its servers end too. */
function startReaper(): Reaper {
  const file = join(import.meta.dirname, 'reaper.ts')
  const child: ChildProcess = spawn(process.execPath, [file], { detached: true, stdio: ['pipe', 'ignore', 'inherit'] })
  child.unref()
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const tell = (what: object) => void child.stdin!.write(`${JSON.stringify(what)}\n`)
  return {
    process: (identity, signal) => tell({ identity, signal }),
    folder: (folder) => tell({ folder }),
    finish: async () => {
      child.ref()
      child.stdin!.end()
      await ended
    },
  }
}

function once<T>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined
  return () => (started ??= start())
}
