/** /v1/bulk-changes over REST, on real Postgres. The workflow is played by the store that it uses. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bulkAsked, bulkStarted, bulkTold, createBulkStore } from '../../infra/postgres/bulk-changes.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
  for (let n = 1; n <= 5; n++) await api.register(`t-${n}`, { site: n <= 3 ? 'north' : 'south' })
  await api.database.sql`update devices set model = 'pump' where device = 't-3'`
  const decided = { presence: { status: 'online' }, reported: { state: { targetTemperature: 21, other: 1 } } }
  await api.database.sql`update devices set decided = ${JSON.stringify(decided)}::text::jsonb where device = 't-1'`
})
afterAll(() => api?.database.drop())

const wish = { filter: "attributes.site = 'north'", wish: { targetTemperature: 21 } }
const nowhere = '00000000-0000-4000-8000-000000000000'

describe('asking for one', () => {
  test('a preview says how many there are, which differ and who has no part in it, and does nothing', async () => {
    const { status, json } = await api.ask('POST', '/v1/bulk-changes?preview=true', { body: wish })
    expect(status).toBe(200)
    expect(json).toEqual({
      total: 3,
      differ: 1,
      skipped: [{ reason: 'targetTemperature is not writable', count: 1 }],
      sample: ['t-1', 't-2'],
    })
    expect((await api.ask('GET', '/v1/bulk-changes')).json.items).toEqual([])
  })

  test('one that is made has its place, its pace and its defaults, and waits for its workflow', async () => {
    const { status, json, headers } = await api.ask('POST', '/v1/bulk-changes', { body: { ...wish, perSecond: 5 } })
    expect(status).toBe(201)
    expect(headers.get('location')).toBe(`/v1/bulk-changes/${json.id}`)
    expect(json).toMatchObject({
      status: 'running',
      requestedBy: 'admin',
      change: { wish: { targetTemperature: 21 }, deadlineMs: 604_800_000 },
      pace: { perSecond: 5, atOnce: 1_000, errorLimit: { share: 0.2, minimum: 10 } },
      devices: { total: 0, waiting: 0, underway: 0, succeeded: 0, failed: 0, skipped: 0 },
    })
    expect((await api.ask('GET', `/v1/bulk-changes/${json.id}`)).json).toEqual(json)
    expect(await bulkAsked(api.database.sql)).toMatchObject([{ id: json.id, tenant: 'demo', workflow: null, asked: null }])
    await bulkStarted(api.database.sql, json.id, 'w')
    expect(await bulkAsked(api.database.sql)).toEqual([])
  })

  test.each([
    ['neither a wish nor a command', { filter: "id = 'a'" }, '/wish'],
    ['both', { filter: "id = 'a'", wish: {}, command: { name: 'identify' } }, '/wish'],
    ['a filter that breaks', { ...wish, filter: 'attributes.site =' }, '/filter'],
    ['a field that is not known', { ...wish, pace: 3 }, '/pace'],
    ['a pace of nothing', { ...wish, perSecond: 0 }, '/perSecond'],
    ['a share beyond all', { ...wish, errorLimit: { share: 2 } }, '/errorLimit/share'],
    ['a timeout for a wish', { ...wish, timeout: '5m' }, '/timeout'],
    ['a deadline that is none', { ...wish, deadline: 'soon' }, '/deadline'],
    ['a command without a name', { filter: "id = 'a'", command: {} }, '/command/name'],
  ])('%s is refused and says where', async (_what, body, path) => {
    const { status, json } = await api.ask('POST', '/v1/bulk-changes', { body })
    expect(status).toBe(400)
    expect(json.errors.map((error: { path: string }) => error.path)).toContain(path)
  })
})

describe('looking at one and steering it', () => {
  let id: string
  beforeAll(async () => {
    id = (await api.ask('POST', '/v1/bulk-changes', { body: wish })).json.id
    const store = createBulkStore(api.database.sql)
    const change = (await store.find('demo', id))!
    await store.select(change, 'w', (model) => (model === 'pump' ? 'is a pump' : undefined))
    await store.advance(change, { upTo: 1, status: 'running' }, () => undefined)
  })

  test('its devices are listed with what became of them, by status too, page by page', async () => {
    const path = `/v1/bulk-changes/${id}/devices`
    const all = await allItems(api, `${path}?limit=1`)
    expect(all.map(({ device }) => device).sort()).toEqual(['t-1', 't-2', 't-3'])
    expect((await api.ask('GET', `${path}?status=skipped`)).json.items).toMatchObject([{ device: 't-3', reason: 'is a pump' }])
    expect((await api.ask('GET', `${path}?status=started`)).json.items).toHaveLength(1)
    expect((await api.ask('GET', `/v1/bulk-changes/${id}`)).json.devices).toMatchObject({ total: 3, waiting: 1, underway: 1, skipped: 1 })
  })

  test('what is asked of it waits for its workflow, and nobody takes back an end', async () => {
    const { sql } = api.database
    const asked = async () => (await bulkAsked(sql)).find((row) => row.id === id)?.asked
    expect((await api.ask('POST', `/v1/bulk-changes/${id}/pause`)).status).toBe(202)
    expect(await asked()).toBe('pause')
    await bulkTold(sql, id, 'pause')
    expect(await asked()).toBeUndefined()
    await api.ask('POST', `/v1/bulk-changes/${id}/cancel`)
    await api.ask('POST', `/v1/bulk-changes/${id}/resume`)
    expect(await asked()).toBe('cancel')
  })

  test('one that has ended cannot be steered any more', async () => {
    const store = createBulkStore(api.database.sql)
    await store.advance((await store.find('demo', id))!, { upTo: 0, status: 'cancelled' }, () => undefined)
    const { json } = await api.ask('GET', `/v1/bulk-changes/${id}`)
    expect(json).toMatchObject({ status: 'cancelled', devices: { waiting: 0, skipped: 2 } })
    expect(json.endedAt).toBeTypeOf('string')
    expect((await api.ask('POST', `/v1/bulk-changes/${id}/resume`)).status).toBe(409)
  })

  test('another tenant sees none of it', async () => {
    for (const path of [`/v1/bulk-changes/${id}`, `/v1/bulk-changes/${id}/devices`])
      expect((await api.ask('GET', path, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('POST', `/v1/bulk-changes/${id}/pause`, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', '/v1/bulk-changes', { key: OTHER_KEY })).json.items).toEqual([])
    expect((await api.ask('GET', `/v1/bulk-changes/${nowhere}`)).status).toBe(404)
    expect((await api.ask('GET', '/v1/bulk-changes/7')).status).toBe(404)
  })
})

test('a bulk change that finds too many devices is refused, and stands as failed', async () => {
  const store = createBulkStore(api.database.sql)
  const { id } = (await api.ask('POST', '/v1/bulk-changes', { body: { ...wish, filter: 'exists id' } })).json
  const change = (await store.find('demo', id))!
  await api.database.sql`
    insert into devices (tenant, device, model, model_version, token_hash)
    select 'demo', 'many-' || n, 'thermostat', '1.0.0', sha256(('many-' || n)::bytea) from generate_series(1, 100001) n`
  await expect(store.select(change, 'w', () => undefined)).rejects.toThrow('more than 100000 devices')
  await store.advance(change, { upTo: 0, status: 'failed', reason: 'too many' }, () => undefined)
  expect((await api.ask('GET', `/v1/bulk-changes/${id}`)).json).toMatchObject({ status: 'failed', reason: 'too many' })
}, 120_000)
