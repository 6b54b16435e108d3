import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../infra/postgres/connect.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { freePort } from '../support/servers.ts'
import { until } from '../support/wait.ts'

describe('connections to Postgres', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
  })
  afterAll(() => database.drop())

  test('int8 reads as number and times as Date', async () => {
    const rows = await database.sql`select count(*) as count, 1791234567890::bigint as ms, '2026-01-01T00:00:00Z'::timestamptz as at`
    expect(rows).toEqual([{ count: 1, ms: 1791234567890, at: new Date('2026-01-01T00:00:00Z') }])
  })

  test('the Unix socket and TCP both work', async () => {
    const url = new URL(database.url)
    expect(url.searchParams.get('host')).toMatch(/^\//)
    url.searchParams.delete('host')
    const tcp = connect(url.href, { max: 1, name: 'tcp' })
    expect(await tcp`select inet_server_addr() is not null as tcp`).toEqual([{ tcp: true }])
    expect(await database.sql`select inet_server_addr() is null as local`).toEqual([{ local: true }])
    await tcp.end()
  })

  test('a statement and a transaction that take too long are ended', async () => {
    const sql = connect(database.url, { max: 1, name: 'short', statementTimeoutMs: 50, transactionTimeoutMs: 100 })
    await expect(sql`select pg_sleep(5)`).rejects.toMatchObject({ code: '57014' })
    await expect(
      sql.begin(async (tx) => {
        for (;;) await tx`select pg_sleep(0.03)`
      }),
    ).rejects.toThrow()
    expect(await sql`select 1 as one`).toEqual([{ one: 1 }])
    await sql.end()
  })

  test('a pool recovers after more failed connections than it holds', async () => {
    const port = await freePort()
    const sql = connect(`postgres://u:p@127.0.0.1:${port}/x`, { max: 2, name: 'down' })
    for (let i = 0; i < 5; i++) await expect(sql`select 1`).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    const seen: Socket[] = []
    const server = createServer((socket) => seen.push(socket)).listen(port, '127.0.0.1')
    const query = sql`select 1`.catch(() => {})
    await until(() => seen.length > 0, 'the pool connects again')
    for (const socket of seen) socket.destroy()
    server.close()
    await query
    await sql.end({ timeout: 0 })
  })
})
