/** Rollouts on a real Temporal and a real Postgres, without any cache. The twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { testTemporal } from '../support/temporal.ts'
import { until } from '../support/wait.ts'
import { artifact, eventsOf, fleet, type RolloutWorker, sha256Of, startRolloutWorker, stored, targets, twinsOf } from './rollouts.ts'

let database: TestDatabase
let worker: RolloutWorker

beforeAll(async () => {
  database = await testDatabase()
  await database.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const { address } = await testTemporal()
  worker = await startRolloutWorker({ sql: database.sql, address })
}, 180_000)
afterAll(async () => {
  await worker?.stop()
  await database?.drop()
})
afterEach(() => {
  for (const name of Object.keys(worker.instead)) delete worker.instead[name as keyof typeof worker.instead]
})

test('an operator starts one in the UI, approves it there, and each wave begins when the one before is healthy', async () => {
  const { handle, name, twins } = await begun(20, { approval: 'one', waves: [{ count: 2 }, { percent: 50 }, { percent: 100 }] })
  await until(async () => (await details(handle)).includes('approve'), 'it waits for its approval')
  expect(await details(handle)).toContain('If it began now: 20 of 20 devices')
  expect(await handle.executeUpdate('approve', { args: [{ by: 'ann' }] })).toBe('It is approved and begins.')
  for (const [wave, count] of [2, 8, 10].entries()) {
    await until(async () => (await twins.asked()).filter(({ ended }) => !ended).length === count, `wave ${wave + 1} is asked`).catch(
      async (e) => {
        console.log(await details(handle), await targets(database.sql, name), await stored(database.sql, name), await twins.asked())
        throw e
      },
    )
    expect(await stored(database.sql, name)).toMatchObject({ status: 'running', wave, approvedBy: 'ann' })
    await twins.end('healthy')
  }
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 20, healthy: 20 } })
  expect(await twins.asked()).toHaveLength(20)
  const { id } = await stored(database.sql, name)
  expect((await eventsOf(database.sql, id)).map(({ kind }) => kind)).toEqual(['rollout-started', 'rollout-ended'])
  expect(JSON.stringify((await handle.describe()).raw)).toContain('RolloutId')
})

async function details(handle: Awaited<ReturnType<RolloutWorker['start']>>): Promise<string> {
  const metadata = await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata').catch(() => undefined)
  return metadata?.currentDetails ?? ''
}

interface Options {
  version?: string
  more?: object
}

/** A rollout of a new version of a firmware of its own, to a site of its own. */
async function begun(devices: number, spec: object = {}, { version = '2.0.0', more = {} }: Options = {}) {
  const { sql } = database
  const firmware = `fw-${randomUUID().slice(0, 8)}`
  await artifact(sql, firmware, '1.0.0', 1)
  await artifact(sql, firmware, version, 2, { rollbackTo: ['1.0.0'], ...more })
  const site = await fleet(sql, devices)
  const name = `to ${version} at ${site}`
  const request = {
    name,
    firmware: { name: firmware, version },
    filter: `attributes.site = '${site}'`,
    soak: '0s',
    approval: 'none',
    perSecond: 100,
  }
  const handle = await worker.start({ tenant: 'demo', ...request, ...spec })
  return {
    handle,
    name,
    site,
    firmware,
    twins: twinsOf(sql, site),
    state: () => stored(sql, name),
    targets: (back?: boolean) => targets(sql, name, back),
  }
}
