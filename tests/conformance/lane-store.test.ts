/** The processor's store, in Postgres and in memory (which the simulation uses): one suite for both. */
import type { Sql } from '../../infra/postgres/connect.ts'
import { postgresLaneStore } from '../../infra/postgres/lane-store.ts'
import { claimLanes, releaseLanes, renewLanes, shareOfLanes } from '../../infra/postgres/leases.ts'
import { removeDevice } from '../../infra/postgres/registry.ts'
import { insertRequest } from '../../infra/postgres/requests.ts'
import { insertAlarms } from '../support/alarms.ts'
import { MemoryDatabase } from '../support/memory-database.ts'
import { memoryLaneStore } from '../support/memory-lane-store.ts'
import * as memoryLeases from '../support/memory-leases.ts'
import { testDatabase } from '../support/postgres.ts'
import { type CommandShown, type LaneStoreUnderTest, laneStoreSuite, type UpdateShown } from './lane-store.ts'

laneStoreSuite('Postgres', async (): Promise<LaneStoreUnderTest> => {
  const { sql, drop } = await testDatabase()
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  return {
    store: postgresLaneStore(sql),
    register: async (device) => {
      const [row] = await sql<[{ incarnation: number }]>`
        insert into devices (tenant, device, model, model_version, token_hash)
        values ('demo', ${device}, 'thermostat', '1.0.0', sha256(${device}::text::bytea)) returning incarnation`
      return row.incarnation
    },
    remove: async (incarnation) => {
      const [row] = await sql<[{ device: string }]>`select device from devices where incarnation = ${incarnation}`
      await removeDevice(sql, 'demo', row.device, 'test')
    },
    answer: async (incarnation, seq) => {
      await sql`insert into twin_answers (lane, incarnation, seq, wake) values (${incarnation % 16}, ${incarnation}, ${seq}, '{}')`
    },
    request: async (id, incarnation, kind = 'deliver', body = '{}') => {
      await insertRequest(sql, { id, tenant: 'demo', incarnation, kind, body })
    },
    answerOf: async (id) => (await sql<[{ answer: string | null }]>`select answer from twin_requests where id = ${id}`)[0].answer,
    command: async (id, incarnation, { status, ended } = { status: 'queued', ended: false }) => {
      await sql`
        insert into commands (id, tenant, incarnation, device, name, requested_by, repeatable, retry_ms, max_attempts, expires_at, status, ended_at)
        values (${id}, 'demo', ${incarnation}, 't', 'identify', 'admin', true, 1000, 5, now() + interval '1 hour', ${status},
          case when ${ended} then now() end)`
    },
    commandOf: async (id) => {
      const [row] = await sql<[CommandShown & { progress: string | null; late: string | null }]>`
        select status, (extract(epoch from acknowledged_at) * 1000)::float8 as "acknowledgedAt", progress, ended_at is not null as ended, code, late
        from commands where id = ${id}`
      return { ...row, progress: row.progress && JSON.parse(row.progress), late: row.late && JSON.parse(row.late) }
    },
    update: async (id, incarnation, { status = 'scheduled', told = false, ended = false, code = null } = {}) => {
      const firmware = await someFirmware(sql)
      await sql`
        insert into updates (id, tenant, incarnation, device, firmware, kind, requested_by, status, attempt, job, sent_at, ended_at, code)
        values (${id}, 'demo', ${incarnation}, 't', ${firmware}, 'install', 'admin', ${status}, 1, '{}', case when ${told} then now() end,
          case when ${ended} then now() end, ${code})`
    },
    updateOf: async (id) => {
      const [row] = await sql<[UpdateShown & { progress: string | null }]>`
        select status, (extract(epoch from answered_at) * 1000)::float8 as "answeredAt", progress, ended_at is not null as ended, code, job,
          (extract(epoch from status_at) * 1000)::float8 as "statusAt" from updates where id = ${id}`
      return { ...row, progress: row.progress && JSON.parse(row.progress) }
    },
    wish: async (incarnation) => {
      await sql`insert into wishes (incarnation, version, retry_ms) values (${incarnation}, 1, 1000)`
    },
    hasWish: async (incarnation) => (await sql`select 1 from wishes where incarnation = ${incarnation}`).length > 0,
    alarms: (incarnation, ...rows) => insertAlarms(sql, { incarnation, tenant: 'demo', device: 't' }, ...rows),
    alarmsOf: (incarnation) => sql`
      select n, status, clear_reason as "clearReason", cleared_at is not null as ended from alarms where incarnation = ${incarnation} order by n`,
    openStream: async () => (await sql<[{ stream: number }]>`insert into streams (bridge) values ('b') returning stream`)[0].stream,
    append: async ({ stream, seq, lane, at, heads, body }) => {
      await sql`insert into ingest_log (stream, seq, lane, at, heads, body) values (${stream}, ${seq}, ${lane}, ${new Date(at)}, ${heads}, ${body})`
    },
    readings: async (incarnation) => {
      const rows = await sql<Array<{ ts: number; receivedAt: number; number: number | null; other: string; messageId: string | null }>>`
        select extract(epoch from ts)::float8 * 1000 as ts, extract(epoch from received_at)::float8 * 1000 as "receivedAt",
          number, other, message_id as "messageId" from telemetry where incarnation = ${incarnation} order by ts`
      return rows.map(({ number, other, ...row }) => ({ ...row, value: number ?? JSON.parse(other) }))
    },
    deadLetters: async (incarnation) => {
      const rows = await sql<{ reason: string; raw: Buffer }[]>`select reason, raw from dead_letters where incarnation = ${incarnation}`
      return rows.map(({ reason, raw }) => ({ reason, raw: [...raw] }))
    },
    leases: {
      share: (processor) => shareOfLanes(sql, processor),
      renew: (processor) => renewLanes(sql, processor),
      claim: (processor, count) => claimLanes(sql, processor, count),
      release: (processor, lanes) => releaseLanes(sql, processor, lanes),
    },
    end: () => drop(),
  }
})

laneStoreSuite('memory', async (): Promise<LaneStoreUnderTest> => {
  const db = new MemoryDatabase(Date.now)
  return {
    store: memoryLaneStore(db),
    register: async (device) => db.register('demo', device, 'thermostat', '1.0.0').incarnation,
    remove: async (incarnation) => db.remove(incarnation),
    answer: async (incarnation, seq) => db.answer(incarnation, seq, '{}'),
    request: async (id, incarnation, kind = 'deliver', body = '{}') => db.request(id, 'demo', incarnation, kind, body),
    answerOf: async (id) => db.requests.get(id)!.answer,
    command: async (id, incarnation, { status, ended } = { status: 'queued', ended: false }) => {
      const of = { tenant: 'demo', incarnation, device: 't', name: 'identify', input: null, requestedBy: 'admin' }
      const command = db.command({ id, ...of, repeatable: true, retryMs: 1000, maxAttempts: 5, expiresAt: Date.now() + 3_600_000 })
      Object.assign(command, { status, endedAt: ended ? Date.now() : null })
    },
    commandOf: async (id) => {
      const { status, acknowledgedAt, progress, endedAt, code, late } = db.commands.get(id)!
      const [parsed, answers] = [progress, late].map((text) => text && JSON.parse(text))
      return { status, acknowledgedAt, progress: parsed, ended: endedAt !== null, code, late: answers }
    },
    update: async (id, incarnation, { status = 'scheduled', told = false, ended = false, code = null } = {}) => {
      const of = { tenant: 'demo', incarnation, device: 't', rollout: null, firmware: 'f', requestedBy: 'admin' }
      const [sentAt, endedAt] = [told, ended].map((is) => (is ? Date.now() : null))
      Object.assign(db.update({ id, ...of, kind: 'install' }), { status, attempt: 1, job: '{}', sentAt, endedAt, code })
    },
    updateOf: async (id) => {
      const { status, answeredAt, statusAt, progress, endedAt, code, job } = db.updates.get(id)!
      return { status, answeredAt, statusAt, progress: progress && JSON.parse(progress), ended: endedAt !== null, code, job }
    },
    wish: async (incarnation) => {
      const unsent = { sentVersion: null, sentAt: null, attempts: 0 }
      db.wishes.set(incarnation, { incarnation, version: 1, body: null, answered: false, retryMs: 1000, ...unsent })
    },
    hasWish: async (incarnation) => db.wishes.has(incarnation),
    alarms: async (incarnation, ...rows) => {
      db.alarms.set(incarnation, new Map(rows.map((row) => [row.n, { incarnation, tenant: 'demo', device: 't', ...row }])))
    },
    alarmsOf: async (incarnation) =>
      [...db.alarms.get(incarnation)!.values()].map(({ n, status, clearReason, clearedAt }) => ({
        ...{ n, status, clearReason },
        ended: clearedAt !== null,
      })),
    openStream: async () => db.openStream(),
    append: async (entry) => void db.streams.get(entry.stream)!.entries.push(entry),
    readings: async (incarnation) =>
      [...(db.telemetry.get(incarnation)?.values() ?? [])]
        .sort((a, b) => a.ts - b.ts)
        .map(({ ts, receivedAt, value, messageId }) => ({ ts, receivedAt, value, messageId })),
    deadLetters: async (incarnation) =>
      db.deadLetters.filter((letter) => letter.incarnation === incarnation).map(({ reason, raw }) => ({ reason, raw: [...raw] })),
    leases: {
      share: async (processor) => memoryLeases.shareOfLanes(db, processor),
      renew: async (processor) => memoryLeases.renewLanes(db, processor),
      claim: async (processor, count) => memoryLeases.claimLanes(db, processor, count),
      release: async (processor, lanes) => memoryLeases.releaseLanes(db, processor, lanes),
    },
    end: async () => {},
  }
})

/** One that updates can be of. */
async function someFirmware(sql: Sql): Promise<string> {
  const [row] = await sql<[{ id: string }]>`
    insert into firmware (id, tenant, name, model, version, counter, size, sha256, manifest, notes, created_by)
    values ('0000000f-0000-4000-8000-000000000001', 'demo', 'thermostat', 'thermostat', '2.0.0', 2, 1, 'x', '{}', '', 'admin')
    on conflict (id) do update set notes = '' returning id`
  return row.id
}
