/** The processor's store on real Postgres: one transaction a tick, which becomes true as a whole or not at all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Lane, type LaneStore, LeaseLost, type TickChanges } from '../../api/ingest/lane-store.ts'
import { newWork } from '../../api/ingest/work.ts'
import type { Sql } from '../../infra/postgres/connect.ts'
import { postgresLaneStore } from '../../infra/postgres/lane-store.ts'
import { claimLanes, releaseLanes, renewLanes, shareOfLanes } from '../../infra/postgres/leases.ts'
import { testDatabase } from '../support/postgres.ts'

let sql: Sql
let drop: () => Promise<void>
let store: LaneStore
let incarnation: number
let property: number
let lane: Lane
const now = Date.now()

beforeAll(async () => {
  const database = await testDatabase()
  sql = database.sql
  drop = database.drop
  store = postgresLaneStore(sql)
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  const [device] = await sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, token_hash) values ('demo', 't-1', 'thermostat', '1.0.0', '\\x01') returning incarnation`
  incarnation = device.incarnation
  property = (await store.properties('demo', ['temperature'])).get('temperature')!
  const lanes = await claimLanes(sql, 'p', 16)
  lane = lanes.find((candidate) => candidate.lane === incarnation % 16)!
})

afterAll(() => drop())

function changes(part: Partial<TickChanges>): TickChanges {
  return { ...newWork([lane]).changes, ...part }
}

function reading(ts: number, value: number | string, receivedAt = ts, messageId?: string) {
  return { incarnation, property, name: 'temperature', ts, value, receivedAt, ...(messageId === undefined ? {} : { messageId }) }
}

async function values() {
  return await sql`
    select extract(epoch from ts)::float8 * 1000 as ts, extract(epoch from received_at)::float8 * 1000 as received, number, other, message_id as id
    from telemetry where incarnation = ${incarnation} order by ts`
}

describe('the commit of a tick', () => {
  it('stores numbers exactly, other values as JSON, and times to the millisecond', async () => {
    await store.commit(
      changes({ news: [reading(now, 0.1 + 0.2), reading(now + 1, 'öffnen\u0001'), reading(now + 2, -1e-300, now + 7, 'm-1')] }),
    )
    expect(await values()).toMatchObject([
      { ts: now, received: now, number: 0.1 + 0.2, other: null, id: null },
      { ts: now + 1, number: null, other: JSON.stringify('öffnen\u0001') },
      { ts: now + 2, received: now + 7, number: -1e-300, id: 'm-1' },
    ])
  })

  it('keeps of two readings of one moment the one with the greater receipt and id, in whatever order they come', async () => {
    const at = now + 100
    await store.commit(changes({ news: [reading(at, 1, at + 5, 'b')] }))
    await store.commit(changes({ late: [reading(at, 2, at + 4, 'z'), reading(at, 3, at + 5, 'a')] }))
    expect((await values()).at(-1)).toMatchObject({ number: 1, id: 'b' })
    await store.commit(changes({ late: [reading(at, 4, at + 6), reading(at, 5, at + 5, 'c')] }))
    expect((await values()).at(-1)).toMatchObject({ number: 4, id: null, received: at + 6 })
  })

  it('writes inbox rows, new and known, and reads back what it wrote', async () => {
    const row = {
      incarnation,
      lane: lane.lane,
      lastSeen: now,
      connection: '[5,1]',
      latest: '{"temperature":[1,2,3]}',
      pending: '{"since":1}',
      pendingSince: 1,
      urgent: true,
      sealed: '{"messages":1}',
      sealedSeq: 1,
      sealedAt: now,
      wake: '{"presence":"online","presenceTimeoutMs":60000}',
    }
    await store.commit(changes({ inboxes: [{ ...row, full: true }] }))
    const [loaded] = await store.devices([incarnation])
    expect(loaded!.inbox).toMatchObject({ sealed: row.sealed, pending: row.pending, connection: '[5,1]', wake: row.wake, lastSeen: now })

    await store.commit(
      changes({
        inboxes: [
          { ...row, latest: '{}', pending: null, pendingSince: null, urgent: false, connection: null, sealed: null, wake: '', full: false },
        ],
      }),
    )
    const [again] = await store.devices([incarnation])
    expect(again!.inbox).toMatchObject({ sealed: row.sealed, sealedSeq: 1, pending: null, connection: null, latest: '{}', wake: row.wake })
    const devices = []
    for await (const chunk of store.laneDevices([lane.lane])) devices.push(...chunk)
    expect(devices).toEqual([
      {
        incarnation,
        lastSeen: now,
        connected: false,
        urgent: false,
        presence: 'online',
        presenceTimeoutMs: 60000,
        pendingSince: null,
        sealedSeq: 1,
        sealedAt: now,
      },
    ])
  })

  it('is nothing at all when the lane has another owner, or was moved by a commit of unknown outcome', async () => {
    const before = (await values()).length
    const stale = { ...lane, epoch: lane.epoch - 1 }
    await expect(store.commit({ ...changes({ news: [reading(now + 500, 1)] }), lanes: [stale] })).rejects.toBeInstanceOf(LeaseLost)

    const moved = { ...lane, cursors: { '1': 7 } }
    await store.commit({ ...changes({}), lanes: [moved] })
    await expect(store.commit({ ...changes({ news: [reading(now + 600, 1)] }), lanes: [moved] })).rejects.toBeInstanceOf(LeaseLost)
    expect((await values()).length).toBe(before)
    const [current] = await store.lanes([lane.lane])
    expect(current).toMatchObject({ cursors: { '1': 7 }, epoch: lane.epoch })
    lane = current!
  })

  it('leaves nothing behind when it is only tried', async () => {
    const before = (await values()).length
    await store.commit(changes({ news: [reading(now + 700, 1)] }), true)
    expect((await values()).length).toBe(before)
  })

  it('stores dead letters with their bytes, ids that are known afterwards, words for devices, and takes answers', async () => {
    const digest = '00000000-0000-4000-8000-000000000001'
    await sql`insert into twin_answers (lane, incarnation, seq, wake) values (${lane.lane}, ${incarnation}, 1, '{}')`
    const [answer] = await store.answers([lane.lane], 10)
    const letter = {
      at: now,
      tenant: 'demo',
      device: 't-1',
      incarnation,
      topic: 't',
      reason: 'invalid-json',
      path: null,
      detail: 'd',
      messageId: null,
      size: 3,
    }
    await store.commit(
      changes({
        deadLetters: [{ ...letter, raw: Uint8Array.of(0, 255, 34) }],
        messageIds: [{ incarnation, digest, seenAt: now }],
        errors: [{ stream: 1, incarnation, body: '{}' }],
        answers: [answer!.id],
      }),
    )
    const [stored] = await sql`select raw, reason from dead_letters`
    expect([...stored!.raw]).toEqual([0, 255, 34])
    expect(
      await store.knownMessages([
        { incarnation, digest },
        { incarnation: incarnation + 1, digest },
      ]),
    ).toEqual(new Set([`${incarnation} ${digest}`]))
    expect(await store.answers([lane.lane], 10)).toEqual([])
  })

  it('fails for what no time will heal in another way than for what passes', async () => {
    const bad = await store
      .commit(changes({ messageIds: [{ incarnation, digest: 'no uuid', seenAt: now }] }))
      .catch((error: unknown) => error)
    expect(store.isTransient(bad)).toBe(false)
    expect(store.isTransient(Object.assign(new Error(), { code: 'CONNECTION_CLOSED' }))).toBe(true)
    expect(store.isTransient(Object.assign(new Error(), { code: '53100' }))).toBe(true)
  })
})

describe('leases', () => {
  it('share the lanes evenly among the processors that live', async () => {
    expect(await shareOfLanes(sql, 'p')).toBe(16)
    await shareOfLanes(sql, 'q')
    expect(await shareOfLanes(sql, 'p')).toBe(8)
  })

  it('go to another processor only when given back or run out, with a higher epoch', async () => {
    expect(await claimLanes(sql, 'q', 16)).toEqual([])
    await releaseLanes(sql, 'p', [3])
    const [taken] = await claimLanes(sql, 'q', 16)
    expect(taken).toMatchObject({ lane: 3, epoch: 2 })
    expect(await renewLanes(sql, 'p')).toHaveLength(15)
  })
})
