/**
 * Runs one process, alone or under the supervisor: configuration, logs, telemetry, health, and an end in order.
 *
 * Alone it ends by SIGTERM or SIGINT. Under the supervisor it ends when told so, because processes end in an order (a signal to the
 * group reaches all of them at once), and when the supervisor is gone, even by kill -9. Ends that come twice change nothing.
 */
import { join } from 'node:path'
import type { Logger } from 'pino'
import { type Config, readConfig } from '../config.ts'
import { createLog } from '../log.ts'
import { startTelemetry, type Telemetry } from '../telemetry/setup.ts'
import { createHealth, type HealthServer, serveHealth } from './health-server.ts'
import type { ToProcess, ToSupervisor } from './messages.ts'
import type { ProcessName, RunningProcess, StartProcess } from './process.ts'

/** A process has 8 s to stop; what hangs longer is left to end with it. */
const STOP_MS = 8_000
const START_GRACE_MS = 1_000

export async function runProcess(name: ProcessName): Promise<void> {
  const supervised = process.connected === true
  const config = readConfig()
  const log = createLog({
    name,
    level: config.logLevel,
    ...(supervised && { file: join(config.dataDir, 'logs', `${name}.log`), note: (entry) => tell({ kind: 'note', entry }) }),
  })
  const telemetry = startTelemetry(name, config.telemetry)
  const end = Promise.withResolvers<Error | null>()
  listenForEnd(supervised, log, end.resolve)

  let running: RunningProcess | undefined
  const health = createHealth({
    name,
    ready: () => running?.ready() ?? 'it is starting',
    metrics: telemetry.render,
    peers: config.peers,
  })
  let healthServer: HealthServer | undefined
  const started = begin().catch((error: Error) => end.resolve(error))

  async function begin(): Promise<void> {
    healthServer = await serveHealth(health, config.host, config.healthPort)
    log.info({ healthPort: healthServer.port, node: process.version }, `${name} starts`)
    const start = await startFunction(name)
    const prepared = supervised ? config : await prepare(name, config, log)
    running = await start({ config: prepared, log, health, fail: (reason) => end.resolve(reason) })
    log.info(`${name} runs`)
  }

  const reason = await end.promise
  if (reason) log.fatal({ err: reason }, `${name} ends: ${reason.message}`)
  if (reason) tell({ kind: 'failed', reason: reason.message.split('\n')[0]! })
  // Told to end while it starts, it gets a moment to finish starting, so that it can end in order.
  await Promise.race([started, new Promise((resolve) => setTimeout(resolve, START_GRACE_MS))])
  const stopped = await stop(running, telemetry, healthServer, log)
  // Whatever still keeps the event loop busy is not waited for.
  process.exit(reason === null && stopped ? 0 : 1)
}

/** The modules come after telemetry is set up: what they measure with must be there. */
async function startFunction(name: ProcessName): Promise<StartProcess> {
  switch (name) {
    case 'bridge':
      return (await import('./bridge.ts')).startBridge
    case 'processor':
      return (await import('./processor.ts')).startProcessor
    case 'worker':
      return (await import('./worker.ts')).startWorker
    case 'dispatcher':
      return (await import('./dispatcher.ts')).startDispatcher
    case 'api':
      return (await import('./api.ts')).startApi
  }
}

/** What under the supervisor is done already: Temporal's namespace and search attributes for the worker, the admin key for the api. */
async function prepare(name: ProcessName, config: Config, log: Logger): Promise<Config> {
  if (name === 'worker') {
    const { prepareTemporalPatiently } = await import('../temporal/client.ts')
    await prepareTemporalPatiently(config.temporalAddress ?? `${config.host}:${config.temporalPort}`, config.temporalNamespace, log)
  }
  if (name !== 'api') return config
  const { adminKey } = await import('../data-folder.ts')
  const { key, place } = await adminKey(config.dataDir, config.adminKey)
  log.info({ place }, 'The admin key')
  return { ...config, adminKey: key }
}

function listenForEnd(supervised: boolean, log: Logger, end: (reason: Error | null) => void): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => (supervised && process.connected ? tell({ kind: 'signalled', signal }) : end(null)))
  if (supervised) {
    process.on('message', (message: ToProcess) => message.kind === 'stop' && end(null))
    process.on('disconnect', () => {
      log.warn('The supervisor is gone: stopping')
      end(null)
    })
  }
  process.on('uncaughtException', (error) => end(error))
  process.on('unhandledRejection', (reason) => end(reason instanceof Error ? reason : new Error(String(reason))))
}

async function stop(
  running: RunningProcess | undefined,
  telemetry: Telemetry,
  health: HealthServer | undefined,
  log: Logger,
): Promise<boolean> {
  const late = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => late.resolve('late'), STOP_MS)
  try {
    const how = await Promise.race([running?.stop(), late.promise])
    if (how === 'late') log.error(`Not stopped within ${STOP_MS / 1000} s: ending anyway`)
    return how !== 'late'
  } catch (error) {
    log.error({ err: error }, 'Stopping failed')
    return false
  } finally {
    clearTimeout(timer)
    await telemetry.stop()
    health?.close()
    log.info('Stopped')
  }
}

function tell(message: ToSupervisor): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
