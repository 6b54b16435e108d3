/** A process beside a newer Castor: it must not write into a schema that it does not know. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { startProcess, type TestProcess } from '../support/process.ts'
import { testTemporal } from '../support/temporal.ts'
import { until } from '../support/wait.ts'

describe('beside a schema that is newer than they know', () => {
  let database: TestDatabase
  const started: TestProcess[] = []
  beforeAll(async () => {
    database = await testDatabase()
    await database.sql`insert into schema_migrations (version, name) values (9999, '9999_of_tomorrow.sql')`
  })
  afterAll(async () => {
    for (const process of started) await process.kill()
    await database?.drop()
  })

  async function start(name: string): Promise<{ process: TestProcess; health: string }> {
    const { address, namespace } = await testTemporal()
    const port = await freePort()
    const process = startProcess([name], {
      DATABASE_URL: database.url,
      TEMPORAL_ADDRESS: address,
      TEMPORAL_NAMESPACE: namespace,
      CASTOR_HEALTH_PORT: String(port),
      CASTOR_ADMIN_KEY: 'only-for-this-test',
    })
    started.push(process)
    return { process, health: `http://127.0.0.1:${port}/readyz` }
  }

  test.each(['processor', 'worker', 'dispatcher'])(
    'a %s waits, says why it is not ready, and goes on when the schema is its own',
    async (name) => {
      const { process, health } = await start(name)
      const status = await until(async () => {
        const response = await fetch(health)
        return (await response.text()).includes('9999') && response.status
      }, `it tells\n${process.output()}`)
      expect(status).toBe(503)
      expect(await database.sql`select 1 from lanes where owner is not null`).toEqual([])
      await database.sql`delete from schema_migrations where version = 9999`
      await until(async () => (await fetch(health)).ok, `it serves\n${process.output()}`)
      await database.sql`insert into schema_migrations (version, name) values (9999, '9999_of_tomorrow.sql')`
      expect(await process.stop()).toBe(0)
    },
  )

  test.each(['bridge', 'api'])('a %s ends, and says why', async (name) => {
    const { process } = await start(name)
    await until(() => process.exit, `it ends\n${process.output()}`)
    expect(process.exit!.code).toBe(1)
    expect(process.output()).toContain('9999')
  })
})
