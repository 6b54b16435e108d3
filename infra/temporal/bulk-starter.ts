/**
 * Starts the workflows of bulk changes that REST has registered, and tells them what was asked of them since. REST itself only writes rows: so
 * an outage of Temporal never reaches whoever asks. Every worker runs one; what two of them do at once is done once.
 */
import { Client, Connection, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client'
import type { Logger } from 'pino'
import { BULK_ASKED_SIGNAL, BULK_WORKFLOW, type BulkAsked } from '../../workflows/messages.ts'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import { bulkAsked, bulkStarted, bulkTold, type UntoldBulkChange } from '../postgres/bulk-changes.ts'
import type { Sql } from '../postgres/connect.ts'
import { createRounds } from './rounds.ts'

const LOOK_MS = 1_000
const CALL_TIMEOUT_MS = 5_000

export interface BulkStarterOptions {
  sql: Sql
  address: string
  namespace: string
  log: Logger
}

export function startBulkStarter({ sql, address, namespace, log }: BulkStarterOptions): { stop(): Promise<void> } {
  const connection = Connection.lazy({ address, connectTimeout: CALL_TIMEOUT_MS })
  const { workflow } = new Client({ connection, namespace })
  const rounds = createRounds(look, (err) => log.warn({ err }, 'Bulk changes could not be started or told; tried again'))
  const timer = setInterval(rounds.begin, LOOK_MS)

  async function look(): Promise<void> {
    for (const bulk of await bulkAsked(sql)) await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, () => serve(bulk))
  }

  async function serve({ id, tenant, workflow: known, asked }: UntoldBulkChange): Promise<void> {
    const workflowId = known ?? `bulk:${tenant}:${id}`
    if (known === null) {
      await start(workflowId, { tenant, id })
      await bulkStarted(sql, id, workflowId)
    }
    if (asked === null) return
    await tell(workflowId, { wanted: asked })
    await bulkTold(sql, id, asked)
  }

  async function start(workflowId: string, args: { tenant: string; id: string }): Promise<void> {
    try {
      await workflow.start(BULK_WORKFLOW, {
        workflowId,
        taskQueue: OPERATIONS_QUEUE,
        args: [args],
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
      })
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
    }
  }

  /** One that has ended meanwhile needs no telling. */
  async function tell(workflowId: string, asked: BulkAsked): Promise<void> {
    try {
      await workflow.getHandle(workflowId).signal(BULK_ASKED_SIGNAL, asked)
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error
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
