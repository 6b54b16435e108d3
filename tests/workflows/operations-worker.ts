/** A worker for long work with a queue of its own: a namespace of its own would cost a server. */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, Connection, type Workflow, type WorkflowHandle } from '@temporalio/client'
import { NativeConnection, Worker } from '@temporalio/worker'
import { workflowBundle } from '../../infra/temporal/workflow-bundle.ts'
import { inBetween } from '../support/instead.ts'
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

export interface WorkerOf<Store, Flow extends Workflow> extends OperationsWorker {
  store: Store
  /** What the store does instead, while set. */
  instead: Partial<Store>
  start(start: Parameters<Flow>[0], workflowId?: string): Promise<WorkflowHandle<Flow>>
}

/** For one type of workflow, whose activities have this store. */
export async function startWorkerOf<Store extends object, Flow extends Workflow>(
  workflowType: string,
  store: Store,
  { activities, ...options }: Omit<OperationsOptions, 'activities'> & { activities: (store: Store) => object },
): Promise<WorkerOf<Store, Flow>> {
  const { between, instead } = inBetween(store)
  const worker = await startOperationsWorker({ ...options, activities: activities(between) })
  const { client, taskQueue } = worker
  return {
    ...worker,
    store,
    instead,
    start: (start, workflowId = `${workflowType}-test-${randomUUID()}`) =>
      client.workflow.start(workflowType, { workflowId, taskQueue, args: [start] }) as unknown as Promise<WorkflowHandle<Flow>>,
  }
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
