/** Real counts of Temporal's history events: what each run of each twin holds, as the server says. */
import { type Client, Connection, Client as TemporalClient } from '@temporalio/client'
import { TWIN_WORKFLOW } from '../../workflows/messages.ts'
import type { Castor } from './castor.ts'

const AT_ONCE = 16
const NAMESPACE = 'default'

/** Events of all runs of the twins whose device ids begin with one of the prefixes and go on with digits. */
export async function historyEvents(castor: Castor, prefixes: string[]): Promise<number> {
  const ours = new RegExp(`^twin:[^:]+:(${prefixes.join('|')})\\d+:\\d+$`)
  return eventsOfAll(castor, `WorkflowType = '${TWIN_WORKFLOW}'`, (workflowId) => ours.test(workflowId))
}

/** Events of all runs of the workflow that works on this rollout. */
export async function rolloutEvents(castor: Castor, id: string): Promise<number> {
  return eventsOfAll(castor, "WorkflowType = 'rollout'", (workflowId) => workflowId.endsWith(`:${id}`))
}

/** Events of all runs of the workflows of these tickets. */
export async function ticketEvents(castor: Castor, ids: string[]): Promise<number> {
  const ours = new Set(ids)
  return eventsOfAll(castor, "WorkflowType = 'maintenanceTicket'", (workflowId) => ours.has(workflowId.split(':').at(-1)!))
}

async function eventsOfAll(castor: Castor, query: string, isOurs: (workflowId: string) => boolean): Promise<number> {
  const connection = await Connection.connect({ address: castor.temporalAddress, connectTimeout: '10s' })
  try {
    const client = new TemporalClient({ connection, namespace: NAMESPACE })
    const runs: Array<{ workflowId: string; runId: string }> = []
    for await (const { workflowId, runId } of client.workflow.list({ query, pageSize: 1000 })) {
      if (isOurs(workflowId)) runs.push({ workflowId, runId })
    }
    let events = 0
    const next = runs.values()
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (const run of next) {
          // Not `events += await …`: that adds to what it was before the wait.
          const length = await eventsOf(client, run)
          events += length
        }
      }),
    )
    return events
  } finally {
    await connection.close()
  }
}

async function eventsOf(client: Client, { workflowId, runId }: { workflowId: string; runId: string }): Promise<number> {
  const { historyLength } = await client.workflow.getHandle(workflowId, runId).describe()
  return historyLength
}
