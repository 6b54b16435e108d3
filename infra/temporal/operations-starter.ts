/**
 * Starts the workflows of long work that REST or rules have registered (bulk-starter.ts, rollout-starter.ts, …), and tells them what was asked of them
 * since. Who registers it only writes rows: so an outage of Temporal never reaches whoever asks. Every worker runs one; what two of them do at once is done once.
 */
import {
  Client,
  Connection,
  type WorkflowClient,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowExecutionStatusName,
  WorkflowNotFoundError,
} from '@temporalio/client'
import type { Logger } from 'pino'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import type { Sql } from '../postgres/connect.ts'
import { createRounds } from './rounds.ts'

const LOOK_MS = 1_000
const CALL_TIMEOUT_MS = 5_000
/** Remembered as such, so that they are not logged again. */
const MOST_FAILING = 10_000
/** So often, and at the first look, those under way are looked for in Temporal. */
const SEARCH_MS = 60_000
const INTERRUPTED: ReadonlySet<WorkflowExecutionStatusName> = new Set(['TERMINATED', 'CANCELLED', 'TIMED_OUT', 'FAILED'])

export interface StarterOptions {
  sql: Sql
  address: string
  namespace: string
  log: Logger
}

/** Work that stands in Postgres with the id of its workflow. */
export interface Registered {
  id: string
  tenant: string
  /** Null: none was started yet. */
  workflow: string | null
}

export interface OperationKind<Work extends Registered> {
  /** In the log. */
  name: string
  workflowType: string
  /** Absent: that of operations. */
  taskQueue?: string
  /** Between two looks. Absent: a second. */
  lookMs?: number
  /** Of a workflow that was started here. */
  workflowIdOf(work: Registered): string
  /** Those without a workflow, and those whose workflow is to be told something. */
  untold(sql: Sql): Promise<Work[]>
  started(sql: Sql, work: Work, workflowId: string): Promise<void>
  /** Those that have a workflow: one that Temporal does not know (it was started empty) is started again, and goes on from what stands in Postgres. */
  underWay?(sql: Sql): Promise<Work[]>
  /** With what one of them is started again whose workflow Temporal knows to be over: terminated, cancelled, timed out or failed. Absent: it is not. */
  interruptedStart?(work: Work): object
  /** What becomes of it instead. */
  interrupted?(sql: Sql, work: Work): Promise<void>
  /** Nothing, where nothing was asked. */
  tell(sql: Sql, work: Work, workflowId: string, client: WorkflowClient): Promise<void>
}

export function startOperationsStarter<Work extends Registered>(
  { sql, address, namespace, log }: StarterOptions,
  kind: OperationKind<Work>,
): { stop(): Promise<void> } {
  const { taskQueue = OPERATIONS_QUEUE, lookMs = LOOK_MS } = kind
  const connection = Connection.lazy({ address, connectTimeout: CALL_TIMEOUT_MS })
  const { workflow: client } = new Client({ connection, namespace })
  const rounds = createRounds(look, (err) => log.warn({ err }, `${kind.name} could not be started or told; tried again`))
  const timer = setInterval(rounds.begin, lookMs)

  let looks = 0
  let isStopping = false
  const failing = new Set<string>()

  async function look(): Promise<void> {
    await forEach(await kind.untold(sql), serve)
    if (kind.underWay && looks++ % Math.ceil(SEARCH_MS / lookMs) === 0) await forEach(await kind.underWay(sql), search)
  }

  /** One that fails keeps nobody behind it waiting, and is told of once, until it goes well again. */
  async function forEach(works: Work[], run: (work: Work) => Promise<void>): Promise<void> {
    for (const work of works) {
      if (isStopping) return
      try {
        await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, () => run(work))
        failing.delete(work.id)
      } catch (err) {
        if (!failing.has(work.id)) log.warn({ err, id: work.id }, `${kind.name}: one could not be started or told; tried again`)
        if (failing.size >= MOST_FAILING) failing.clear()
        failing.add(work.id)
      }
    }
  }

  async function search(work: Work): Promise<void> {
    const workflow = work.workflow!
    const status = await statusOf(workflow)
    if (status === undefined) {
      log.warn({ workflow }, 'Temporal does not know a workflow that is under way: it is started again')
      await start(workflow, work)
    } else if (kind.interruptedStart && INTERRUPTED.has(status)) {
      log.warn({ workflow, status }, 'A workflow is over before its work has ended: it is started again')
      await start(workflow, work, kind.interruptedStart(work))
    } else if (INTERRUPTED.has(status)) await kind.interrupted?.(sql, work)
  }

  async function statusOf(workflow: string): Promise<WorkflowExecutionStatusName | undefined> {
    try {
      return (await client.getHandle(workflow).describe()).status.name
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined
      throw error
    }
  }

  async function serve(work: Work): Promise<void> {
    const workflowId = work.workflow ?? kind.workflowIdOf(work)
    if (work.workflow === null) {
      await start(workflowId, work)
      await kind.started(sql, work, workflowId)
    }
    await kind.tell(sql, work, workflowId, client)
  }

  async function start(workflowId: string, { tenant, id }: Work, again?: object): Promise<void> {
    try {
      await client.start(kind.workflowType, {
        workflowId,
        taskQueue,
        args: [again ?? { tenant, id }],
        workflowIdReusePolicy: again ? 'ALLOW_DUPLICATE_FAILED_ONLY' : 'REJECT_DUPLICATE',
      })
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
    }
  }

  return {
    stop: async () => {
      isStopping = true
      clearInterval(timer)
      await rounds.ended()
      await connection.close()
    },
  }
}
