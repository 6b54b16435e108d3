/** Asks a twin's workflow for what it decided. The connection is made at the first question: REST starts and reads without Temporal. */
import { Client, type Connection, WorkflowNotFoundError } from '@temporalio/client'
import type { TwinWorkflows } from '../../api/ports.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { twinWorkflowId } from '../../twin-models/ids.ts'
import { TWIN_QUERY, type TwinAnswer } from '../../workflows/messages.ts'
import { connectTemporal } from './client.ts'

export interface TwinQueryOptions {
  address: string
  namespace: string
  timeoutMs?: number
}

export function createTwinWorkflows({ address, namespace, timeoutMs = 5_000 }: TwinQueryOptions): TwinWorkflows & {
  close(): Promise<void>
} {
  let connecting: Promise<Connection> | undefined

  /** One attempt at a time; a failed one is forgotten. */
  const connection = (): Promise<Connection> => {
    connecting ??= connectTemporal(address).catch((error) => {
      connecting = undefined
      throw error
    })
    return connecting
  }

  return {
    async query(twin) {
      try {
        return await withTimeout(ask(twin), timeoutMs)
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return undefined
        throw new CastorError('unavailable', 'The twin’s workflow did not answer in time. Read without consistency=strong, or try again.', {
          retryAfterSeconds: 5,
          cause: error,
        })
      }
    },
    async close() {
      const open = await connecting?.catch(() => undefined)
      await open?.close()
    },
  }

  async function ask(twin: Parameters<TwinWorkflows['query']>[0]): Promise<TwinAnswer> {
    const open = await connection()
    const client = new Client({ connection: open, namespace })
    return open.withDeadline(Date.now() + timeoutMs, () => client.workflow.getHandle(twinWorkflowId(twin)).query<TwinAnswer>(TWIN_QUERY))
  }
}

/** Connecting has a longer timeout of its own. */
async function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
    promise.catch(() => {})
  }
}
