/** Where a file of tests takes place: a database of its own with the tenant `demo`, and a worker on a real Temporal. */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll } from 'vitest'
import type { Sql } from '../../infra/postgres/connect.ts'
import { connectTemporal, prepareTemporal } from '../../infra/temporal/client.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { testTemporal } from '../support/temporal.ts'

export interface Place {
  sql: Sql
  address: string
  namespace: string
}

interface Work {
  /** What its store does instead, while set: until the end of a test. */
  instead: object
  stop(): Promise<void>
}

export interface Setting<Worker> extends Place {
  worker: Worker
}

/** Its members are there from the first test to the last. */
export function setting<Worker extends Work>(
  start: (place: Place) => Promise<Worker>,
  { ownNamespace = false }: { ownNamespace?: boolean } = {},
): Readonly<Setting<Worker>> {
  const here = {} as Setting<Worker>
  let database: TestDatabase | undefined
  beforeAll(async () => {
    database = await testDatabase()
    here.sql = database.sql
    await here.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
    here.address = (await testTemporal()).address
    here.namespace = ownNamespace ? await madeNamespace(here.address) : 'default'
    here.worker = await start(here)
  }, 180_000)
  afterEach(() => {
    const { instead } = here.worker
    for (const name of Object.keys(instead)) Reflect.deleteProperty(instead, name)
  })
  afterAll(async () => {
    await here.worker?.stop()
    await database?.drop()
  })
  return here
}

async function madeNamespace(address: string): Promise<string> {
  const namespace = `test-${randomUUID()}`
  const connection = await connectTemporal(address)
  await prepareTemporal(connection, namespace)
  await connection.close()
  return namespace
}
