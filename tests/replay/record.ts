/**
 * Records histories for the replay test: `node tests/replay/record.ts` plays those of the scenes below, and in webhook-scenes.ts, that have no
 * recording yet, on a real Temporal server with real Postgres, and writes `histories/*.json`.
 *
 * Record to add a scene, or a new one after a change that `patched` guards; then keep the old files beside the new ones for as long as
 * such workflows may run.
 */
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js'
import { readConfig } from '../../infra/config.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { startEmbeddedPostgres } from '../../infra/postgres/embedded.ts'
import { migrate } from '../../infra/postgres/migrate.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { temporalBinary } from '../../infra/temporal/binary.ts'
import { startTemporalServer } from '../../infra/temporal/server.ts'
import { consume } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinInput } from '../../twin-models/core/types.ts'
import { twinWorkflowId } from '../../twin-models/ids.ts'
import { REMOVED_SIGNAL } from '../../workflows/messages.ts'
import { decisionOf } from '../conformance/decision-store.ts'
import { freePort } from '../support/servers.ts'
import { until } from '../support/wait.ts'
import { settings, startTwins, type Twins } from '../workflows/twins.ts'
import { startWebhookWorker } from '../workflows/webhook-worker.ts'
import { webhookScenes } from './webhook-scenes.ts'

const FOLDER = join(import.meta.dirname, 'histories')

const configured = (at: number): TwinInput[] => [
  { kind: 'configured', at, settings },
  { kind: 'life', at, messageId: 'm-1' },
]
const reading = (value: number): TwinInput => ({ kind: 'reading', at: Date.now(), name: 'temperature', value, ts: Date.now() })
const decided = (twins: Twins, key: Parameters<Twins['row']>[0], seq: number) =>
  until(async () => (await twins.row(key)).seq >= seq, `seal ${seq} is decided`)

/** Each leaves a workflow behind and says which run to keep. */
const scenes: Record<string, (twins: Twins) => Promise<{ workflowId: string; runId?: string }>> = {
  'a life in the field': async (twins) => {
    const key = await twins.register()
    const at = Date.now()
    const handle = await twins.signal(key, 1, configured(at))
    await decided(twins, key, 1)
    const hello: TwinInput = {
      kind: 'hello',
      at: Date.now(),
      status: 'online',
      firmware: { version: '1.2.0' },
      health: { ok: true, battery: 80 },
    }
    const event: TwinInput = { kind: 'event', at: Date.now(), name: 'doorOpened', ts: Date.now(), data: { by: 'hand' } }
    await twins.signal(key, 2, [hello, event, reading(50), reading(20)])
    await decided(twins, key, 2)
    await twins.signal(key, 2, [hello])
    const merged = { humidity: { count: 3, first: [40, at], last: [42, at, at], min: [40, at], max: [43, at] } } as const
    await twins.signal(key, 3, [{ kind: 'deliver', at: Date.now(), request: '00000000-0000-4000-8000-000000000000' }], {
      merged: merged as never,
    })
    await decided(twins, key, 3)
    await twins.signal(key, 4, [{ kind: 'silent', at: Date.now() + 61_000, lastSeenAt: Date.now() + 1_000 }])
    await decided(twins, key, 4)
    await handle.signal(REMOVED_SIGNAL)
    await handle.result()
    return handle
  },
  'continued as new': async (twins) => {
    const key = await twins.register()
    const handle = await twins.signal(key, 1, configured(Date.now()))
    const { runId } = await handle.describe()
    for (let seq = 2; seq <= 22; seq++) {
      await twins.signal(key, seq, [reading(seq % 2 ? 20 : 50)])
      await decided(twins, key, seq)
    }
    await until(async () => (await twins.client.workflow.getHandle(handle.workflowId).describe()).runId !== runId, 'a new run')
    return { workflowId: handle.workflowId, runId }
  },
  'the run after it': async (twins) => {
    const key = await twins.register()
    const state = consume(
      initialState(),
      { seq: 1, batch: { messages: 1, lastSeenAt: 1, merged: {}, inputs: configured(Date.now()) } },
      1,
    ).state
    await twins.store.write(decisionOf(key, initialState(), 1, configured(Date.now())))
    const handle = await twins.start({ ...key, carried: state }, twinWorkflowId(key))
    await twins.signal(key, 2, [reading(50)])
    await decided(twins, key, 2)
    await handle.signal(REMOVED_SIGNAL)
    await handle.result()
    return handle
  },
  'Postgres was ahead': async (twins) => {
    const key = await twins.register()
    await twins.store.write(decisionOf(key, initialState(), 4, configured(Date.now())))
    const handle = await twins.signal(key, 4, configured(Date.now()))
    await twins.signal(key, 5, [reading(50)])
    await decided(twins, key, 5)
    await handle.signal(REMOVED_SIGNAL)
    await handle.result()
    return handle
  },
  'the backstop decided': async (twins) => {
    const key = await twins.register()
    const inputs = configured(Date.now() - 7 * 3_600_000)
    await twins.store.write(decisionOf(key, initialState(), 1, inputs))
    const { state } = consume(initialState(), { seq: 1, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 1)
    twins.instead.lastSeen = async () => ({ lastSeenAt: 0, connected: false, watermark: Date.now() })
    const handle = await twins.start({ ...key, carried: state }, twinWorkflowId(key))
    await until(async () => (await twins.row(key)).revision === 2, 'the backstop decided')
    await handle.signal(REMOVED_SIGNAL)
    await handle.result()
    return handle
  },
  'no such device': async (twins) => {
    const key = { tenant: 'demo', device: 'nobody', incarnation: 999_999 }
    const handle = await twins.start(key, twinWorkflowId(key))
    await handle.result()
    return handle
  },
}

await record()

async function record(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'castor-record-'))
  await chmod(folder, 0o711)
  const postgres = await startEmbeddedPostgres({
    dataDir: folder,
    port: await freePort(),
    logFile: join(folder, 'postgres.log'),
    durable: false,
  })
  const sql = connect(postgres.url, { max: 4, name: 'record' })
  await migrate(sql)
  await ensurePartitions(sql, new Date())
  const { cacheDir, temporalCliPath: cliPath } = readConfig()
  const temporal = await startTemporalServer({
    binary: await temporalBinary({ cliPath, cacheDir, say: (line) => console.log(line) }),
    host: '127.0.0.1',
    port: await freePort(),
    uiPort: null,
    databaseFile: null,
    namespace: 'default',
    logFile: join(folder, 'temporal.log'),
  })
  const twins = await startTwins({ sql, address: temporal.address, maxCachedWorkflows: 100 })
  const webhooks = await startWebhookWorker({ sql, address: temporal.address, maxCachedWorkflows: 100 })
  const all = [
    ...Object.entries(scenes).map(([scene, play]) => [scene, () => play(twins)] as const),
    ...Object.entries(webhookScenes).map(([scene, play]) => [scene, () => play(webhooks)] as const),
  ]
  try {
    await mkdir(FOLDER, { recursive: true })
    for (const [scene, play] of all) {
      const file = `${scene.toLowerCase().replaceAll(' ', '-')}.json`
      if (existsSync(join(FOLDER, file))) continue
      const { workflowId, runId } = await play()
      delete twins.instead.lastSeen
      const history = await twins.client.workflow.getHandle(workflowId, runId).fetchHistory()
      await writeFile(join(FOLDER, file), `${JSON.stringify({ workflowId, history: JSON.parse(historyToJSON(history)) })}\n`)
      console.log(`${file}: ${history.events?.length} events`)
    }
  } finally {
    await Promise.all([twins.stop(), webhooks.stop()])
    await sql.end()
    await temporal.stop()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
