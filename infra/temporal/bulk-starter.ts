/** The workflows of bulk changes that REST has registered. */
import { type WorkflowClient, WorkflowNotFoundError } from '@temporalio/client'
import { BULK_ASKED_SIGNAL, BULK_WORKFLOW, type BulkAsked } from '../../workflows/messages.ts'
import { bulkAsked, bulkStarted, bulkTold } from '../postgres/bulk-changes.ts'
import { type StarterOptions, startOperationsStarter } from './operations-starter.ts'

export function startBulkStarter(options: StarterOptions): { stop(): Promise<void> } {
  return startOperationsStarter(options, {
    name: 'Bulk changes',
    workflowType: BULK_WORKFLOW,
    workflowIdOf: ({ tenant, id }) => `bulk:${tenant}:${id}`,
    untold: bulkAsked,
    started: (sql, { id }, workflowId) => bulkStarted(sql, id, workflowId),
    tell: async (sql, { id, asked }, workflowId, client) => {
      if (asked === null) return
      await tell(client, workflowId, { wanted: asked })
      await bulkTold(sql, id, asked)
    },
  })
}

/** One that has ended meanwhile needs no telling. */
async function tell(client: WorkflowClient, workflowId: string, asked: BulkAsked): Promise<void> {
  try {
    await client.getHandle(workflowId).signal(BULK_ASKED_SIGNAL, asked)
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error
  }
}
