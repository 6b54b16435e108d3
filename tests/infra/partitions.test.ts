import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrate } from '../../infra/postgres/migrate.ts'
import { ensurePartitions, PARTITIONED_TABLES, partitionsAround } from '../../infra/postgres/partitions.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'

const NOW = new Date('2026-11-21T06:17:30Z')
const table = (name: string) => PARTITIONED_TABLES.find((t) => t.table === name)!

describe('partitions', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase({ migrated: false })
    await migrate(database.sql)
  })
  afterAll(() => database.drop())

  test('names and ranges tell their start', () => {
    const log = partitionsAround(table('ingest_log'), NOW)
    expect(log).toHaveLength(14)
    expect(log[1]).toEqual({
      name: 'ingest_log_20261121t0610',
      table: 'ingest_log',
      from: new Date('2026-11-21T06:10:00Z'),
      to: new Date('2026-11-21T06:20:00Z'),
    })
    const telemetry = partitionsAround(table('telemetry'), NOW).map(({ name }) => name)
    expect([telemetry[0], telemetry.at(-1)]).toEqual(['telemetry_20261113', 'telemetry_20261123'])
    // 2026-11-16 is a Monday.
    expect(partitionsAround(table('twin_history'), NOW)[1]!.name).toBe('twin_history_20261116')
  })

  test('four that ask at once make each partition once', async () => {
    const made = (await Promise.all(Array.from({ length: 4 }, () => ensurePartitions(database.sql, NOW)))).flat()
    expect(new Set(made).size).toBe(made.length)
    expect(made).toHaveLength(PARTITIONED_TABLES.reduce((sum, { before, after }) => sum + before + 1 + after, 0))
    expect(await ensurePartitions(database.sql, NOW)).toEqual([])
  })

  test('the next ten minutes need one more', async () => {
    const later = new Date(NOW.getTime() + 600_000)
    expect(await ensurePartitions(database.sql, later)).toEqual(['ingest_log_20261121t0820'])
  })

  test('rows find their partition, with the indexes and the identity of the table', async () => {
    const { sql } = database
    const rows = await sql`insert into dead_letters (at, tenant, device, incarnation, topic, reason, detail, size, raw)
      values (${NOW}, 'demo', 't-1', 1, 't', 'r', 'd', 1, ''::bytea) returning id, tableoid::regclass::text as partition`
    expect(rows).toMatchObject([{ id: 1, partition: 'dead_letters_20261121' }])
    const [{ count }] = await sql<[{ count: number }]>`select count(*) from pg_indexes where tablename = 'dead_letters_20261121'`
    expect(count).toBe(2)
  })

  test('partitions are made while a transaction writes into the table', async () => {
    const { sql } = database
    await sql.begin(async (tx) => {
      await tx`insert into telemetry (incarnation, property, ts, received_at, number) values (1, 1, ${NOW}, ${NOW}, 1)`
      const tomorrow = new Date(NOW.getTime() + 86_400_000)
      expect(await ensurePartitions(sql, tomorrow)).toContain('telemetry_20261124')
    })
  })
})
