/**
 * REST as a process: migrates the database, makes the admin key's hash known, serves on CASTOR_HTTP_PORT. Keeps no state: it may run
 * many times. It needs Postgres alone; without Temporal everything but strong reads goes on.
 */
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import type { Logger } from 'pino'
import { createApp } from '../../api/app.ts'
import { LiveStreams } from '../../api/live/live.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { ConfigError } from '../config.ts'
import { createOutbound } from '../http/outbound.ts'
import { ensureAdminKey, findApiKey } from '../postgres/api-keys.ts'
import { createBulkChanges } from '../postgres/bulk-read.ts'
import { createCommands, forgetEndedCommands } from '../postgres/commands.ts'
import { connect, type Sql } from '../postgres/connect.ts'
import { findDeadLetter, listDeadLetters } from '../postgres/dead-letters.ts'
import { readDecisions } from '../postgres/history.ts'
import { forgetOldAnswers } from '../postgres/idempotency.ts'
import { postgresLiveStore } from '../postgres/live-log.ts'
import { migrate } from '../postgres/migrate.ts'
import { ensurePartitions } from '../postgres/partitions.ts'
import { createRegistry } from '../postgres/registry.ts'
import { answeredRequests, findRequest, insertRequest } from '../postgres/requests.ts'
import { readTelemetry } from '../postgres/telemetry-read.ts'
import { createTwins } from '../postgres/twins.ts'
import { createWebhooks } from '../postgres/webhooks.ts'
import { measureLive, measureOffered } from '../telemetry/live-metrics.ts'
import { createTwinWorkflows } from '../temporal/twin-query.ts'
import type { ProcessContext, RunningProcess } from './process.ts'

const DATABASE_CONNECTIONS = 8
const SEARCH_CONNECTIONS = 4
const LIVE_CONNECTIONS = 4
const STATEMENT_MS = 8_000
const PROBE_MS = 1_000
const PROBE_TIMEOUT_MS = 3_000
const HOUSEKEEPING_MS = 10 * 60_000
/** Of some thousand rows each, at a time. */
const HOUSEKEEPING_STEPS = 20
/** The supervisor gives the api 3 s; the database is closed after this. */
const FINISH_MS = 1_500
const MOST_CONNECTIONS = 10_000

export async function startApi({ config, log, health }: ProcessContext): Promise<RunningProcess> {
  if (!config.databaseUrl) throw new ConfigError('DATABASE_URL is not set: the api needs the Postgres that the other processes use.')
  const sql = connect(config.databaseUrl, {
    max: DATABASE_CONNECTIONS,
    name: 'api',
    statementTimeoutMs: STATEMENT_MS,
    lockTimeoutMs: 4_000,
  })
  const searches = connect(config.databaseUrl, {
    max: SEARCH_CONNECTIONS,
    name: 'api searches',
    statementTimeoutMs: STATEMENT_MS,
    genericPlans: true,
  })
  const liveSql = connect(config.databaseUrl, { max: LIVE_CONNECTIONS, name: 'api live', statementTimeoutMs: STATEMENT_MS })
  for (const name of await migrate(sql)) log.info({ migration: name }, 'Migrated the database')
  // Whoever registers a device writes an event.
  await ensurePartitions(sql, new Date())
  if (config.adminKey !== undefined) await ensureAdminKey(sql, config.adminKey)

  const address = config.temporalAddress ?? `${config.host}:${config.temporalPort}`
  const workflows = createTwinWorkflows({ address, namespace: config.temporalNamespace })
  const models = { find: (name: string) => modelOf(name), list: listModels }
  const live = new LiveStreams({ store: postgresLiveStore(liveSql), models, log, onOffered: measureOffered() })
  const outbound = createOutbound({ process: 'api', ...config.webhookNetworks })
  const app = createApp({
    registry: createRegistry(sql),
    twins: createTwins(sql, searches),
    history: { readings: (query) => readTelemetry(sql, query), decisions: (query) => readDecisions(sql, query) },
    commands: createCommands(sql),
    deadLetters: { list: (tenant, query) => listDeadLetters(sql, tenant, query), find: (tenant, id) => findDeadLetter(sql, tenant, id) },
    requests: {
      insert: (request) => insertRequest(sql, request),
      answered: (ids) => answeredRequests(sql, ids),
      find: (tenant, id) => findRequest(sql, tenant, id),
    },
    workflows,
    apiKeys: { find: (keyHash) => findApiKey(sql, keyHash) },
    models,
    live,
    bulkChanges: createBulkChanges(sql, (name) => modelOf(name)),
    webhooks: createWebhooks(sql),
    webhookSender: outbound,
    status: health,
    log,
  })

  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 65_000, connectionsCheckingInterval: 5_000 },
  }) as Server
  server.maxConnections = MOST_CONNECTIONS
  try {
    await listen(server, config.host, config.httpPort)
  } catch (error) {
    await Promise.all([live.stop(), sql.end({ timeout: 1 }), searches.end({ timeout: 1 }), liveSql.end({ timeout: 1 })])
    throw error
  }
  measureLive(live)
  const database = watchDatabase(sql)
  const housekeeping = setInterval(() => void keepHouse(sql, log), HOUSEKEEPING_MS)

  return {
    ready: database.ready,
    stop: async () => {
      clearInterval(housekeeping)
      database.stop()
      await Promise.all([close(server), live.stop()])
      outbound.close()
      await Promise.all([workflows.close(), sql.end({ timeout: 1 }), searches.end({ timeout: 1 }), liveSql.end({ timeout: 1 })])
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(taken ? new ConfigError(`CASTOR_HTTP_PORT: port ${port} on ${host} is taken. Stop what uses it, or choose another.`) : error)
    })
    server.listen(port, host, resolve)
  })
}

/** What is under way finishes; a client that keeps a connection busy does not hold us up. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), FINISH_MS)
    server.close(() => {
      clearTimeout(force)
      resolve()
    })
  })
}

/** Asks in the background, so that readiness is told without waiting. */
function watchDatabase(sql: Sql): { ready: () => true | string; stop(): void } {
  let answeredAt = Date.now()
  let asking = false
  const timer = setInterval(async () => {
    if (asking) return
    asking = true
    try {
      await sql`select 1`
      answeredAt = Date.now()
    } catch {
      // Told by its age.
    } finally {
      asking = false
    }
  }, PROBE_MS)
  return {
    ready: () => (Date.now() - answeredAt < PROBE_TIMEOUT_MS ? true : 'Postgres does not answer'),
    stop: () => clearInterval(timer),
  }
}

async function keepHouse(sql: Sql, log: Logger): Promise<void> {
  await ensurePartitions(sql, new Date()).catch((error: unknown) =>
    log.warn({ err: error }, 'No partitions could be made; tried again later'),
  )
  for (const [what, forget] of [
    ['idempotency keys', forgetOldAnswers],
    ['commands', forgetEndedCommands],
  ] as const) {
    try {
      for (let step = 0; step < HOUSEKEEPING_STEPS && (await forget(sql)) > 0; step++);
    } catch (error) {
      log.warn({ err: error, what }, 'What is old was not removed; tried again later')
    }
  }
}
