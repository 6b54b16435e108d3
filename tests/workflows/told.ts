/** What an operator is told: the report of a workflow, and why something failed. */
import type { WorkflowHandle } from '@temporalio/client'

export async function details(handle: WorkflowHandle): Promise<string> {
  const { currentDetails } = await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata')
  return currentDetails ?? ''
}

export function messages(error: unknown): string {
  const parts: string[] = []
  for (let cause = error as Error | undefined; cause; cause = cause.cause as Error | undefined) parts.push(cause.message)
  return parts.join('\n')
}
