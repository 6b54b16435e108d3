/**
 * Records histories for the replay test: `node tests/replay/record.ts` plays those scenes that have no recording yet, on a real Temporal server
 * with real Postgres, and writes `histories/*.json`.
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
import { createBulkStore } from '../../infra/postgres/bulk-changes.ts'
import { connect } from '../../infra/postgres/connect.ts'
import { startEmbeddedPostgres } from '../../infra/postgres/embedded.ts'
import { migrate } from '../../infra/postgres/migrate.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { temporalBinary } from '../../infra/temporal/binary.ts'
import { startTemporalServer } from '../../infra/temporal/server.ts'
import { freePort } from '../support/free-port.ts'
import { startBulkWorker } from '../workflows/bulk-changes.ts'
import { startPredictionWorker } from '../workflows/predictions.ts'
import { startRolloutWorker } from '../workflows/rollouts.ts'
import { startTicketWorker } from '../workflows/tickets.ts'
import { startTwins } from '../workflows/twins.ts'
import { startWebhookWorker } from '../workflows/webhook-worker.ts'
import { alarmScenes } from './alarm-scenes.ts'
import { askedScenes } from './asked-scenes.ts'
import { bulkScenes } from './bulk-scenes.ts'
import { predictionScenes } from './prediction-scenes.ts'
import {
  continuedWith,
  coveredBy,
  FOLDER,
  fileOf,
  PREDICTION_SCENES,
  type Recording,
  ROLLOUT_SCENES,
  type Stage,
  TICKET_SCENES,
  WEBHOOK_SCENES,
} from './recordings.ts'
import { rolloutScenes } from './rollout-scenes.ts'
import { ticketScenes } from './ticket-scenes.ts'
import { twinScenes } from './twin-scenes.ts'
import { updateScenes } from './update-scenes.ts'
import { webhookScenes } from './webhook-scenes.ts'

const scenes = Object.entries({
  ...twinScenes,
  ...askedScenes,
  ...updateScenes,
  ...alarmScenes,
  ...bulkScenes,
  ...rolloutScenes,
  ...webhookScenes,
  ...predictionScenes,
  ...ticketScenes,
})

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
  const { address } = temporal
  const twins = await startTwins({ sql, address, maxCachedWorkflows: 100 })
  const bulk = await startBulkWorker({ sql, address })
  const rollouts = await startRolloutWorker({ sql, address })
  const webhooks = await startWebhookWorker({ sql, address, maxCachedWorkflows: 100 })
  const predictions = await startPredictionWorker({ sql, address })
  const tickets = await startTicketWorker({ sql, address })
  try {
    await mkdir(FOLDER, { recursive: true })
    for (const [scene, play] of scenes) {
      if (existsSync(join(FOLDER, fileOf(scene)))) continue
      const recording = await recorded({ sql, twins, bulk, rollouts, webhooks, predictions, tickets }, scene, play)
      await writeFile(join(FOLDER, fileOf(scene)), `${JSON.stringify(recording)}\n`)
      console.log(`${fileOf(scene)}: ${recording.history.events.length} events, ${recording.covers.join(', ')}`)
    }
  } finally {
    await Promise.all([twins, bulk, rollouts, webhooks, predictions, tickets].map((worker) => worker.stop()))
    await sql.end()
    await temporal.stop()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Plays a scene, and notes what is written in it. */
async function recorded(stage: Stage, scene: string, play: (typeof scenes)[number][1]): Promise<Recording> {
  const { sql, twins, bulk, rollouts, tickets } = stage
  const scenes = [...ROLLOUT_SCENES, ...WEBHOOK_SCENES, ...PREDICTION_SCENES, ...TICKET_SCENES]
  const covers = new Set<string>(scenes.filter((name) => name === scene))
  const bulkStore = createBulkStore(sql)
  twins.instead.write = (decision) => {
    for (const covered of coveredBy(decision)) covers.add(covered)
    return twins.store.write(decision)
  }
  bulk.instead.advance = (change, step, rules) => {
    covers.add(`bulk ${step.status}`)
    return bulkStore.advance(change, step, rules)
  }
  rollouts.instead.step = (rollout, step) => {
    covers.add(`rollout ${step.state.status}`)
    return rollouts.store.step(rollout, step)
  }
  tickets.instead.step = (ticket, step) => {
    if (step.change) covers.add(`ticket ${step.change.state.status}`)
    return tickets.store.step(ticket, step)
  }
  const { workflowId, runId } = await play(stage)
  delete twins.instead.lastSeen
  const history: Recording['history'] = JSON.parse(historyToJSON(await twins.client.workflow.getHandle(workflowId, runId).fetchHistory()))
  for (const covered of continuedWith(history)) covers.add(covered)
  return { workflowId, covers: [...covers], history }
}
