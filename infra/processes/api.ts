/**
 * REST as a process: migrates the database, makes the admin key's hash known, serves on CASTOR_HTTP_PORT. Keeps no state: it may run
 * many times. It needs Postgres alone; without Temporal everything but strong reads goes on.
 */
import type { Server } from 'node:http'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { createApp } from '../../api/app.ts'
import { UPLOAD_MS } from '../../api/http/firmware-upload.ts'
import { LiveStreams } from '../../api/live/live.ts'
import { createSend } from '../../api/notify/send.ts'
import { listModels, modelOf } from '../../twin-models/devices/index.ts'
import { ConfigError } from '../config.ts'
import { createFolderStore } from '../firmware/folder-store.ts'
import { limitBodies } from '../http/body-deadline.ts'
import { createOutbound } from '../http/outbound.ts'
import { createPredictionTester } from '../inference/tester.ts'
import { quietLog } from '../log.ts'
import { createMailer } from '../mail/mailer.ts'
import { createAlarms } from '../postgres/alarms.ts'
import { ensureAdminKey, findApiKey } from '../postgres/api-keys.ts'
import { createBulkChanges } from '../postgres/bulk-read.ts'
import { createCommands } from '../postgres/commands.ts'
import { connect, type Sql } from '../postgres/connect.ts'
import { findDeadLetter, listDeadLetters } from '../postgres/dead-letters.ts'
import { listDirectorKeys } from '../postgres/director-keys.ts'
import { createFirmware } from '../postgres/firmware.ts'
import { createGroups } from '../postgres/groups.ts'
import { readDecisions } from '../postgres/history.ts'
import { postgresLiveStore } from '../postgres/live-log.ts'
import { migrate } from '../postgres/migrate.ts'
import { createNotices } from '../postgres/notices.ts'
import { ensurePartitions } from '../postgres/partitions.ts'
import { createPredictionModels } from '../postgres/prediction-models.ts'
import { createPredictions } from '../postgres/predictions.ts'
import { createRegistry } from '../postgres/registry.ts'
import { createReleaseKeys } from '../postgres/release-keys.ts'
import { answeredRequests, findRequest, insertRequest } from '../postgres/requests.ts'
import { createRollouts } from '../postgres/rollout-read.ts'
import { createRuleActions } from '../postgres/rule-actions.ts'
import { createRuleHistory } from '../postgres/rule-history.ts'
import { createRules } from '../postgres/rules.ts'
import { createTargets } from '../postgres/targets.ts'
import { readTelemetry } from '../postgres/telemetry-read.ts'
import { findTicketLink } from '../postgres/ticket-links.ts'
import { createTickets } from '../postgres/ticket-read.ts'
import { createTwins } from '../postgres/twins.ts'
import { createUpdates } from '../postgres/updates.ts'
import { createWebhooks } from '../postgres/webhooks.ts'
import { measureLive, measureOffered } from '../telemetry/live-metrics.ts'
import { createTwinWorkflows } from '../temporal/twin-query.ts'
import { keepHouse } from './api-housekeeping.ts'
import type { ProcessContext, RunningProcess } from './process.ts'

const DATABASE_CONNECTIONS = 8
const SEARCH_CONNECTIONS = 4
const LIVE_CONNECTIONS = 4
/** Each may look at a million devices. */
const PREVIEW_CONNECTIONS = 2
const STATEMENT_MS = 8_000
const PROBE_MS = 1_000
const PROBE_TIMEOUT_MS = 3_000
/** The supervisor gives the api 3 s; the database is closed after this. */
const FINISH_MS = 1_500
const MAIL_LOG_EVERY_MS = 60_000
const MOST_CONNECTIONS = 10_000
/** Until a request's body is there; uploads of firmware have UPLOAD_MS. */
const BODY_MS = 30_000

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
  const previewSql = connect(config.databaseUrl, { max: PREVIEW_CONNECTIONS, name: 'api previews', lockTimeoutMs: 4_000 })
  const liveSql = connect(config.databaseUrl, { max: LIVE_CONNECTIONS, name: 'api live', statementTimeoutMs: STATEMENT_MS })
  const disconnect = () => [sql, searches, previewSql, liveSql].map((pool) => pool.end({ timeout: 1 }))
  for (const name of await migrate(sql)) log.info({ migration: name }, 'Migrated the database')
  // Whoever registers a device writes an event.
  await ensurePartitions(sql, new Date())
  if (config.adminKey !== undefined) await ensureAdminKey(sql, config.adminKey)

  const address = config.temporalAddress ?? `${config.host}:${config.temporalPort}`
  const workflows = createTwinWorkflows({ address, namespace: config.temporalNamespace })
  const models = { find: (name: string) => modelOf(name), list: listModels }
  const live = new LiveStreams({ store: postgresLiveStore(liveSql), models, log, onOffered: measureOffered() })
  const outbound = createOutbound({ process: 'api', ...config.webhookNetworks })
  const questions = createOutbound({ process: 'api', what: 'requests for predictions', ...config.webhookNetworks })
  const mailTrouble = quietLog(log, MAIL_LOG_EVERY_MS)
  const mailer = createMailer({
    url: config.smtpUrl,
    from: config.smtpFrom,
    trouble: (error) => mailTrouble(error, 'An e-mail could not be sent'),
  })
  const firmwareStore = createFolderStore(join(config.dataDir, 'firmware'))
  const app = createApp({
    registry: createRegistry(sql),
    twins: createTwins(sql, searches),
    history: { readings: (query) => readTelemetry(sql, query), decisions: (query) => readDecisions(sql, query) },
    commands: createCommands(sql),
    alarms: createAlarms(sql),
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
    firmware: createFirmware(sql),
    firmwareStore,
    releaseKeys: createReleaseKeys(sql),
    directorKeys: { list: () => listDirectorKeys(sql) },
    groups: createGroups(sql),
    updates: createUpdates(sql),
    rules: createRules(sql),
    ruleHistory: createRuleHistory(previewSql),
    rollouts: createRollouts(sql, previewSql),
    ruleActions: createRuleActions(sql),
    predictionModels: createPredictionModels(sql),
    predictions: createPredictions(sql),
    predictionTester: createPredictionTester({ sql, outbound: questions, models: modelOf }),
    targets: createTargets(sql),
    notices: createNotices(sql),
    mailer,
    sendNotices: createSend({ sender: outbound, mailer, publicUrl: config.publicUrl }),
    tickets: createTickets(sql),
    ticketLinks: { find: (tokenHash) => findTicketLink(sql, tokenHash) },
    status: health,
    log,
  })

  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: { headersTimeout: 10_000, requestTimeout: UPLOAD_MS, keepAliveTimeout: 65_000, connectionsCheckingInterval: 5_000 },
  }) as Server
  limitBodies(server, BODY_MS, ({ method, url }) => method === 'POST' && url === '/v1/firmware')
  server.maxConnections = MOST_CONNECTIONS
  try {
    await listen(server, config.host, config.httpPort)
  } catch (error) {
    await Promise.all([live.stop(), ...disconnect()])
    throw error
  }
  measureLive(live)
  const database = watchDatabase(sql)
  const housekeeping = keepHouse({ sql, firmwareStore, log })

  return {
    ready: database.ready,
    stop: async () => {
      housekeeping.stop()
      database.stop()
      await Promise.all([close(server), live.stop()])
      for (const client of [outbound, questions]) client.close()
      outbound.close()
      mailer.close()
      await Promise.all([workflows.close(), ...disconnect()])
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
