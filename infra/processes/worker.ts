/**
 * The worker: runs the workflows and their activities: those of the twins on the queue `twins`, bulk changes and rollouts on
 * `operations`, webhooks in trouble on `webhooks`, predictions on `inference`.
 *
 * Not versioned by deployments, on purpose: an unversioned worker gets every task whatever code began the run, which is what
 * auto-upgrade means. Deployment versions need somebody who promotes each one; until then a new worker would get no task, and
 * `npm start` of a new Castor on an old data folder would stand still. Recorded histories (tests/replay) keep upgrades honest.
 */
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DefaultLogger, type LogEntry, NativeConnection, Runtime, Worker } from '@temporalio/worker'
import type { Logger } from 'pino'
import { createBulkActivities } from '../../activities/bulk-activities.ts'
import { createActivities } from '../../activities/create-activities.ts'
import { createRolloutActivities } from '../../activities/rollout-activities.ts'
import { createTicketActivities } from '../../activities/ticket-activities.ts'
import { createWebhookActivities } from '../../activities/webhook-activities.ts'
import { createTry } from '../../api/webhooks/attempt.ts'
import { workOff } from '../../api/webhooks/work-off.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { signEnvelope } from '../../twin-models/firmware/envelope.ts'
import { JOB_TYPE, type SignJob } from '../../twin-models/firmware/job.ts'
import { OPERATIONS_QUEUE, TWINS_QUEUE, WEBHOOKS_QUEUE } from '../../workflows/task-queues.ts'
import { ConfigError } from '../config.ts'
import { createOutbound } from '../http/outbound.ts'
import { createAnnouncer } from '../postgres/announcer.ts'
import { createBulkStore } from '../postgres/bulk-changes.ts'
import { connect } from '../postgres/connect.ts'
import { createDecisionStore } from '../postgres/decision-store.ts'
import { directorPrivateKey } from '../postgres/director-keys.ts'
import { checkSchema } from '../postgres/migrate.ts'
import { createPredictionModels } from '../postgres/prediction-models.ts'
import { createRolloutStore } from '../postgres/rollouts.ts'
import { createTargets } from '../postgres/targets.ts'
import { createTicketNotices } from '../postgres/ticket-notices.ts'
import { createTicketPredictions } from '../postgres/ticket-predictions.ts'
import { createTicketStore } from '../postgres/tickets.ts'
import { createWebhookWork } from '../postgres/webhook-work.ts'
import { startBulkStarter } from '../temporal/bulk-starter.ts'
import { startPredictionStarter } from '../temporal/prediction-starter.ts'
import { startRolloutStarter } from '../temporal/rollout-starter.ts'
import { startTicketStarter } from '../temporal/ticket-starter.ts'
import { workflowBundle } from '../temporal/workflow-bundle.ts'
import { quickenWorkflowThreads } from '../temporal/workflow-threads.ts'
import { createInferencePart } from './inference-part.ts'
import type { ProcessContext, RunningProcess } from './process.ts'

const DATABASE_CONNECTIONS = 10
/** Webhooks have their own: no number of failing receivers delays a decision. */
const WEBHOOK_CONNECTIONS = 4
/** Rollouts choose their devices among up to a million on these: no number of drafts delays a decision. */
const CHOOSING_CONNECTIONS = 2
/** Below the 8 s that a process has to stop. */
const GRACE = '3 seconds'
const FORCE = '6 seconds'
const CHECK_STATE_MS = 1_000
/** Bulk changes, rollouts and the like that stay in memory between their steps. */
const OPERATIONS_CACHED = 50
const WEBHOOKS_CACHED = 200
/** Endpoints in trouble that are worked on at once; the others wait for their turn, and delay nobody else. */
const WEBHOOKS_AT_ONCE = 50

export async function startWorker({ config, log, fail }: ProcessContext): Promise<RunningProcess> {
  if (!config.databaseUrl) throw new ConfigError('DATABASE_URL is not set: the worker needs the Postgres that the other processes use.')
  const address = config.temporalAddress ?? `${config.host}:${config.temporalPort}`
  const logger = temporalLogger(log)
  // Signals are the process's own affair: it stops its parts in order.
  Runtime.install({ logger, shutdownSignals: [], telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } } } })

  const sql = connect(config.databaseUrl, { max: DATABASE_CONNECTIONS, name: 'worker', statementTimeoutMs: 8_000, lockTimeoutMs: 5_000 })
  const webhookSql = connect(config.databaseUrl, {
    ...{ max: WEBHOOK_CONNECTIONS, name: 'worker webhooks', statementTimeoutMs: 8_000, lockTimeoutMs: 5_000 },
  })
  const choosingSql = connect(config.databaseUrl, { max: CHOOSING_CONNECTIONS, name: 'worker rollouts', lockTimeoutMs: 5_000 })
  const inference = createInferencePart({ ...config, databaseUrl: config.databaseUrl }, log)
  const stopping = new AbortController()
  const stopLooking = quickenWorkflowThreads((ms) => fail(new Error(`Workflow code did not come back for ${Math.round(ms / 1000)} s`)))
  const outbound = createOutbound({ process: 'worker', ...config.webhookNetworks })
  let state = 'starting'
  let workers: Worker[] = []

  const running = run().catch((error: unknown) => {
    state = 'failed'
    if (!stopping.signal.aborted) fail(error as Error)
  })

  async function run(): Promise<void> {
    const bundle = await workflowBundle({ folder: join(config.dataDir, 'cache'), logger })
    const say = (why: string) => {
      if (why !== state) log.warn(why)
      state = why
    }
    const connection = await patiently(stopping.signal, () => connectTo(address), say)
    if (!connection) return
    // A decision is never written into a schema that this program does not know.
    await patiently(stopping.signal, () => checkSchema(sql), say)
    const common = {
      connection,
      namespace: config.temporalNamespace,
      workflowBundle: bundle,
      shutdownGraceTime: GRACE,
      shutdownForceTime: FORCE,
    }
    try {
      const director = await patiently(stopping.signal, () => directorPrivateKey(sql), say)
      if (!director) return
      const signJob: SignJob = (payload) => signEnvelope(JOB_TYPE, payload, director)
      const twins = { store: createDecisionStore(sql, { signJob }), announcer: createAnnouncer(sql, log), log }
      const bulk = { bulk: createBulkStore(sql), models: (name: string) => modelOf(name), log }
      const ticketParts = { notices: createTicketNotices(), predictions: createTicketPredictions(), publicUrl: config.publicUrl }
      const names = { targets: createTargets(sql), predictionModels: createPredictionModels(sql) }
      const tickets = { tickets: createTicketStore(sql, ticketParts), ...names, log }
      const webhooks = { store: createWebhookWork(webhookSql), attempt: createTry(outbound) }
      workers = await Promise.all([
        Worker.create({ ...common, taskQueue: TWINS_QUEUE, activities: createActivities(twins), maxCachedWorkflows: cachedTwins() }),
        Worker.create({
          ...common,
          taskQueue: WEBHOOKS_QUEUE,
          activities: createWebhookActivities({ workOff: (ask, stopping) => workOff(ask, webhooks, stopping), log }),
          maxCachedWorkflows: WEBHOOKS_CACHED,
          maxConcurrentActivityTaskExecutions: WEBHOOKS_AT_ONCE,
        }),
        Worker.create({
          ...common,
          taskQueue: OPERATIONS_QUEUE,
          activities: {
            ...{ ...createBulkActivities(bulk), ...createRolloutActivities({ rollouts: createRolloutStore(sql, choosingSql), log }) },
            ...createTicketActivities(tickets),
          },
          maxCachedWorkflows: OPERATIONS_CACHED,
        }),
        Worker.create({ ...common, ...inference.worker }),
      ])
      if (stopping.signal.aborted) return
      const watch = watchState(workers)
      await Promise.race([Promise.all(workers.map((worker) => worker.run())), watch.failed]).finally(watch.stop)
    } finally {
      await connection.close().catch(() => {})
    }
  }

  const starting = { sql, address, namespace: config.temporalNamespace, log }
  const startAll = [startBulkStarter, startRolloutStarter, startPredictionStarter, startTicketStarter]
  const starters = startAll.map((start) => start(starting))

  return {
    ready: () => {
      if (workers.length > 0 && workers.every((worker) => worker.getState() === 'RUNNING')) return true
      return workers.find((worker) => worker.getState() !== 'RUNNING')?.getState() ?? state
    },
    stop: async () => {
      stopping.abort()
      stopLooking()
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown()
      await Promise.all([running, ...starters.map((starter) => starter.stop())])
      outbound.close()
      await Promise.all([...[sql, webhookSql, choosingSql].map((pool) => pool.end({ timeout: 1 })), inference.close()])
    },
  }
}

/**
 * How many twins stay in memory between their decisions; one that does not is replayed from its history when it is signalled, which
 * costs up to 60 ms of CPU. A cached twin takes some 0.5 MB; they may have an eighth of the memory, and a thread's heap holds no more
 * than 2,000 with room to spare.
 */
export function cachedTwins(memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity)): number {
  const share = memoryBytes / 8 / (0.5 * 1024 * 1024)
  return Math.round(Math.min(Math.max(share, 100), 2_000))
}

async function connectTo(address: string): Promise<NativeConnection> {
  try {
    return await NativeConnection.connect({ address })
  } catch (cause) {
    throw new Error(`Temporal at ${address} does not answer: ${(cause as Error).message}`, { cause })
  }
}

/** Temporal or Postgres may come up later than we do, or be away for long: that ends no process. Undefined when we are to stop. */
async function patiently<T>(stopping: AbortSignal, attempt: () => Promise<T>, say: (why: string) => void): Promise<T | undefined> {
  for (let waitMs = 200; !stopping.aborted; waitMs = Math.min(waitMs * 2, 5_000)) {
    try {
      return await attempt()
    } catch (error) {
      say((error as Error).message)
      await sleep(waitMs * (0.5 + Math.random() / 2), undefined, { signal: stopping }).catch(() => {})
    }
  }
  return undefined
}

/** A worker can fail while its process lives on: its own state is the only thing to ask. */
function watchState(workers: Worker[]): { failed: Promise<never>; stop(): void } {
  let timer: NodeJS.Timeout | undefined
  const failed = new Promise<never>((_resolve, reject) => {
    timer = setInterval(() => {
      if (workers.some((worker) => worker.getState() === 'FAILED')) reject(new Error('The Temporal worker failed'))
    }, CHECK_STATE_MS)
  })
  return { failed, stop: () => clearInterval(timer) }
}

function temporalLogger(log: Logger): DefaultLogger {
  const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error' } as const
  return new DefaultLogger('DEBUG', ({ level, message, meta }: LogEntry) => {
    const { error, ...rest } = (meta ?? {}) as { error?: unknown }
    log[levels[level]]({ ...rest, ...(error === undefined ? {} : { err: error }), part: 'temporal' }, message)
  })
}
