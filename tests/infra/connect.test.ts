import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect, type Queries, type Sql } from '../../infra/postgres/connect.ts'
import { freePort } from '../support/free-port.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
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

  /** A pool of one connection, so that what follows a loss must come over the connection that was lost. */
  async function withOne(check: (sql: Sql, kill: (pid: number) => Promise<unknown>) => Promise<void>) {
    const sql = connect(database.url, { max: 1, name: 'one' })
    try {
      await check(sql, (pid) => database.sql`select pg_terminate_backend(${pid}, 5000)`)
      expect(await sql`select 1 as one`).toEqual([{ one: 1 }])
      expect(await sql.begin((tx) => tx`select 2 as two`)).toEqual([{ two: 2 }])
    } finally {
      await sql.end({ timeout: 1 })
    }
  }

  const pidOf = async (queries: Queries) => (await queries<[{ pid: number }]>`select pg_backend_pid() as pid`)[0].pid

  test('a transaction whose connection is lost during a query fails, and the pool goes on', async () => {
    await withOne(async (sql, kill) => {
      const lost = sql.begin(async (tx) => {
        const pid = await pidOf(tx)
        const query = tx`select pg_sleep(20)`
        await Promise.all([query, kill(pid)])
      })
      await expect(lost).rejects.toThrow(/terminating connection|CONNECTION_CLOSED/)
    })
  })

  test('a transaction whose connection is lost while idle never goes on in another session', async () => {
    await database.sql`create table if not exists kept (id integer)`
    await withOne(async (sql, kill) => {
      const lost = sql.begin(async (tx) => {
        await tx`insert into kept values (1)`
        await kill(await pidOf(tx))
        await until(
          () =>
            tx`select 1`.then(
              () => false,
              () => true,
            ),
          'the loss is noticed',
        )
        await tx`insert into kept values (2)`
      })
      await expect(lost).rejects.toThrow()
      // Another transaction takes the connection over while the lost one still tries to write.
    })
    expect(await database.sql`select * from kept`).toEqual([])
  })

  test('a reserved connection that is lost refuses its queries, and its release gives a working slot back', async () => {
    await withOne(async (sql, kill) => {
      const reserved = await sql.reserve()
      await kill(await pidOf(reserved))
      await until(
        () =>
          reserved`select 1`.then(
            () => false,
            () => true,
          ),
        'the loss is noticed',
      )
      await expect(reserved`select 1`).rejects.toThrow()
      reserved.release()
    })
  })

  test('a COPY whose connection is lost fails, and the pool goes on', async () => {
    await database.sql`create table if not exists copied (id integer)`
    await withOne(async (sql, kill) => {
      const lost = sql.begin(async (tx) => {
        const pid = await pidOf(tx)
        const stream = await tx`copy copied from stdin`.writable()
        const failed = new Promise((_, reject) => stream.once('error', reject))
        stream.write('1\n')
        await Promise.all([failed, kill(pid)])
      })
      await expect(lost).rejects.toThrow()
    })
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
