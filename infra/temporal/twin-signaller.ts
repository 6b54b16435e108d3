/**
 * How sealed batches reach their twins: signalWithStart over a connection of its own that does not retry by itself. The default client
 * waits out ResourceExhausted in silence; here that refusal is what the pace of the seals goes by (docs/architecture.md §5).
 */
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client'
import { TypedSearchAttributes } from '@temporalio/common'
import type { Logger } from 'pino'
import type { TwinSignaller } from '../../api/ingest/courier.ts'
import { twinWorkflowId } from '../../twin-models/ids.ts'
import { INBOX_SIGNAL, REMOVED_SIGNAL, TWIN_WORKFLOW } from '../../workflows/messages.ts'
import { firstSearchAttributes } from '../../workflows/search-attributes.ts'
import { TWINS_QUEUE } from '../../workflows/task-queues.ts'
import { quietLog } from '../log.ts'

const CALL_TIMEOUT_MS = 5_000
const LOG_EVERY_MS = 10_000

export interface ConnectedSignaller extends TwinSignaller {
  close(): Promise<void>
}

export function temporalSignaller(options: { address: string; namespace: string; log: Logger }): ConnectedSignaller {
  const connection = Connection.lazy({ address: options.address, interceptors: [], connectTimeout: CALL_TIMEOUT_MS })
  const { workflow } = new Client({ connection, namespace: options.namespace })
  const refused = quietLog(options.log, LOG_EVERY_MS)
  const call = <T>(run: () => Promise<T>): Promise<T> => connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, run)

  return {
    deliver: async ({ tenant, device, incarnation, model }, seq, batch) => {
      const start = { tenant, device, incarnation }
      try {
        await call(() =>
          workflow.signalWithStart(TWIN_WORKFLOW, {
            workflowId: twinWorkflowId(start),
            taskQueue: TWINS_QUEUE,
            args: [start],
            signal: INBOX_SIGNAL,
            signalArgs: [{ seq, batch: JSON.parse(batch) }],
            typedSearchAttributes: new TypedSearchAttributes(firstSearchAttributes(start, model?.name ?? 'unknown')),
          }),
        )
        return true
      } catch (error) {
        refused(error, 'A twin could not be signalled; it is tried again')
        return false
      }
    },
    remove: async (twin) => {
      try {
        await call(() => workflow.getHandle(twinWorkflowId(twin)).signal(REMOVED_SIGNAL, {}))
        return true
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return true
        refused(error, 'The twin of a removed device could not be told; it is tried again')
        return false
      }
    },
    close: () => connection.close(),
  }
}
