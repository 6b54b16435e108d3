/** A worker for long work with a queue of its own: a namespace of its own would cost a server. */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection } from '@temporalio/client'
import { NativeConnection, Worker } from '@temporalio/worker'
import { workflowBundle } from '../../infra/temporal/workflow-bundle.ts'
import { installedRuntime } from './runtime.ts'

export interface OperationsWorker {
  client: Client
  taskQueue: string
  /** As a worker that ends and another that begins. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export interface OperationsOptions {
  address: string
  /** Absent: the default one. */
  namespace?: string
  /** Absent: one of its own. */
  taskQueue?: string
  activities: object
  /**
   * Without a cache each step is replayed from the history. That goes well with one local activity a workflow task only: of several, this version of the
   * SDK may evict the run between them, and what was done is lost until the task has timed out.
   */
  maxCachedWorkflows: number
}

export async function startOperationsWorker(options: OperationsOptions): Promise<OperationsWorker> {
  const logger = installedRuntime()
  const bundle = await workflowBundle({ folder: join(tmpdir(), 'castor-test-bundles'), logger })
  const { address, namespace = 'default', taskQueue = `operations-${randomUUID()}`, activities, maxCachedWorkflows } = options
  const native = await NativeConnection.connect({ address })
  const connection = await Connection.connect({ address })
  let running: Promise<void>
  let worker = await begin()

  async function begin(): Promise<Worker> {
    const made = await Worker.create({
      ...{ connection: native, taskQueue, namespace, workflowBundle: bundle, activities },
      maxCachedWorkflows,
      shutdownGraceTime: '1 second',
    })
    running = made.run()
    return made
  }

  async function end(): Promise<void> {
    worker.shutdown()
    await running
  }

  return {
    client: new Client({ connection, namespace }),
    taskQueue,
    restart: async () => {
      await end()
      worker = await begin()
    },
    stop: async () => {
      await end()
      await connection.close()
      await native.close()
    },
  }
}
