import pino from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openWriter } from '../../api/ingest/writer.ts'
import { postgresIngestLog } from '../../infra/postgres/ingest-log.ts'
import { MemoryIngestLog, type StoredEntry } from '../support/memory-ingest-log.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { proxiedDatabase } from '../support/tcp-proxy.ts'
import { until } from '../support/wait.ts'
import { testIngestLog } from './ingest-log.ts'

testIngestLog('memory', async () => {
  const memory = new MemoryIngestLog()
  return {
    store: () => memory,
    entries: async (stream) => memory.entries.filter((entry) => entry.stream === stream),
    isClosed: async (stream) => memory.streams[stream - 1]!.closed,
    end: async () => {},
  }
})

testIngestLog('Postgres', async () => {
  const database = await testDatabase()
  return {
    store: () => postgresIngestLog({ url: database.url, bridge: 'test' }),
    entries: (stream) => entriesOf(database, stream),
    isClosed: async (stream) => {
      const [row] = await database.sql`select closed_at is not null as closed from streams where stream = ${stream}`
      return row!.closed
    },
    end: () => database.drop(),
  }
})

describe('the ingest log when Postgres is away', () => {
  const log = pino({ level: 'silent' })
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
  })
  afterAll(() => database?.drop())

  test('keeps what waits and writes it once, in order, when Postgres is back', async () => {
    const { url, proxy } = await proxiedDatabase(database.url)
    const writer = await openWriter({ store: postgresIngestLog({ url, bridge: 'test' }), log })
    const answered: number[] = []
    const push = (i: number) =>
      writer.push(
        { incarnation: 1, kind: 'telemetry', receivedAt: Date.now(), payload: Buffer.from(String(i)), size: String(i).length },
        () => answered.push(i),
      )
    push(0)
    await until(() => answered.length === 1, 'the first message')
    // Commits happen, but their answers do not arrive: their outcome is unknown.
    proxy.mute()
    for (let i = 1; i < 50; i++) push(i)
    await until(async () => (await bodies(database, writer.stream)).length > 1, 'a commit without an answer')
    proxy.cut()
    for (let i = 50; i < 60; i++) push(i)
    await until(() => writer.failingForMs() > 0, 'the writer to notice')
    expect(answered).toEqual([0])
    proxy.open()
    await until(() => answered.length === 60, 'all messages')
    expect(answered).toEqual(Array.from({ length: 60 }, (_, i) => i))
    expect((await bodies(database, writer.stream)).join('')).toBe(answered.join(''))
    await writer.close()
    await proxy.close()
  })

  test('gives up a connection that does not answer', async () => {
    const { url, proxy } = await proxiedDatabase(database.url)
    const writer = await openWriter({ store: postgresIngestLog({ url, bridge: 'test', answerTimeoutMs: 200 }), log })
    proxy.mute()
    const answer = writer.append({ incarnation: 1, kind: 'telemetry', receivedAt: Date.now(), payload: Buffer.from('x'), size: 1 })
    await until(() => writer.failingForMs() > 0, 'the writer to give up')
    proxy.open()
    await answer
    expect(await bodies(database, writer.stream)).toEqual(['x'])
    await writer.close()
    await proxy.close()
  })

  test('makes the partition that a commit needs', async () => {
    const writer = await openWriter({
      store: postgresIngestLog({ url: database.url, bridge: 'test' }),
      log,
      now: () => Date.now() + 86_400_000 * 400,
    })
    await writer.append({ incarnation: 1, kind: 'telemetry', receivedAt: Date.now(), payload: Buffer.from('later'), size: 5 })
    expect(await bodies(database, writer.stream)).toEqual(['later'])
    await writer.close()
  })
})

async function bodies(database: TestDatabase, stream: number): Promise<string[]> {
  return (await entriesOf(database, stream)).filter(({ lane }) => lane >= 0).map(({ body }) => body.toString())
}

async function entriesOf({ sql }: TestDatabase, stream: number): Promise<StoredEntry[]> {
  const rows = await sql<Array<StoredEntry & { at: Date }>>`
    select stream, seq, lane, at, heads, body from ingest_log where stream = ${stream} order by seq`
  return rows.map((row) => ({ ...row, at: row.at.getTime() }) as StoredEntry)
}
