/**
 * The processor: owns lanes by lease and runs their ticks. All it holds in memory stands in Postgres: it may die at any time, and run
 * many times; they share the lanes evenly.
 */
import { randomUUID } from 'node:crypto'
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { LeaseLost } from '../../api/ingest/lane-store.ts'
import { NO_STREAM } from '../../api/ingest/log.ts'
import { Processor } from '../../api/ingest/processor.ts'
import { rulesFor, type StoredRule } from '../../twin-models/rules/ready.ts'
import { ConfigError } from '../config.ts'
import { createAnnouncer, ERRORS_CHANNEL } from '../postgres/announcer.ts'
import { connect, type Sql } from '../postgres/connect.ts'
import { HOUSEKEEPING_CONNECTIONS, startHousekeeping } from '../postgres/housekeeping.ts'
import { postgresLaneStore } from '../postgres/lane-store.ts'
import { claimLanes, closeDeadStreams, currentLanes, leaveProcessors, releaseLanes, renewLanes, shareOfLanes } from '../postgres/leases.ts'
import { checkSchema } from '../postgres/migrate.ts'
import { processorMetrics } from '../telemetry/processor-metrics.ts'
import { temporalSignaller } from '../temporal/twin-signaller.ts'
import type { ProcessContext, RunningProcess } from './process.ts'

/**
 * From one tick's start to the next: a quarter longer than the last one took, within these bounds. A transaction takes all that came, so
 * waiting only costs latency, and larger ticks cost less a message. In a burst, when a tick takes long, the quarter is what accepting gains.
 */
const TICK = { least: 50, most: 400 } as const
const LEASE_CHECK_MS = 1_500
/** Shorter than the lease, so that a transaction of ours cannot outlive it (docs/architecture.md §3.4). */
const TRANSACTION_MS = 4_500
const STREAM_SILENT_SECONDS = 10
/** Behind the bridge where the cores are short: in a burst it is accepting that must not wait. What waits then is in the log. */
const NICENESS = 5
const FAILURE_PAUSE = { first: 100, most: 3_000 } as const

export async function startProcessor({ config, log }: ProcessContext): Promise<RunningProcess> {
  if (!config.databaseUrl) throw new ConfigError('DATABASE_URL is not set: the processor needs the Postgres that the other processes use.')
  setPriority(NICENESS)
  const sql = connect(config.databaseUrl, { max: 4, name: 'processor', transactionTimeoutMs: TRANSACTION_MS, lockTimeoutMs: 3_000 })
  const leases = connect(config.databaseUrl, { max: 1, name: 'processor leases', statementTimeoutMs: 3_000 })
  const address = config.temporalAddress ?? `${config.host}:${config.temporalPort}`
  const signaller = temporalSignaller({ address, namespace: config.temporalNamespace, log })
  const brokenRule = ({ name, version }: StoredRule, err: unknown) =>
    log.error({ rule: name, version, err }, 'A rule cannot be read: it is for nobody')
  const processor = new Processor({
    store: postgresLaneStore(sql),
    signaller,
    makeRules: (rules) => (device) => rulesFor(rules, device, brokenRule),
    clock: Date.now,
    pause: (ms) => sleep(ms),
    notice: (message, err) => log.error({ err }, message),
  })
  const house = connect(config.databaseUrl, HOUSEKEEPING_CONNECTIONS)
  const housekeeping = startHousekeeping({ sql: house, log })
  const metrics = processorMetrics(processor)
  const announcer = createAnnouncer(sql, log, ERRORS_CHANNEL)
  const id = randomUUID()
  const stopping = new AbortController()
  let trouble: string | undefined = 'no lanes yet'

  const loop = run()

  async function run(): Promise<void> {
    let failures = 0
    let nextLeaseCheck = 0
    let schemaFits = false
    while (!stopping.signal.aborted) {
      const started = Date.now()
      try {
        // Waits for whoever migrates, and never writes into a schema that it does not know.
        if (!schemaFits) await checkSchema(sql)
        schemaFits = true
        if (started >= nextLeaseCheck) {
          await keepLanes(leases, id, processor)
          nextLeaseCheck = started + LEASE_CHECK_MS
        }
        const report = await processor.tick()
        if (report) metrics.tick(report)
        for (const { stream, incarnation } of report?.changes.errors ?? []) if (stream === NO_STREAM) announcer.announce(incarnation)
        void processor.deliver()
        failures = 0
        trouble = undefined
        const took = Date.now() - started
        if (!report?.more) await pause(Math.min(TICK.most, Math.max(TICK.least, 1.25 * took)) - took)
      } catch (error) {
        nextLeaseCheck = 0
        trouble = (error as Error).message
        if (error instanceof LeaseLost) log.info('Another processor took over a lane')
        else log.warn({ err: error }, 'A batch failed and is tried again')
        await pause(Math.min(FAILURE_PAUSE.most, FAILURE_PAUSE.first * 2 ** failures++) * (0.5 + Math.random() / 2))
      }
    }
  }

  async function pause(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal: stopping.signal }).catch(() => {})
  }

  return {
    ready: () => trouble ?? true,
    stop: async () => {
      stopping.abort()
      await Promise.all([loop, housekeeping.stop()])
      await releaseLanes(leases, id, processor.lanes).catch(() => {})
      await leaveProcessors(leases, id).catch(() => {})
      await Promise.all([sql.end({ timeout: 1 }), leases.end({ timeout: 1 }), house.end({ timeout: 1 }), signaller.close()])
    },
  }
}

/** Renews the leases, and takes or gives back lanes so that every processor has its share. */
async function keepLanes(sql: Sql, id: string, processor: Processor): Promise<void> {
  await closeDeadStreams(sql, STREAM_SILENT_SECONDS)
  const share = await shareOfLanes(sql, id)
  const held = new Set(await renewLanes(sql, id))
  const lost = processor.lanes.filter((lane) => !held.has(lane))
  if (lost.length > 0) processor.giveUp(lost)
  // Won, but a failure came before they were read.
  const owned = new Set(processor.lanes)
  await processor.takeOver(
    await currentLanes(
      sql,
      [...held].filter((lane) => !owned.has(lane)),
    ),
  )
  const surplus = processor.lanes.slice(share)
  if (surplus.length > 0) {
    processor.giveUp(surplus)
    await releaseLanes(sql, id, surplus)
  }
  await processor.takeOver(await claimLanes(sql, id, share - processor.lanes.length))
}
