/** /v1/groups over REST, on real Postgres. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MOST_GROUPS, MOST_PINS } from '../../api/group-ports.ts'
import { firmware } from '../support/updates.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
  for (let n = 1; n <= 5; n++) await api.register(`t-${n}`, { site: n <= 3 ? 'north' : 'south' })
  await firmware(api.database.sql, { version: '1.3.0' })
  await firmware(api.database.sql, { tenant: 'other', version: '9.9.9' })
})
afterAll(() => api?.database.drop())

const north = "attributes.site = 'north'"
const put = (name: string, body: unknown, key?: string) => api.ask('PUT', `/v1/groups/${name}`, { body, ...(key && { key }) })
const get = (name: string, key?: string) => api.ask('GET', `/v1/groups/${name}`, key ? { key } : {})

describe('one group', () => {
  test('is made, with how many devices it has', async () => {
    const made = await put('north', { filter: north })
    expect([made.status, made.headers.get('location')]).toEqual([201, '/v1/groups/north'])
    expect(made.json).toEqual({
      name: 'north',
      filter: north,
      createdAt: expect.any(String),
      changedAt: made.json.createdAt,
      devices: { count: 3, more: false },
    })
    expect((await get('north')).json).toEqual(made.json)
  })

  test('is changed as a whole: a pin that is not said again is lifted', async () => {
    const before = (await get('north')).json
    const pinned = await put('north', { filter: north, firmwarePin: '1.3.0' })
    expect([pinned.status, pinned.json.firmwarePin, pinned.headers.get('location')]).toEqual([200, '1.3.0', null])
    expect(pinned.json.createdAt).toBe(before.createdAt)
    expect(pinned.json.changedAt > before.changedAt).toBe(true)
    expect((await put('north', { filter: north, firmwarePin: '1.3.0' })).json).toEqual(pinned.json)
    const lifted = await put('north', { filter: `${north} and id != 't-1'` })
    expect([lifted.json.firmwarePin, lifted.json.devices.count]).toEqual([undefined, 2])
  })

  test('is removed once', async () => {
    await put('short', { filter: north })
    expect((await api.ask('DELETE', '/v1/groups/short')).status).toBe(204)
    for (const method of ['DELETE', 'GET']) expect((await api.ask(method, '/v1/groups/short')).status).toBe(404)
  })

  test('of very many devices is counted no further than ten thousand', async () => {
    await api.database.sql`
      insert into devices (tenant, device, model, model_version, token_hash)
      select 'other', 'many-' || n, 'thermostat', '1.0.0', sha256(('many-' || n)::bytea) from generate_series(1, 10001) n`
    expect((await put('all', { filter: 'exists id' }, OTHER_KEY)).json.devices).toEqual({ count: 10_000, more: true })
    await api.database.sql`delete from devices where device = 'many-1'`
    expect((await get('all', OTHER_KEY)).json.devices).toEqual({ count: 10_000, more: false })
  })
})

describe('what is not taken', () => {
  test.each([
    ['no filter', {}, '/filter'],
    ['a filter that breaks', { filter: 'attributes.site =' }, '/filter'],
    ['a filter over what is no part of a twin', { filter: "colour = 'red'" }, '/filter'],
    ['a pin that is no version', { filter: north, firmwarePin: 'the newest' }, '/firmwarePin'],
    ['a pin to a version that no firmware has', { filter: north, firmwarePin: '7.7.7' }, '/firmwarePin'],
    ['a pin to a version that only another tenant has', { filter: north, firmwarePin: '9.9.9' }, '/firmwarePin'],
    ['an unknown member', { filter: north, pin: '1.3.0' }, '/pin'],
  ])('%s is refused, and nothing is written', async (_what, body, path) => {
    const { status, json } = await put('refused', body)
    expect([status, json.errors[0].path]).toEqual([400, path])
    expect((await get('refused')).status).toBe(404)
  })

  test('a name that breaks the grammar of ids is nowhere', async () => {
    const { status, json } = await put('no%20name', { filter: north })
    expect([status, json.detail]).toEqual([404, expect.stringContaining('begins with a letter or digit and goes on with those or . _ : -')])
  })

  test('more groups, and more pins, than a tenant may have: those that are there can be changed', async () => {
    const { sql } = api.database
    await sql`
      insert into groups (tenant, name, filter, firmware_pin)
      select 'demo', 'pin-' || n, 'exists id', '1.3.0' from generate_series(1, ${MOST_PINS}) n`
    const pin = { filter: north, firmwarePin: '1.3.0' }
    const refused = await put('one-pin-more', pin)
    expect([refused.status, refused.json.detail]).toEqual([409, expect.stringContaining(`${MOST_PINS} groups with a pin`)])
    expect((await put('pin-1', pin)).status).toBe(200)
    expect((await put('no-pin', { filter: north })).status).toBe(201)

    await sql`
      insert into groups (tenant, name, filter) select 'demo', 'more-' || n, 'exists id' from generate_series(1, ${MOST_GROUPS}) n
      limit ${MOST_GROUPS} - (select count(*) from groups where tenant = 'demo')`
    const full = await put('one-more', { filter: north })
    expect([full.status, full.json.detail]).toEqual([409, expect.stringContaining(`${MOST_GROUPS} groups`)])
    expect((await put('no-pin', { filter: 'exists id' })).status).toBe(200)
    await sql`delete from groups where tenant = 'demo' and name <> 'north'`
  })
})

describe('groups', () => {
  test('are listed by name, page by page', async () => {
    for (const name of ['c', 'a', 'b']) await put(name, { filter: 'exists id' })
    const items = await allItems(api, '/v1/groups?limit=2')
    expect(items.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'north'])
    expect(items[0]).toEqual({ name: 'a', filter: 'exists id', createdAt: expect.any(String), changedAt: expect.any(String) })
    expect((await api.ask('GET', '/v1/groups?cursor=x')).status).toBe(400)
  })

  test('are a tenant’s own: of another one they are not there, and a name is free', async () => {
    expect((await get('north', OTHER_KEY)).status).toBe(404)
    expect((await api.ask('DELETE', '/v1/groups/north', { key: OTHER_KEY })).status).toBe(404)
    const theirs = await put('north', { filter: 'exists id' }, OTHER_KEY)
    expect([theirs.status, theirs.json.devices.count]).toEqual([201, 10_000])
    expect((await api.ask('GET', '/v1/groups', { key: OTHER_KEY })).json.items.map(({ name }: { name: string }) => name)).toEqual([
      'all',
      'north',
    ])
    expect((await get('north')).json.filter).toContain(north)
  })
})
