/** What concerns very many devices of a rollout at once is done in pieces, each of them once, and only while it is its turn. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Rollout } from '../../activities/rollout-ports.ts'
import { cancelRunning, dropWaiting, stopUntold } from '../../infra/postgres/rollout-settle.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

/** More than two pieces. */
const DEVICES = 4_500
const STEP = 7

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
  await database.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
})
afterAll(() => database?.drop())

/** Of its devices under way every third was told, and every ninth reboots; as many wait. */
async function underway(): Promise<Rollout> {
  const { sql } = database
  const [id, firmware] = [randomUUID(), randomUUID()]
  await sql`
    insert into firmware (id, tenant, name, model, version, counter, size, sha256, manifest, notes, created_by)
    values (${firmware}, 'demo', ${firmware}, 'thermostat', '1', 1, 1, 'x', '{}', '', 'test')`
  await sql`
    insert into rollouts (id, tenant, name, firmware, spec, requested_by, status, step)
    values (${id}, 'demo', 'r', ${firmware}, '{}', 'test', 'running', ${STEP})`
  await sql`
    insert into rollout_targets (rollout, number, wave, incarnation, device, firmware, status)
    select ${id}, n, n % 3, n, 'd-' || n, ${firmware}, case when n <= ${DEVICES} then 'underway' else 'waiting' end
    from generate_series(1, ${2 * DEVICES}::int) n`
  await sql`
    insert into updates (id, tenant, incarnation, device, rollout, firmware, kind, requested_by, status, told_at)
    select "update", 'demo', incarnation, device, rollout, firmware, 'install', 'test',
      case when number % 9 = 0 then 'rebooting' else 'scheduled' end, case when number % 3 = 0 then now() end
    from rollout_targets where rollout = ${id} and status = 'underway'`
  return { id, tenant: 'demo' } as Rollout
}

async function targets({ id }: Rollout): Promise<Record<string, number>> {
  const rows = await database.sql<Array<{ how: string; count: number }>>`
    select concat_ws(' ', status, reason) as how, count(*)::int as count from rollout_targets where rollout = ${id} group by 1`
  return Object.fromEntries(rows.map(({ how, count }) => [how, count]))
}

async function cancelled({ id }: Rollout): Promise<number> {
  const [row] = await database.sql<[{ count: number }]>`
    select count(*)::int as count from twin_requests r join updates u on u.id = (r.body::json ->> 'id')::uuid
    where r.kind = 'cancel-update' and u.rollout = ${id}`
  return row.count
}

test('a halt stops all that no device was told of, and again nothing', async () => {
  const rollout = await underway()
  for (let again = 0; again < 2; again++) {
    await stopUntold(database.sql, rollout, false, STEP)
    expect(await targets(rollout)).toEqual({ 'underway halted': (DEVICES * 2) / 3, underway: DEVICES / 3, waiting: DEVICES })
    expect(await cancelled(rollout)).toBe((DEVICES * 2) / 3)
  }
})

test('all under way is cancelled, but for what cannot be called back', async () => {
  const rollout = await underway()
  for (let again = 0; again < 2; again++) {
    await cancelRunning(database.sql, rollout, false, STEP + 1)
    expect(await cancelled(rollout)).toBe((DEVICES * 8) / 9)
  }
  expect(await targets(rollout)).toEqual({ underway: DEVICES, waiting: DEVICES })
})

test('nobody who waits is asked any more', async () => {
  const rollout = await underway()
  await dropWaiting(database.sql, rollout, false, 'cancelled', STEP + 1)
  expect(await targets(rollout)).toEqual({ underway: DEVICES, 'skipped cancelled': DEVICES })
})

test('who comes late does nothing: the step was done', async () => {
  const rollout = await underway()
  await stopUntold(database.sql, rollout, false, STEP - 1)
  await cancelRunning(database.sql, rollout, false, STEP)
  await dropWaiting(database.sql, rollout, false, 'cancelled', STEP)
  expect(await targets(rollout)).toEqual({ underway: DEVICES, waiting: DEVICES })
  expect(await cancelled(rollout)).toBe(0)
})
