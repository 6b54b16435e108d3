/**
 * The way to Temporal: a connection with sane limits, and what Castor needs of any Temporal it runs on (namespace with retention,
 * search attributes), made where it is missing. Idempotent, against the dev server and an outer cluster alike.
 */
import { Connection } from '@temporalio/client'
import type { Logger } from 'pino'
import { SEARCH_ATTRIBUTES as CARRIED } from '../../workflows/search-attributes.ts'

/** Those that the twins carry, by name. SQL visibility has 10 Keyword columns (docs/architecture.md §5). */
export const SEARCH_ATTRIBUTES: Readonly<Record<string, 'Keyword'>> = Object.fromEntries(
  Object.values(CARRIED).map(({ name }) => [name, 'Keyword' as const]),
)

/** temporal.api.enums.v1.IndexedValueType */
const INDEXED_VALUE_TYPE = { Keyword: 2 } as const
/** How long closed runs can be looked at; what a twin decided stays in Postgres. */
const RETENTION_SECONDS = 24 * 60 * 60
const CALL_TIMEOUT_MS = 10_000
/** gRPC status codes. */
const NOT_FOUND = 5
const ALREADY_EXISTS = 6
const PERMISSION_DENIED = 7
const UNIMPLEMENTED = 12

export async function connectTemporal(address: string): Promise<Connection> {
  try {
    return await Connection.connect({ address, connectTimeout: CALL_TIMEOUT_MS })
  } catch (error) {
    throw new Error(`Temporal at ${address} does not answer: ${(error as Error).message}`, { cause: error })
  }
}

/** Makes the namespace and the search attributes that are missing, and waits until they can be used. */
export async function prepareTemporal(connection: Connection, namespace: string): Promise<void> {
  await connection.withDeadline(Date.now() + 60_000, async () => {
    await ensureNamespace(connection, namespace)
    await ensureSearchAttributes(connection, namespace)
  })
}

export async function ensureNamespace(connection: Connection, namespace: string): Promise<void> {
  if (await namespaceExists(connection, namespace)) return
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      description: 'Castor: digital twins',
      workflowExecutionRetentionPeriod: { seconds: RETENTION_SECONDS as never },
    })
  } catch (error) {
    const code = codeOf(error)
    if (code === PERMISSION_DENIED || code === UNIMPLEMENTED)
      throw new Error(`Temporal has no namespace ${namespace} and does not let Castor make it: make it by hand.`, { cause: error })
    if (code !== ALREADY_EXISTS) throw error
  }
  // A frontend uses a new namespace only after its cache is refreshed: within some ten seconds.
  await retryWhile(async () => !(await namespaceUsable(connection, namespace)))
}

export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  // Namespaces of Temporal Cloud and the like are managed elsewhere: there a missing permission only means that we cannot look.
  let known: Record<string, unknown>
  try {
    known = await searchAttributes(connection, namespace)
  } catch (error) {
    if (codeOf(error) === PERMISSION_DENIED || codeOf(error) === UNIMPLEMENTED) return
    throw error
  }
  const missing = Object.entries(SEARCH_ATTRIBUTES).filter(([name]) => !(name in known))
  if (missing.length === 0) return
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, INDEXED_VALUE_TYPE[type]])),
    })
  } catch (error) {
    // Another process may have made them in the meantime.
    if (codeOf(error) !== ALREADY_EXISTS) throw error
  }
  await retryWhile(async () => {
    const now = await searchAttributes(connection, namespace)
    return missing.some(([name]) => !(name in now))
  })
}

async function searchAttributes(connection: Connection, namespace: string): Promise<Record<string, unknown>> {
  return (await connection.operatorService.listSearchAttributes({ namespace })).customAttributes ?? {}
}

async function namespaceUsable(connection: Connection, namespace: string): Promise<boolean> {
  try {
    await connection.workflowService.countWorkflowExecutions({ namespace })
    return true
  } catch (error) {
    if (codeOf(error) === NOT_FOUND) return false
    throw error
  }
}

async function namespaceExists(connection: Connection, namespace: string): Promise<boolean> {
  try {
    await connection.workflowService.describeNamespace({ namespace })
    return true
  } catch (error) {
    if (codeOf(error) === NOT_FOUND) return false
    throw error
  }
}

/** Bounded by the deadline of prepareTemporal: the calls fail when it is over. */
async function retryWhile(condition: () => Promise<boolean>): Promise<void> {
  while (await condition()) await new Promise((resolve) => setTimeout(resolve, 200))
}

function codeOf(error: unknown): number | undefined {
  return (error as { code?: number }).code
}

/** Temporal may come up later than we do: waits for it, and says so once. */
export async function prepareTemporalPatiently(address: string, namespace: string, log: Logger): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    let connection: Connection | undefined
    try {
      connection = await connectTemporal(address)
      return await prepareTemporal(connection, namespace)
    } catch (error) {
      if (attempt === 0) log.warn({ err: error }, `Waiting for Temporal at ${address}`)
      await new Promise((resolve) => setTimeout(resolve, Math.min(5_000, 250 * 2 ** attempt)))
    } finally {
      await connection?.close().catch(() => {})
    }
  }
}
