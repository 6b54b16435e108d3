/** The processor's store, in Postgres and in memory (which the simulation uses): one suite for both. */
import { postgresLaneStore } from '../../infra/postgres/lane-store.ts'
import { claimLanes, releaseLanes, renewLanes, shareOfLanes } from '../../infra/postgres/leases.ts'
import { removeDevice } from '../../infra/postgres/registry.ts'
import { insertRequest } from '../../infra/postgres/requests.ts'
import { MemoryDatabase } from '../support/memory-database.ts'
import { memoryLaneStore } from '../support/memory-lane-store.ts'
import * as memoryLeases from '../support/memory-leases.ts'
import { testDatabase } from '../support/postgres.ts'
import { type LaneStoreUnderTest, laneStoreSuite } from './lane-store.ts'

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
      await removeDevice(sql, 'demo', row.device)
    },
    answer: async (incarnation, seq) => {
      await sql`insert into twin_answers (lane, incarnation, seq, wake) values (${incarnation % 16}, ${incarnation}, ${seq}, '{}')`
    },
    request: (id, incarnation) => insertRequest(sql, { id, tenant: 'demo', incarnation, kind: 'deliver', body: '{}' }),
    answerOf: async (id) => (await sql<[{ answer: string | null }]>`select answer from twin_requests where id = ${id}`)[0].answer,
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
    request: async (id, incarnation) => db.request(id, 'demo', incarnation, 'deliver'),
    answerOf: async (id) => db.requests.get(id)!.answer,
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
