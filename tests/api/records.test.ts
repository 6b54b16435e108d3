/** What is only read: telemetry, dead letters, models, requests. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
})
afterAll(() => api?.database.drop())

describe('telemetry', () => {
  const start = Math.floor(Date.now() / 1000) * 1000 - 60_000
  const at = (n: number) => new Date(start + n * 1000).toISOString()

  beforeAll(async () => {
    const { sql } = api.database
    const { incarnation } = await api.register('t-1')
    await sql`insert into twin_inbox (incarnation, lane, latest) values (${incarnation}, 0, '{"temperature":[1,1,1],"mode":["on",1,1]}')`
    await sql`insert into properties (tenant, name) values ('demo', 'temperature'), ('demo', 'mode'), ('other', 'temperature')`
    const ids = Object.fromEntries(
      (await sql`select name, property from properties where tenant = 'demo'`).map((row) => [row.name, row.property]),
    )
    for (let n = 0; n < 20; n++) {
      await sql`
        insert into telemetry (incarnation, property, ts, received_at, number)
        values (${incarnation}, ${ids.temperature}, ${at(n)}, ${at(n + 1)}, ${n / 10})`
      if (n % 5) continue
      await sql`
        insert into telemetry (incarnation, property, ts, received_at, other)
        values (${incarnation}, ${ids.mode}, ${at(n)}, ${at(n)}, ${JSON.stringify({ on: n })})`
    }
  })

  test('readings come newest first, with their times and values as they were', async () => {
    const { json } = await api.ask('GET', '/v1/twins/t-1/telemetry?name=temperature&limit=2')
    expect(json.items).toEqual([
      { name: 'temperature', ts: at(19), receivedAt: at(20), value: 1.9 },
      { name: 'temperature', ts: at(18), receivedAt: at(19), value: 1.8 },
    ])
    const mode = await api.ask('GET', '/v1/twins/t-1/telemetry?name=mode')
    expect(mode.json.items.map((item: { value: unknown }) => item.value)).toEqual([{ on: 15 }, { on: 10 }, { on: 5 }, { on: 0 }])
    expect(mode.json.next).toBeNull()
  })

  test('pages over all properties show each reading once, in order, while newer ones come', async () => {
    const items = await allItems(api, '/v1/twins/t-1/telemetry?limit=3', async (page) => {
      await api.database.sql`
        insert into telemetry (incarnation, property, ts, received_at, number)
        select incarnation, property, ${at(30 + page)}, ${at(30)}, 99 from devices, properties
        where device = 't-1' and devices.tenant = 'demo' and properties.tenant = 'demo' and name = 'temperature'`
    })
    expect(items).toHaveLength(24)
    const times = items.map((item) => item.ts)
    expect(times).toEqual(times.toSorted().reverse())
    await api.database.sql`delete from telemetry where number = 99`
  })

  test('from is inclusive and to exclusive', async () => {
    const query = `name=temperature&from=${at(5)}&to=${encodeURIComponent(at(8).replace('Z', '+00:00'))}`
    const { json } = await api.ask('GET', `/v1/twins/t-1/telemetry?${query}`)
    expect(json.items.map((item: { ts: string }) => item.ts)).toEqual([at(7), at(6), at(5)])
  })

  test('a property that was never sent has no readings, a device that is not there none to tell of', async () => {
    expect((await api.ask('GET', '/v1/twins/t-1/telemetry?name=nothing')).json).toEqual({ items: [], next: null })
    await api.register('silent')
    expect((await api.ask('GET', '/v1/twins/silent/telemetry')).json).toEqual({ items: [], next: null })
    expect((await api.ask('GET', '/v1/twins/nobody/telemetry')).status).toBe(404)
    expect((await api.ask('GET', '/v1/twins/t-1/telemetry', { key: OTHER_KEY })).status).toBe(404)
  })

  test.each([
    'name=a%2Fb',
    'from=yesterday',
    'to=2026-11-21',
    'limit=500',
    'cursor=WyJ0ZWxlbWV0cnkiLDFd',
    'property=temperature',
    'from=2026-11-21T06:00:00',
  ])('the query ?%s is refused by name', async (query) => {
    const { status, json } = await api.ask('GET', `/v1/twins/t-1/telemetry?${query}`)
    expect([status, json.errors[0].path]).toEqual([400, `query:${query.split('=')[0]}`])
  })
})

describe('dead letters', () => {
  beforeAll(async () => {
    const { sql } = api.database
    const put = (n: number, tenant: string, device: string, reason: string, raw: Uint8Array, size = raw.length) => sql`
      insert into dead_letters (at, tenant, device, incarnation, topic, reason, path, detail, message_id, size, raw)
      values (now(), ${tenant}, ${device}, 1, 'telemetry', ${reason}, ${n % 2 ? '/temperature' : null}, 'is wrong', ${n % 2 ? `m-${n}` : null}, ${size}, ${raw})`
    for (let n = 0; n < 9; n++) await put(n, 'demo', n % 2 ? 'a' : 'b', n < 3 ? 'not-json' : 'invalid-value', Buffer.from(`{"n":${n}`))
    await put(1, 'demo', 'c', 'not-utf8', new Uint8Array([0xff, 0xfe]))
    await put(1, 'demo', 'long', 'too-large', Buffer.from(`${'x'.repeat(4095)}ä and more`))
    await put(1, 'demo', 'cut', 'too-large', Buffer.from('start'), 300_000)
    await put(0, 'other', 'a', 'not-json', Buffer.from('{'))
  })

  test('they tell reason, place and payload, newest first', async () => {
    const { json } = await api.ask('GET', '/v1/dead-letters?device=a&limit=1')
    expect(json.items[0]).toEqual({
      id: expect.stringMatching(/^\d+$/),
      receivedAt: expect.any(String),
      device: 'a',
      topic: 'telemetry',
      reason: 'invalid-value',
      path: '/temperature',
      detail: 'is wrong',
      messageId: 'm-7',
      size: 6,
      raw: '{"n":7',
      rawEncoding: 'utf-8',
      rawComplete: true,
    })
  })

  test('they are found by device and reason, page by page', async () => {
    const items = await allItems(api, '/v1/dead-letters?reason=not-json&limit=2')
    expect(items.map((item) => item.raw)).toEqual(['{"n":2', '{"n":1', '{"n":0'])
    expect(await allItems(api, '/v1/dead-letters?reason=not-json&device=a')).toHaveLength(1)
    expect(await allItems(api, '/v1/dead-letters?limit=5')).toHaveLength(12)
    expect((await api.ask('GET', '/v1/dead-letters', { key: OTHER_KEY })).json.items).toHaveLength(1)
  })

  test('what is no text is base64, and a long payload is whole only alone', async () => {
    const [binary] = (await api.ask('GET', '/v1/dead-letters?device=c')).json.items
    expect(binary).toMatchObject({ raw: '//4=', rawEncoding: 'base64', rawComplete: true })
    const [long] = (await api.ask('GET', '/v1/dead-letters?device=long')).json.items
    expect(long).toMatchObject({ raw: 'x'.repeat(4095), rawEncoding: 'utf-8', rawComplete: false })
    const alone = await api.ask('GET', `/v1/dead-letters/${long.id}`)
    expect(alone.json).toMatchObject({ raw: `${'x'.repeat(4095)}ä and more`, rawComplete: true })
    expect((await api.ask('GET', '/v1/dead-letters?device=cut')).json.items[0]).toMatchObject({
      raw: 'start',
      size: 300_000,
      rawComplete: false,
    })
    expect((await api.ask('GET', `/v1/dead-letters/${long.id}`, { key: OTHER_KEY })).status).toBe(404)
    for (const id of ['0', 'x', '1e3', '99999999999999999999', '4711'])
      expect((await api.ask('GET', `/v1/dead-letters/${id}`)).status).toBe(404)
  })
})

describe('models and requests', () => {
  test('the shipped models are listed and shown as Thing Models', async () => {
    expect((await api.ask('GET', '/v1/models')).json.items.map((model: { name: string }) => model.name)).toEqual([
      'lock',
      'meter',
      'pump',
      'thermostat',
    ])
    const items = await allItems(api, '/v1/models?limit=1')
    expect(items).toHaveLength(4)
    const { json } = await api.ask('GET', '/v1/models/thermostat')
    expect(json).toMatchObject({ '@type': 'tm:ThingModel', properties: { temperature: { unit: 'Cel' } }, actions: { identify: {} } })
    expect((await api.ask('GET', '/v1/models/toaster')).status).toBe(404)
    expect((await api.ask('GET', '/v1/models/__proto__')).status).toBe(404)
  })

  test('a request that nobody made is not there', async () => {
    for (const id of ['7', '00000000-0000-4000-8000-000000000000']) expect((await api.ask('GET', `/v1/requests/${id}`)).status).toBe(404)
  })
})
