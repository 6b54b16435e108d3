/** The sequencer: positions without holes, in one order, one process at a time. */
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { numberRows, startSequencer } from '../../infra/postgres/outbox.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

const log = pino({ level: 'silent' })
let database: TestDatabase
beforeEach(async () => {
  database = await testDatabase()
  await ensurePartitions(database.sql, new Date())
})
afterEach(() => database.drop())

async function add(sql: { unsafe(text: string): Promise<unknown> }, count: number, what = 'n'): Promise<void> {
  await sql.unsafe(`insert into outbox (at, tenant, incarnation, device, kind, event, cause)
    select now(), 'demo', n, '${what}', 'x', '{}', '{}' from generate_series(1, ${count}) n`)
}

async function positions(): Promise<Array<number | null>> {
  const rows = await database.sql<Array<{ position: number | null }>>`select position from outbox order by id`
  return rows.map(({ position }) => position)
}

test('rows get the next positions in the order of their ids, a bounded number at a time', async () => {
  await add(database.sql, 5)
  expect(await numberRows(database.sql, 3)).toBe(3)
  expect(await positions()).toEqual([1, 2, 3, null, null])
  expect(await numberRows(database.sql, 3)).toBe(2)
  expect(await numberRows(database.sql, 3)).toBe(0)
  expect(await positions()).toEqual([1, 2, 3, 4, 5])
  expect(await database.sql`select position from outbox_end`).toEqual([{ position: 5 }])
})

test('a row that is committed late gets a later position: who read up to the last one misses nothing', async () => {
  const { sql } = database
  const held = Promise.withResolvers<void>()
  const written = Promise.withResolvers<void>()
  const late = sql.begin(async (tx) => {
    await add(tx, 1, 'late')
    written.resolve()
    await held.promise
  })
  await written.promise
  await add(sql, 2, 'early')
  expect(await numberRows(sql, 100)).toBe(2)
  held.resolve()
  await late
  expect(await numberRows(sql, 100)).toBe(1)
  expect(await sql`select device, position from outbox order by position`).toEqual([
    { device: 'early', position: 1 },
    { device: 'early', position: 2 },
    { device: 'late', position: 3 },
  ])
})

test('one of two numbers; when its connection is cut the other does, and no position is given twice or left out', async () => {
  const pools = [0, 1].map((n) => connect(database.url, { max: 2, name: `sequencer ${n}` }))
  const sequencers = pools.map((sql) => startSequencer({ sql, log }))
  try {
    for (let round = 0; round < 6; round++) {
      await Promise.all(Array.from({ length: 8 }, () => add(database.sql, 25)))
      await database.sql`
        select pg_terminate_backend(l.pid) from pg_locks l join pg_stat_activity a using (pid)
        where locktype = 'advisory' and objid::bigint = 7204811004 & 4294967295 and a.datname = current_database()`
      await until(async () => !(await positions()).includes(null), 'all are numbered')
    }
    const given = (await positions()).toSorted((a, b) => a! - b!)
    expect(given).toEqual(Array.from({ length: 6 * 8 * 25 }, (_, n) => n + 1))
  } finally {
    await Promise.all(sequencers.map((sequencer) => sequencer.stop()))
    await Promise.all(pools.map((sql) => sql.end()))
  }
  expect(
    await database.sql`select from pg_locks where locktype = 'advisory' and objid::bigint = 7204811004 & 4294967295 and database =
    (select oid from pg_database where datname = current_database())`,
  ).toHaveLength(0)
})
