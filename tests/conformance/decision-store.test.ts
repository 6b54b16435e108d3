/** The decision write on real Postgres. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDecisionStore } from '../../infra/postgres/decision-store.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { canonicalJson, envelopeSchema, verifiedPayload } from '../../twin-models/firmware/envelope.ts'
import { JOB_TYPE, jobSchema } from '../../twin-models/firmware/job.ts'
import type { TwinKey } from '../../twin-models/ids.ts'
import { directorKey, signJob } from '../support/director.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { firmware, scheduledUpdate } from '../support/updates.ts'
import {
  type AlarmShown,
  type CommandShown,
  decisionOf,
  decisionStoreSuite,
  GOODBYE,
  type StoreUnderTest,
  type UpdateShown,
  type WishShown,
} from './decision-store.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
  await database.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
})
afterAll(() => database.drop())

decisionStoreSuite('the decision write in Postgres', async () => onPostgres(database))

test('the backstop is told the last receipt, the connection and how far the lane has looked', async () => {
  const { store, register } = onPostgres(database)
  const { sql } = database
  const key = await register()
  const lane = key.incarnation % 16
  expect(await store.lastSeen(key)).toEqual({ lastSeenAt: 0, connected: false, watermark: 0 })
  await sql`update lanes set watermark = to_timestamp(1700000100.5) where lane = ${lane}`
  await sql`insert into twin_inbox (incarnation, lane, last_seen, connection) values (${key.incarnation}, ${lane}, 1700000000123, '[1, 1]')`
  expect(await store.lastSeen(key)).toEqual({ lastSeenAt: 1_700_000_000_123, connected: true, watermark: 1_700_000_100_500 })
  await sql`update lanes set grace_since = to_timestamp(1700000050) where lane = ${lane}`
  expect(await store.lastSeen(key)).toMatchObject({ lastSeenAt: 1_700_000_050_000 })
})

test('what fails leaves nothing behind: without a partition for its history a decision is not written', async () => {
  const { store, register, row, answers } = onPostgres(database)
  const key = await register()
  const other = await testDatabase()
  try {
    await other.sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
    const there = onPostgres(other)
    const lost = await there.register()
    for (const { name } of await other.sql<{ name: string }[]>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = 'twin_history'::regclass`)
      await other.sql.unsafe(`drop table ${name}`)
    const decision = decisionOf(lost, initialState(), 1, [{ kind: 'life', at: 1 }])
    await expect(there.store.write(decision)).rejects.toMatchObject({ code: '23514' })
    expect(await there.row(lost)).toMatchObject({ revision: 0 })
    expect(await there.answers(lost)).toEqual([])
  } finally {
    await other.drop()
  }
  await store.write(decisionOf(key, initialState(), 1, [{ kind: 'life', at: 1 }]))
  expect(await row(key)).toMatchObject({ revision: 1 })
  expect(await answers(key)).toHaveLength(1)
})

test('the job of an update is signed with the key of the platform', async () => {
  const { store, register, update, updateOf } = onPostgres(database)
  const key = await register()
  const id = await update(key)
  const firmware = { version: '2.0.0', sha256: 'a'.repeat(64) }
  const release = { id, attempt: 1, kind: 'install' as const, firmware, until: 1_900_000_000_000, linkUntil: 1_900_000_600_000 }
  const effects = { released: [], ended: [], late: [], updates: [{ id, release }], alarms: [] }
  await store.write({ ...decisionOf(key, initialState(), 1, [{ kind: 'life', at: 1 }]), effects })
  const { job } = await updateOf(id)
  const payload = verifiedPayload(envelopeSchema.parse(job), JOB_TYPE, directorKey)
  expect(jobSchema.parse(JSON.parse(payload!))).toMatchObject({ update: id, device: key.device, registration: key.incarnation, firmware })
  expect(payload).toBe(canonicalJson(JSON.parse(payload!)))
})

interface UpdateColumns {
  job: string | null
  progress: string | null
  version: string | null
  sha256: string | null
}

function onPostgres({ sql }: TestDatabase): StoreUnderTest {
  return {
    store: createDecisionStore(sql, { signJob }),
    register: async () => {
      const device = `d-${randomUUID()}`
      const [row] = await sql<[{ incarnation: number }]>`
        insert into devices (tenant, device, model, model_version, token_hash)
        values ('demo', ${device}, 'thermostat', '1.0.0', sha256(${device}::text::bytea)) returning incarnation`
      return { tenant: 'demo', device, incarnation: row.incarnation }
    },
    remove: async ({ incarnation }: TwinKey) => {
      await sql`delete from devices where incarnation = ${incarnation}`
    },
    answers: async ({ incarnation }) => {
      const rows = await sql<{ lane: number; seq: number; wake: string }[]>`
        select lane, seq, wake from twin_answers where incarnation = ${incarnation} order by id`
      return rows.map(({ lane, seq, wake }) => ({ lane, seq, wake: JSON.parse(wake) }))
    },
    history: async ({ incarnation }) => {
      const rows = await sql<{ revision: number; n: number; kind: string; event: string; cause: string }[]>`
        select revision, n, kind, event, cause from twin_history where incarnation = ${incarnation} order by revision, n`
      return rows.map((row) => ({ ...row, event: JSON.parse(row.event), cause: JSON.parse(row.cause) }))
    },
    request: async ({ tenant, incarnation }) => {
      const id = randomUUID()
      await sql`insert into twin_requests (id, tenant, incarnation, lane, kind) values (${id}, ${tenant}, ${incarnation}, ${incarnation % 16}, 'deliver')`
      return id
    },
    answerOf: async (id) => {
      const [row] = await sql<{ answer: string | null }[]>`select answer from twin_requests where id = ${id}`
      return row?.answer ? JSON.parse(row.answer) : undefined
    },
    row: async ({ incarnation }) => {
      const [row] = await sql<{ revision: number; seq: number; decided: unknown }[]>`
        select revision, decided_seq as seq, decided from devices where incarnation = ${incarnation}`
      return row && { ...row }
    },
    command: async ({ tenant, device, incarnation }, { sent = false } = {}) => {
      const id = randomUUID()
      await sql`
        insert into commands (id, tenant, incarnation, device, name, requested_by, repeatable, retry_ms, max_attempts, expires_at, status, sent_at)
        values (${id}, ${tenant}, ${incarnation}, ${device}, 'identify', 'admin', true, 1000, 5, now() + interval '1 hour',
          ${sent ? 'sent' : 'queued'}, case when ${sent} then now() end)`
      return id
    },
    commandOf: async (id) => {
      const [row] = await sql<[CommandShown & { output: string | null; late: string | null }]>`
        select status, released_at is not null as released, ended_at is not null as ended, output, code, cancel_at is not null as tell, late
        from commands where id = ${id}`
      return { ...row, output: row.output && JSON.parse(row.output), late: row.late && JSON.parse(row.late) }
    },
    wish: async ({ incarnation }) => {
      const [row] = await sql<Array<WishShown & { body: string | null }>>`
        select version, body, answered, retry_ms as "retryMs", attempts from wishes where incarnation = ${incarnation}`
      return row && { ...row, body: row.body && JSON.parse(row.body) }
    },
    wishSent: async ({ incarnation }) => {
      await sql`update wishes set attempts = 1, sent_at = now(), sent_version = version where incarnation = ${incarnation}`
    },
    update: async (key) => (await scheduledUpdate(sql, key, await firmware(sql))).id,
    updateOf: async (id) => {
      const [{ job, progress, version, sha256, ...row }] = await sql<[UpdateShown & UpdateColumns]>`
        select status, attempt, job, link, extract(epoch from until)::float8 * 1000 as until,
          extract(epoch from link_until)::float8 * 1000 as "linkUntil", sends, sent_at is not null as sent, answered_at is not null as answered,
          progress, ended_at is not null as ended, code, message, cancel_at is not null as tell, from_version as version, from_sha256 as sha256
        from updates where id = ${id}`
      return { ...row, job: job && JSON.parse(job), progress: progress && JSON.parse(progress), from: [version, sha256] }
    },
    alarms: async ({ incarnation }) => {
      const ms = (column: string) => sql.unsafe(`(extract(epoch from ${column}) * 1000)::float8`)
      const rows = await sql<Array<AlarmShown & { values: string }>>`
        select incarnation, tenant, device, n, rule, rule_version as version, severity, status, text, ${ms('since')} as since,
          ${ms('raised_at')} as "raisedAt", ${ms('updated_at')} as "updatedAt", count, flapping, muted,
          ${ms('acknowledged_at')} as "acknowledgedAt", acknowledged_by as "acknowledgedBy", acknowledged_note as "acknowledgedNote",
          ${ms('shelved_until')} as "shelvedUntil", assignee, ${ms('cleared_at')} as "clearedAt", clear_reason as "clearReason",
          cleared_by as "clearedBy", clear_note as "clearNote", "values"
        from alarms where incarnation = ${incarnation} order by n`
      return rows.map((row) => ({ ...row, values: JSON.parse(row.values) }))
    },
    updateHeard: async (id) => {
      await sql`
        update updates set told_at = to_timestamp(1000), sent_at = to_timestamp(2000), sends = 2, answered_at = now(), status = 'downloading', progress = '40',
          status_at = to_timestamp(3000)
        where id = ${id}`
      await sql`
        insert into twin_inbox (incarnation, lane, last_seen, pending)
        select incarnation, 0, 4000000, ${GOODBYE.pending} from updates where id = ${id} on conflict (incarnation) do nothing`
      await sql`
        insert into twin_wakes (incarnation, wake)
        select incarnation, ${GOODBYE.wake} from updates where id = ${id} on conflict (incarnation) do nothing`
    },
  }
}
