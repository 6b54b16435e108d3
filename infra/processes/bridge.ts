/**
 * The bridge: takes in what devices send, over MQTT and HTTP, and keeps nothing but sockets. Who are you, may you speak here, is it small
 * enough; then the group commit into the ingest log, then PUBACK or 202 (docs/architecture.md §2). And it tells devices what is pending.
 */
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createDeviceApi } from '../../api/http/device-api.ts'
import { createDevicePolls } from '../../api/http/device-polls.ts'
import { createDeviceReports } from '../../api/http/device-reports.ts'
import { createDownloads } from '../../api/http/firmware-download.ts'
import { createHandOut } from '../../api/http/hand-out.ts'
import { createAcceptor } from '../../api/ingest/acceptor.ts'
import { openWriter, WRITER_LIMITS, type WriterLimits } from '../../api/ingest/writer.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { type Config, ConfigError } from '../config.ts'
import { closeHttp, type DeviceServers, listenForDevices, readCertificate } from '../device-servers.ts'
import { type DiskProbe, folderProbe, watchDisk } from '../disk-guard.ts'
import { createFolderStore } from '../firmware/folder-store.ts'
import { createBroker, type MqttBroker } from '../mqtt/broker.ts'
import { watchDevices } from '../mqtt/device-watch.ts'
import { createDownlink } from '../mqtt/downlink.ts'
import type { BrokerLimits } from '../mqtt/limits.ts'
import { connect } from '../postgres/connect.ts'
import { findByToken, findLogin } from '../postgres/device-auth.ts'
import { createDownlinkStore } from '../postgres/downlink.ts'
import { listenForDownlink } from '../postgres/downlink-listener.ts'
import { findDownloadLink } from '../postgres/firmware.ts'
import { postgresIngestLog } from '../postgres/ingest-log.ts'
import { migrate } from '../postgres/migrate.ts'
import { ensurePartitions } from '../postgres/partitions.ts'
import { measureBridge } from '../telemetry/bridge-metrics.ts'
import type { ProcessContext, RunningProcess } from './process.ts'

const PARTITIONS_MS = 5 * 60_000
/** A commit that has failed for so long: we do not serve. */
const NOT_READY_MS = 3000
const STOP = { answerMs: 1500, commitMs: 2500, totalMs: 7500 }

/** For tests. */
export interface BridgeOverrides {
  limits?: Partial<BrokerLimits>
  writerLimits?: WriterLimits
  /** Instead of the disk that holds the embedded Postgres. */
  diskProbe?: DiskProbe
  diskIntervalMs?: number
}

export async function startBridge({ config, log }: ProcessContext, overrides: BridgeOverrides = {}): Promise<RunningProcess> {
  if (!config.databaseUrl) throw new ConfigError('DATABASE_URL is not set: the bridge needs the Postgres that the other processes use.')
  const url = config.databaseUrl
  const certificate = await readCertificate(config)
  const sql = connect(url, { max: 4, name: 'bridge', statementTimeoutMs: 5000, lockTimeoutMs: 3000, connectTimeoutMs: 4000 })
  for (const name of await migrate(sql)) log.info({ migration: name }, 'Migrated the database')

  const disk = await watchDisk(overrides.diskProbe ?? diskProbe(config), log, overrides.diskIntervalMs)
  const metrics = measureBridge()
  const writer = await openWriter({
    store: postgresIngestLog({ url, bridge: `${hostname()}/${process.pid}` }),
    log,
    limits: overrides.writerLimits ?? WRITER_LIMITS,
    onCommit: metrics.committed,
    onStreamChanged: () => broker.announce(),
  })
  const acceptor = createAcceptor({
    log: writer,
    refusal: () => (disk.full() ? diskFull() : undefined),
    // The sampler is the one that takes a share; it costs too much only where nobody listens.
    ...(config.telemetry.exportTraces && { traceOneIn: 1 }),
  })
  const broker: MqttBroker = await createBroker({
    acceptor,
    findLogin: (...login) => findLogin(sql, ...login),
    log,
    limits: overrides.limits ?? {},
    onAsked: (incarnation, wanted) => downlink.again(incarnation, wanted),
    onAcknowledged: (incarnation, subtopic) => downlink.acknowledged(incarnation, subtopic),
  })
  const store = metrics.counted(createDownlinkStore(sql, config.devicePublicUrl))
  const downlink = createDownlink({
    store,
    connections: broker.outgoing,
    incarnations: () => broker.sessions.incarnations(),
    log,
    onSent: metrics.sent('mqtt'),
  })
  const handOut = createHandOut(store, metrics.sent('http'))
  const polls = createDevicePolls({ store, handOut })
  const hears = (incarnation: number) => polls.isWaiting(incarnation) || broker.sessions.newest(incarnation) !== undefined
  const reports = createDeviceReports({ handOut, hears, log })
  const heralds = [downlink, polls, reports]
  const news = listenForDownlink({
    url,
    onNews: (incarnations) => {
      for (const herald of heralds) herald.wake(incarnations)
    },
    onErrors: polls.wake,
    onListening: () => {
      for (const herald of heralds) herald.wakeAll()
    },
    log,
  })
  const devices = createDeviceApi({ acceptor, findByToken: (hash) => findByToken(sql, hash), polls, reports, log })
  const downloads = createDownloads({
    store: createFolderStore(join(config.dataDir, 'firmware')),
    find: (update) => findDownloadLink(sql, update),
    log,
    onSent: metrics.downloaded,
  })
  devices.route('/', downloads.app)
  const watch = watchDevices({ sql, broker, polls, stream: () => writer.stream, log })
  metrics.observe(() => ({ connections: broker.sessions.count, polls: polls.waiting, downloads: downloads.underway, ...writer.waiting }))
  const partitions = setInterval(() => {
    ensurePartitions(sql, new Date()).catch((error) => log.warn({ err: error }, 'Partitions were not made ahead; tried again later'))
  }, PARTITIONS_MS)

  const servers: DeviceServers = { mqtt: [], http: [] }
  try {
    await listenForDevices(servers, { config, certificate, broker, fetch: devices.fetch, log })
  } catch (error) {
    await stop()
    throw error
  }

  return {
    ready() {
      if (disk.full()) return 'the disk is nearly full: no messages are accepted'
      return writer.failingForMs() < NOT_READY_MS ? true : 'messages cannot be stored: Postgres does not answer, or refuses them'
    },
    stop,
  }

  /** Nothing new comes in, what came in is committed and answered, then all ends; devices connect to another bridge. */
  async function stop(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const force = setTimeout(() => {
      log.warn('The bridge stops before all that waits is stored')
      resolve()
    }, STOP.totalMs)
    finish().then(resolve, reject)
    await promise.finally(() => clearTimeout(force))
  }

  async function finish(): Promise<void> {
    clearInterval(partitions)
    watch.stop()
    polls.stop()
    for (const server of servers.mqtt) server.close()
    const downward = [downlink.stop(), news.stop()]
    await Promise.all([...downward, broker.close(STOP.answerMs), ...servers.http.map((server) => closeHttp(server, STOP.answerMs * 2))])
    await writer.close(STOP.commitMs)
    disk.stop()
    await sql.end({ timeout: 1 })
  }
}

function diskFull(): CastorError {
  return new CastorError('unavailable', 'The disk is nearly full, so that nothing can be stored. Send it again later.', {
    retryAfterSeconds: 60,
  })
}

/** Only where Postgres is our own its disk is ours to watch. */
function diskProbe(config: Config): DiskProbe {
  const folder = join(config.dataDir, 'postgres')
  const { hostname: host, searchParams } = new URL(config.databaseUrl!)
  const local = searchParams.get('host')?.startsWith('/') || ['localhost', '127.0.0.1', '[::1]'].includes(host)
  return local && existsSync(folder) ? folderProbe(folder) : async () => 1
}
