/**
 * The floor of decisions: how many signals a second, each with one local activity that does nothing, this machine brings to their end on a Temporal
 * server as Castor starts it. 200 workflows, 30 callers that wait for the activity. A process of its own: one answer over IPC.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection } from '@temporalio/client'
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker'
import { readConfig } from '../../infra/config.ts'
import { freePort } from '../../infra/processes/ports.ts'
import { temporalBinary } from '../../infra/temporal/binary.ts'
import { startTemporalServer } from '../../infra/temporal/server.ts'
import { quickenWorkflowThreads } from '../../infra/temporal/workflow-threads.ts'

const HOST = '127.0.0.1'
const QUEUE = 'floor'
const WORKFLOWS = 200
const CALLERS = 30
const WARM_UP_SECONDS = 10

export interface SignalFloorReport {
  perSecond: number
}

process.once('message', async ({ seconds }: { seconds: number }) => {
  const folder = mkdtempSync(join(tmpdir(), 'castor-signals-'))
  const { temporalCliPath: cliPath, cacheDir } = readConfig()
  const binary = await temporalBinary({ cliPath, cacheDir, say: () => {}, signal: new AbortController().signal })
  const port = await freePort(HOST)
  const files = { databaseFile: join(folder, 'temporal.db'), logFile: join(folder, 'temporal.log') }
  const server = await startTemporalServer({ binary, host: HOST, port, uiPort: null, namespace: 'default', ...files })
  let report: SignalFloorReport
  try {
    report = { perSecond: await measure(server.address, seconds) }
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  process.send?.(report)
})
process.on('disconnect', () => process.exit(0))

async function measure(address: string, seconds: number): Promise<number> {
  const logging = { forward: {}, filter: { core: 'ERROR', other: 'ERROR' } } as const
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging }, shutdownSignals: [] })
  const stopLooking = quickenWorkflowThreads(() => process.exit(1))
  const waiting = new Map<number, () => void>()
  const worker = await Worker.create({
    connection: await NativeConnection.connect({ address }),
    taskQueue: QUEUE,
    workflowsPath: new URL('./signal-floor-workflow.ts', import.meta.url).pathname,
    activities: { decide: async (n: number) => waiting.get(n)?.() },
  })
  const running = worker.run()
  const client = new Client({ connection: await Connection.connect({ address }) })
  let sent = 0
  await load(WARM_UP_SECONDS)
  const from = performance.now()
  const ended = await load(seconds)
  const perSecond = (ended * 1000) / (performance.now() - from)
  worker.shutdown()
  await running
  stopLooking()
  return perSecond

  /** How many came to their end. */
  async function load(forSeconds: number): Promise<number> {
    const until = performance.now() + forSeconds * 1000
    let count = 0
    await Promise.all(
      Array.from({ length: CALLERS }, async () => {
        while (performance.now() < until) {
          const n = ++sent
          const done = new Promise<void>((resolve) => waiting.set(n, resolve))
          const options = { workflowId: `floor-${n % WORKFLOWS}`, taskQueue: QUEUE, signal: 'signalled', signalArgs: [n] }
          await client.workflow.signalWithStart('least', options)
          await done
          waiting.delete(n)
          count++
        }
      }),
    )
    return count
  }
}
