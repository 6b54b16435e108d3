/** Events that no twin decides, on real Postgres: each is written in the transaction in which it becomes true, and the live stream goes on over it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DeadLetter } from '../../api/ingest/lane-store.ts'
import { newWork } from '../../api/ingest/work.ts'
import { postgresLaneStore } from '../../infra/postgres/lane-store.ts'
import { claimLanes } from '../../infra/postgres/leases.ts'
import { Follower, LiveApi } from './live-api.ts'
import type { TestApi } from './test-api.ts'

let castor: LiveApi
let api: TestApi
beforeAll(async () => {
  castor = await LiveApi.start()
  api = castor.first
})
afterAll(() => castor?.stop())

interface Row {
  tenant: string
  incarnation: number
  device: string
  revision: number | null
  event: object
  cause: object
}

async function rowsOf(device: string, kind: string): Promise<Row[]> {
  const rows = await castor.sql`
    select tenant, incarnation, device, revision, event, cause from outbox where device = ${device} and kind = ${kind} order by id`
  return rows.map(({ event, cause, ...row }) => ({ ...row, event: JSON.parse(event), cause: JSON.parse(cause) })) as unknown as Row[]
}

describe('the registry', () => {
  const attributes = { site: 'north' }
  const is = { at: expect.any(Number), model: 'thermostat', modelVersion: expect.any(String), attributes }
  const cause = { by: 'request', who: 'admin' }

  test('tells of a device that is registered, and of one that is removed', async () => {
    const { incarnation } = await api.register('r-1', attributes)
    const row = { tenant: 'demo', incarnation, device: 'r-1', revision: null, event: is, cause }
    expect(await rowsOf('r-1', 'registered')).toEqual([row])
    const createdAt = Date.parse((await api.ask('GET', '/v1/devices/r-1')).json.createdAt)
    expect((await rowsOf('r-1', 'registered'))[0]!.event).toMatchObject({ at: createdAt })
    expect((await api.ask('DELETE', '/v1/devices/r-1')).status).toBe(204)
    expect(await rowsOf('r-1', 'removed')).toEqual([row])
    expect((await api.ask('DELETE', '/v1/devices/r-1')).status).toBe(404)
    expect(await rowsOf('r-1', 'removed')).toHaveLength(1)
  })

  test('tells it once under an Idempotency-Key, and not of one that is there already', async () => {
    const headers = { 'idempotency-key': 'device-0123456789abcdef' }
    const body = { id: 'r-2', model: 'thermostat' }
    for (let n = 0; n < 2; n++) expect((await api.ask('POST', '/v1/devices', { body, headers })).status).toBe(201)
    expect((await api.ask('POST', '/v1/devices', { body })).status).toBe(409)
    expect(await rowsOf('r-2', 'registered')).toHaveLength(1)
  })

  test('registers and removes nothing that it cannot tell of', async () => {
    await api.register('r-3')
    await castor.sql`alter table outbox add constraint broken check (device <> 'r-4' and (device <> 'r-3' or kind <> 'removed')) not valid`
    expect((await api.ask('POST', '/v1/devices', { body: { id: 'r-4', model: 'thermostat' } })).status).toBe(500)
    expect((await api.ask('DELETE', '/v1/devices/r-3')).status).toBe(500)
    await castor.sql`alter table outbox drop constraint broken`
    expect((await api.ask('GET', '/v1/devices/r-4')).status).toBe(404)
    expect((await api.ask('GET', '/v1/devices/r-3')).status).toBe(200)
  })
})

describe('the processor', () => {
  test('tells of dead letters: one event a device and reason and tick, with the first of them and how many there are', async () => {
    const store = postgresLaneStore(castor.sql)
    const at = Date.now()
    const [one, two] = [await api.register('d-1'), await api.register('d-2')]
    const lanes = await claimLanes(castor.sql, 'p', 16)
    const letter = (device: string, reason: string, more: Partial<DeadLetter> = {}): DeadLetter => ({
      ...{ at, tenant: 'demo', device, incarnation: (device === 'd-1' ? one : two).incarnation, reason },
      ...{ topic: `castor/v1/demo/${device}/telemetry`, path: null, detail: 'd', messageId: null, size: 1, raw: Uint8Array.of(0) },
      ...more,
    })
    const deadLetters = [
      letter('d-1', 'wrong-type', { path: '/temperature', messageId: 'm-1', detail: 'must be a "number"' }),
      letter('d-2', 'wrong-type'),
      letter('d-1', 'wrong-type', { path: '/humidity', messageId: 'm-2' }),
      letter('d-1', 'invalid-json'),
    ]
    await store.commit({ ...newWork(lanes).changes, deadLetters })
    const common = { at, topic: 'castor/v1/demo/d-1/telemetry' }
    const first = { ...common, reason: 'wrong-type', detail: 'must be a "number"', path: '/temperature', messageId: 'm-1', count: 2 }
    expect(await rowsOf('d-1', 'dead-letter')).toMatchObject([
      { tenant: 'demo', incarnation: one.incarnation, revision: null, event: first, cause: { by: 'message', messageId: 'm-1' } },
      { event: { ...common, reason: 'invalid-json', detail: 'd', count: 1 }, cause: { by: 'message' } },
    ])
    expect((await rowsOf('d-1', 'dead-letter'))[1]!.event).not.toHaveProperty('path')
    expect(await rowsOf('d-2', 'dead-letter')).toHaveLength(1)

    await castor.sql`update lanes set epoch = epoch + 1`
    await expect(store.commit({ ...newWork(lanes).changes, deadLetters: [letter('d-2', 'lost')] })).rejects.toThrow()
    expect(await rowsOf('d-2', 'dead-letter')).toHaveLength(1)
  })
})

test('the live stream goes on over them by position and shows none of them, now and to who comes back', async () => {
  const { incarnation } = await api.register('s-1')
  const online = { kind: 'presence-changed', before: 'never', after: 'online', reason: 'message' }
  const reader = await Follower.open(castor.running.url)
  await api.register('s-2')
  await castor.decide(incarnation, [online], 1)
  const [event] = await reader.has(1)
  expect(event!.data).toMatchObject({ device: 's-1', kind: 'presence-changed' })
  await reader.close()

  await api.ask('DELETE', '/v1/devices/s-2')
  await castor.decide(incarnation, [{ ...online, before: 'online', after: 'offline' }], 2)
  const back = await Follower.open(castor.running.url, `?filter=${encodeURIComponent("id = 's-1'")}`, { lastEventId: event!.id })
  const [after] = await back.has(1)
  expect(after!.data).toMatchObject({ device: 's-1', after: 'offline', revision: 2 })
  expect([...reader.events, ...back.events].map(({ type }) => type)).toEqual(['presence', 'presence'])
  await back.close()
})
