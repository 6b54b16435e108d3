/** /v1/devices over REST, on real Postgres. */
import { hash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
})
afterAll(() => api?.database.drop())

describe('registering', () => {
  test('a new device is answered with its token, its place and no more than that once', async () => {
    const made = await api.ask('POST', '/v1/devices', {
      body: { id: 't-1', model: 'thermostat', attributes: { site: 'north', level: 0.1 } },
    })
    expect(made.status).toBe(201)
    expect(made.headers.get('location')).toBe('/v1/devices/t-1')
    expect(made.headers.get('cache-control')).toBe('no-store')
    expect(made.json).toMatchObject({ id: 't-1', model: 'thermostat', modelVersion: '1.0.0', attributes: { site: 'north', level: 0.1 } })
    expect(made.json.token).toMatch(/^[A-Za-z0-9_-]{43}$/)
    const [row] = await api.database.sql`select token_hash from devices where device = 't-1' and tenant = 'demo'`
    expect(row!.token_hash).toEqual(hash('sha256', made.json.token, 'buffer'))

    const got = await api.ask('GET', '/v1/devices/t-1')
    const { token: _, ...device } = made.json
    expect(got.json).toEqual(device)
  })

  test('an id that is taken is a conflict, and a twin of another tenant is none of it', async () => {
    const again = await api.ask('POST', '/v1/devices', { body: { id: 't-1', model: 'pump' } })
    expect(again.status).toBe(409)
    expect(again.json).toMatchObject({ code: 'conflict', errors: [{ path: '/id' }] })
    const elsewhere = await api.ask('POST', '/v1/devices', { key: OTHER_KEY, body: { id: 't-1', model: 'pump' } })
    expect(elsewhere.status).toBe(201)
  })

  test('the same Idempotency-Key gives the same answer, token included, and stores no token', async () => {
    const headers = { 'idempotency-key': 'f3a1c1de-8a44-4b52-9d5e-0f6f3f9f6d11' }
    const body = { id: 'once', model: 'thermostat' }
    const answers = await Promise.all([1, 2, 3, 4].map(() => api.ask('POST', '/v1/devices', { body, headers })))
    expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201])
    expect(new Set(answers.map((answer) => answer.text)).size).toBe(1)
    expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(3)
    const [stored] = await api.database.sql`select response from idempotency_keys`
    expect(stored!.response).not.toContain('token')

    const other = await api.ask('POST', '/v1/devices', { body: { ...body, id: 'twice' }, headers })
    expect(other.status).toBe(409)
    expect(other.json.errors).toEqual([{ path: 'header:Idempotency-Key', detail: expect.any(String) }])
    const theirs = await api.ask('POST', '/v1/devices', { body, headers, key: OTHER_KEY })
    expect(theirs.status).toBe(201)
    expect(theirs.json.token).not.toBe(answers[0]!.json.token)
  })

  test('a refusal is not kept under an Idempotency-Key, and the key is free again after a day', async () => {
    const headers = { 'idempotency-key': '0123456789abcdef-x' }
    const body = { id: 'later', model: 'thermostat' }
    await api.register('later')
    expect((await api.ask('POST', '/v1/devices', { body, headers })).status).toBe(409)
    await api.ask('DELETE', '/v1/devices/later')
    expect((await api.ask('POST', '/v1/devices', { body, headers })).status).toBe(201)
    await api.database.sql`update idempotency_keys set created_at = now() - interval '25 hours'`
    await api.ask('DELETE', '/v1/devices/later')
    const anew = await api.ask('POST', '/v1/devices', { body, headers })
    expect(anew.status).toBe(201)
    expect(anew.headers.get('idempotency-replayed')).toBeNull()
  })
})

describe('what is not taken', () => {
  const bad: Array<[what: string, body: unknown, status: number, path?: string]> = [
    ['an unknown model', { id: 'x', model: 'toaster' }, 400, '/model'],
    ['no model', { id: 'x' }, 400, '/model'],
    ['an unknown member', { id: 'x', model: 'pump', tenant: 'other' }, 400, '/tenant'],
    ['an id with a slash', { id: 'a/b', model: 'pump' }, 400, '/id'],
    ['an id with a plus', { id: 'a+b', model: 'pump' }, 400, '/id'],
    ['an id with a hash', { id: 'a#b', model: 'pump' }, 400, '/id'],
    ['an id with a percent sign', { id: 'a%2f', model: 'pump' }, 400, '/id'],
    ['an id with a control character', { id: 'a\u0001', model: 'pump' }, 400, '/id'],
    ['an id of 129 characters', { id: 'a'.repeat(129), model: 'pump' }, 400, '/id'],
    ['an id that is a number', { id: 7, model: 'pump' }, 400, '/id'],
    ['attributes that are a list', { id: 'x', model: 'pump', attributes: [] }, 400, '/attributes'],
    ['attributes over 64 kB', { id: 'x', model: 'pump', attributes: { a: 'x'.repeat(66_000) } }, 413, '/attributes'],
    ['a body over 128 kB', { id: 'x', model: 'pump', attributes: { a: 'x'.repeat(140_000) } }, 413],
    ['attributes of depth 17', `{"id":"x","model":"pump","attributes":${nested(17)}}`, 400, '/attributes'],
    ['JSON of depth 1,000', `{"id":"x","model":"pump","attributes":${nested(1000)}}`, 400],
    ['a key __proto__', '{"id":"x","model":"pump","attributes":{"a":{"__proto__":{"admin":true}}}}', 400, '/attributes/a/__proto__'],
    ['a number beyond doubles', '{"id":"x","model":"pump","attributes":{"a":1e400}}', 400, '/attributes/a'],
    ['NaN', '{"id":"x","model":"pump","attributes":{"a":NaN}}', 400],
    ['U+0000', '{"id":"x","model":"pump","attributes":{"a":"\\u0000"}}', 400, '/attributes/a'],
    ['half a surrogate pair', '{"id":"x","model":"pump","attributes":{"a":"\\ud800"}}', 400, '/attributes/a'],
    ['invalid UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), 400],
    ['broken JSON', '{"id":', 400],
    ['an empty body', '', 400],
    ['a list', [], 400],
    ['null', 'null', 400],
  ]
  test.each(bad)('%s is refused with a problem that says so', async (_what, body, status, path) => {
    const { headers, json, status: found } = await api.ask('POST', '/v1/devices', { body })
    expect(found).toBe(status)
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(json).toMatchObject({ type: `urn:castor:problem:${json.code}`, status, title: expect.any(String), detail: expect.any(String) })
    expect(json.requestId).toBe(headers.get('x-request-id'))
    if (path) expect(json.errors.map((error: { path: string }) => error.path)).toContain(path)
    expect((await api.ask('GET', '/v1/devices/x')).status).toBe(404)
  })

  test('only JSON in UTF-8 is taken', async () => {
    const body = '{"id":"x","model":"pump"}'
    for (const type of ['text/plain', 'application/xml', 'application/json; charset=latin1', '']) {
      const { status, json } = await api.ask('POST', '/v1/devices', { body, headers: { 'content-type': type } })
      expect([status, json.code]).toEqual([415, 'unsupported-media-type'])
    }
    const good = await api.ask('POST', '/v1/devices', { body, headers: { 'content-type': 'Application/JSON; Charset="UTF-8"' } })
    expect(good.status).toBe(201)
    await api.ask('DELETE', '/v1/devices/x')
  })

  test('a body without an announced length is counted while it comes', async () => {
    const chunk = new TextEncoder().encode(' '.repeat(50_000))
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(chunk) })
    const response = await api.app.request('/v1/devices', {
      method: 'POST',
      body,
      duplex: 'half',
      headers: { authorization: 'Bearer demo-key-0123456789', 'content-type': 'application/json' },
    } as RequestInit)
    expect(response.status).toBe(413)
  })

  test('a short or strange Idempotency-Key is refused', async () => {
    for (const key of ['1', 'a b c d e f g h i j k', 'x'.repeat(256)]) {
      const { status, json } = await api.ask('POST', '/v1/devices', {
        body: { id: 'x', model: 'pump' },
        headers: { 'idempotency-key': key },
      })
      expect([status, json.errors[0].path]).toEqual([400, 'header:Idempotency-Key'])
    }
  })
})

describe('changing', () => {
  test('attributes change by merge patch', async () => {
    await api.register('p-1', { a: 1, b: { c: 2, d: 3 } })
    const type = { 'content-type': 'application/merge-patch+json' }
    const patched = await api.ask('PATCH', '/v1/devices/p-1', {
      body: { attributes: { a: null, b: { c: [1], e: 'x' }, f: 1e21 } },
      headers: type,
    })
    expect(patched.status).toBe(200)
    expect(patched.json.attributes).toEqual({ b: { c: [1], d: 3, e: 'x' }, f: 1e21 })
    expect(patched.headers.get('link')).toBeNull()
    expect((await api.ask('PATCH', '/v1/devices/p-1', { body: { attributes: null }, headers: type })).json.attributes).toEqual({})
    expect((await api.ask('GET', '/v1/devices/p-1')).json.attributes).toEqual({})
  })

  test('attributes cannot grow beyond their bound by patches', async () => {
    await api.register('p-2', { a: 'x'.repeat(40_000) })
    const { status } = await api.ask('PATCH', '/v1/devices/p-2', { body: { attributes: { b: 'x'.repeat(40_000) } } })
    expect(status).toBe(413)
    expect(Object.keys((await api.ask('GET', '/v1/devices/p-2')).json.attributes)).toEqual(['a'])
  })

  test('another model leaves a request for the twin that can be looked up', async () => {
    const { incarnation } = await api.register('p-3')
    const changed = await api.ask('PATCH', '/v1/devices/p-3', { body: { model: 'pump' } })
    expect(changed.json).toMatchObject({ model: 'pump' })
    const [, place] = /^<(.+)>; rel="monitor"$/.exec(changed.headers.get('link')!)!
    const request = await api.ask('GET', place!)
    expect(request.json).toMatchObject({ device: 'p-3', kind: 'configured', status: 'waiting' })
    const [row] = await api.database.sql`select * from twin_requests where incarnation = ${incarnation}`
    expect(row).toMatchObject({ lane: incarnation % 16, tenant: 'demo' })
    expect((await api.ask('GET', place!, { key: OTHER_KEY })).status).toBe(404)

    const same = await api.ask('PATCH', '/v1/devices/p-3', { body: { model: 'pump' } })
    expect(same.headers.get('link')).toBeNull()
    await api.database
      .sql`update twin_requests set seq = 1, answered_at = now(), answer = '{"revision":3}' where incarnation = ${incarnation}`
    expect((await api.ask('GET', place!)).json).toMatchObject({ status: 'answered', answer: { revision: 3 } })
  })

  test('a patch of what cannot change is refused', async () => {
    await api.register('p-4')
    for (const body of [{ id: 'p-5' }, { model: null }, { model: 'toaster' }, { attributes: 3 }, { token: 'x' }]) {
      expect((await api.ask('PATCH', '/v1/devices/p-4', { body })).status).toBe(400)
    }
  })

  test('a new token voids the old one and tells the bridges when', async () => {
    const { token, incarnation } = await api.register('p-6')
    const renewed = await api.ask('POST', '/v1/devices/p-6/token')
    expect(renewed.status).toBe(201)
    expect(renewed.json).toEqual({ id: 'p-6', token: expect.any(String) })
    expect(renewed.json.token).not.toBe(token)
    const [row] = await api.database.sql`select token_hash, token_changed_at from devices where incarnation = ${incarnation}`
    expect(row!.token_hash).toEqual(hash('sha256', renewed.json.token, 'buffer'))
    expect(row!.token_changed_at).toBeInstanceOf(Date)
  })

  test('deleting ends the registration, and the same id starts anew', async () => {
    const { incarnation } = await api.register('gone')
    expect((await api.ask('DELETE', '/v1/devices/gone')).status).toBe(204)
    const [removed] = await api.database.sql`select * from removed_devices where incarnation = ${incarnation}`
    expect(removed).toMatchObject({ tenant: 'demo', device: 'gone', lane: incarnation % 16, ended_at: null })
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['PATCH', ''],
      ['POST', '/token'],
    ] as const) {
      const body = method === 'PATCH' ? { body: {} } : {}
      expect((await api.ask(method, `/v1/devices/gone${path}`, body)).status).toBe(404)
    }
    expect((await api.register('gone')).incarnation).toBeGreaterThan(incarnation)
  })
})

describe('listing', () => {
  test('pages are stable while devices come and go', async () => {
    for (let n = 0; n < 25; n++) await api.register(`l-${String(n).padStart(2, '0')}`, { list: true })
    const seen = await allItems(api, `/v1/devices?limit=7&filter=${encodeURIComponent('attributes.list = true')}`, async (page) => {
      await api.register(`l-00-${page}`, { list: true })
      await api.register(`l-99-${page}`, { list: true })
      if (page === 0) await api.ask('DELETE', '/v1/devices/l-20')
    })
    const ids = seen.map((device) => device.id)
    expect(new Set(ids).size).toBe(ids.length)
    for (let n = 0; n < 25; n++) if (n !== 20) expect(ids).toContain(`l-${String(n).padStart(2, '0')}`)
    expect(ids).not.toContain('l-20')
    expect(ids).toContain('l-99-0')
  })

  test('a full last page is followed by an empty one at most', async () => {
    const path = `/v1/devices?filter=${encodeURIComponent("id like 'p-%'")}`
    const all = (await api.ask('GET', path)).json
    expect(all.next).toBeNull()
    const full = (await api.ask('GET', `${path}&limit=${all.items.length}`)).json
    expect(full.items).toEqual(all.items)
    expect((await api.ask('GET', `${path}&limit=${all.items.length}&cursor=${full.next}`)).json).toEqual({ items: [], next: null })
  })

  test.each([
    ['limit=0'],
    ['limit=201'],
    ['limit=1.5'],
    ['limit=ten'],
    ['limit=1&limit=2'],
    ['cursor=nonsense'],
    ['cursor=WyJ0d2lucyIsImEiXQ'],
    ['cursor=WyJkZXZpY2VzIiwxXQ'],
    ['sort=id'],
    ['filter='],
    [`filter=${encodeURIComponent("attributes.site ~ 'x'")}`],
  ])('the query ?%s is refused by name', async (query) => {
    const { status, json } = await api.ask('GET', `/v1/devices?${query}`)
    expect(status).toBe(400)
    expect(json.errors[0].path).toBe(`query:${query.split('=')[0]}`)
  })
})

function nested(levels: number): string {
  return `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
}
