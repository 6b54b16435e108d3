import { afterAll, beforeAll, expect, it } from 'vitest'
import { encodeCommit } from '../../api/ingest/commit.ts'
import { FINISHED } from '../../api/ingest/lane-store.ts'
import type { Message } from '../../api/ingest/log.ts'
import { postgresIngestLog } from '../../infra/postgres/ingest-log.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { unprocessed } from './lag.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.drop())

it('the lag counts the messages beyond the cursor of their lane, of every stream that is not finished', async () => {
  const { sql, url } = database
  const log = postgresIngestLog({ url, bridge: 'test' })
  const stream = await log.open()
  const messages = [1, 1, 17, 2, 3].map((incarnation) => messageOf(incarnation))
  await log.write(encodeCommit(stream, 1, Date.now(), messages, true))
  expect(await unprocessed(sql)).toBe(5)

  // Lane 1 holds the first entry: incarnations 1, 1 and 17.
  await sql`update lanes set cursors = ${JSON.stringify({ [stream]: 1 })} where lane = 1`
  expect(await unprocessed(sql)).toBe(2)
  await sql`update lanes set cursors = ${JSON.stringify({ [stream]: 4 })}`
  expect(await unprocessed(sql)).toBe(0)

  const second = await log.open()
  await log.write(encodeCommit(second, 1, Date.now(), messages.slice(0, 2), false))
  expect(await unprocessed(sql)).toBe(2)
  await sql`update lanes set cursors = ${JSON.stringify({ [stream]: 4, [second]: FINISHED })}`
  expect(await unprocessed(sql)).toBe(0)
  await log.end()
})

function messageOf(incarnation: number): Message {
  const payload = Buffer.from('{"temperature": 20}')
  return { incarnation, kind: 'telemetry', receivedAt: Date.now(), payload, size: payload.length }
}
