/**
 * Starts the workflows of long work that REST has registered (bulk-starter.ts, rollout-starter.ts), and tells them what was asked of them since. REST
 * itself only writes rows: so an outage of Temporal never reaches whoever asks. Every worker runs one; what two of them do at once is done once.
 */
import { Client, Connection, type WorkflowClient, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client'
import type { Logger } from 'pino'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import type { Sql } from '../postgres/connect.ts'
import { createRounds } from './rounds.ts'

const LOOK_MS = 1_000
const CALL_TIMEOUT_MS = 5_000
/** Every so many looks, the first included, those under way are looked for in Temporal. */
const LOOKS_PER_SEARCH = 60

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
  /** Of a workflow that was started here. */
  workflowIdOf(work: Registered): string
  /** Those without a workflow, and those whose workflow is to be told something. */
  untold(sql: Sql): Promise<Work[]>
  started(sql: Sql, work: Work, workflowId: string): Promise<void>
  /** Those that have a workflow: one that Temporal does not know (it was started empty) is started again, and goes on from what stands in Postgres. */
  underWay?(sql: Sql): Promise<Work[]>
  /** Nothing, where nothing was asked. */
  tell(sql: Sql, work: Work, workflowId: string, client: WorkflowClient): Promise<void>
}

export function startOperationsStarter<Work extends Registered>(
  { sql, address, namespace, log }: StarterOptions,
  kind: OperationKind<Work>,
): { stop(): Promise<void> } {
  const connection = Connection.lazy({ address, connectTimeout: CALL_TIMEOUT_MS })
  const { workflow: client } = new Client({ connection, namespace })
  const rounds = createRounds(look, (err) => log.warn({ err }, `${kind.name} could not be started or told; tried again`))
  const timer = setInterval(rounds.begin, LOOK_MS)

  let looks = 0

  async function look(): Promise<void> {
    const inTime = (call: () => Promise<void>) => connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, call)
    for (const work of await kind.untold(sql)) await inTime(() => serve(work))
    if (kind.underWay && looks % LOOKS_PER_SEARCH === 0) for (const work of await kind.underWay(sql)) await inTime(() => search(work))
    looks++
  }

  async function search(work: Work): Promise<void> {
    try {
      await client.getHandle(work.workflow!).describe()
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error
      log.warn({ workflow: work.workflow }, 'Temporal does not know a workflow that is under way: it is started again')
      await start(work.workflow!, work)
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

  async function start(workflowId: string, { tenant, id }: Work): Promise<void> {
    try {
      await client.start(kind.workflowType, {
        workflowId,
        taskQueue: OPERATIONS_QUEUE,
        args: [{ tenant, id }],
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
      })
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
    }
  }

  return {
    stop: async () => {
      clearInterval(timer)
      await rounds.ended()
      await connection.close()
    },
  }
}
