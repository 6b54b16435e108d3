/** /v1/webhooks over REST, on real Postgres: making, showing, changing and steering them. The receiver is a stand-in. */
import { createHmac } from 'node:crypto'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { WebhookSender } from '../../api/webhook-ports.ts'
import { numberRows } from '../../infra/postgres/outbox.ts'
import type { Attempt } from '../../twin-models/core/delivery.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

type Sent = Parameters<WebhookSender['post']>[0]

let api: TestApi
const sent: Sent[] = []
let answer: Attempt
beforeAll(async () => {
  api = await testApi({
    webhookSender: {
      refusal: (url) => (url.includes('//private.') ? 'It is private' : undefined),
      post: async (request) => {
        sent.push(request)
        return answer
      },
    },
    limits: { webhookTests: { name: 'webhook-tests', quota: 12, windowSeconds: 3_600 } },
  })
})
afterAll(() => api?.database.drop())
beforeEach(async () => {
  sent.length = 0
  answer = { ms: 12, status: 204, answer: '' }
})

const URL_ = 'https://erp.example.com/castor'
const nowhere = '00000000-0000-4000-8000-000000000000'
const make = async (more: object = {}, options = {}) => {
  const { status, json, text } = await api.ask('POST', '/v1/webhooks', { body: { url: URL_, types: ['*'], ...more }, ...options })
  if (status !== 201) throw new Error(text)
  return json
}
const patch = (id: string, body: unknown) =>
  api.ask('PATCH', `/v1/webhooks/${id}`, { body, headers: { 'content-type': 'application/merge-patch+json' } })
const stored = async (id: string) => (await api.database.sql`select * from webhooks where id = ${id}`)[0]!

describe('making one', () => {
  test('it has its place, its defaults and its secret, which is never shown again', async () => {
    const { status, json, headers } = await api.ask('POST', '/v1/webhooks', {
      body: { url: URL_, types: ['twin.offline', 'twin.offline'] },
    })
    expect(status).toBe(201)
    expect(headers.get('location')).toBe(`/v1/webhooks/${json.id}`)
    expect(headers.get('cache-control')).toBe('no-store')
    const { secret, ...shown } = json
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(shown).toMatchObject({
      ...{
        status: 'active',
        url: URL_,
        types: ['twin.offline'],
        form: 'standard',
        headers: {},
        ordered: false,
        perSecond: 100,
        atOnce: 10,
      },
      ...{ description: '', health: { failures: 0, waiting: { count: 0, more: false }, missed: 0 } },
    })
    const one = await api.ask('GET', `/v1/webhooks/${json.id}`)
    expect(one.json).toEqual(shown)
    for (const path of ['/v1/webhooks', `/v1/webhooks/${json.id}`]) expect((await api.ask('GET', path)).text).not.toContain('whsec_')
  })

  test('everything that can be asked for is kept, but of credentials only their kind is shown', async () => {
    const asked = {
      ...{ types: ['command.ended', 'twin.online'], filter: "attributes.site = 'north'", form: 'cloudevents', ordered: true },
      ...{ headers: { 'X-Castor': 'a b' }, perSecond: 0.5, atOnce: 3, description: 'ERP', system: 'erp' },
    }
    const basic = { user: 'castor', password: 'very: secret' }
    const json = await make({ ...asked, auth: { basic } })
    expect(json).toMatchObject({ ...asked, auth: { kind: 'basic' } })
    const { text } = await api.ask('GET', `/v1/webhooks/${json.id}`)
    expect(text).not.toContain('very')
    expect(JSON.parse((await stored(json.id)).auth)).toEqual({ basic })
  })

  test.each([
    ['no URL', { url: undefined }, '/url'],
    ['half a URL', { url: 'erp.example.com/x' }, '/url'],
    ['another scheme', { url: 'ftp://erp.example.com/' }, '/url'],
    ['a user in the URL', { url: URL_.replace('//', '//a:b@') }, '/url'],
    ['a fragment', { url: 'https://erp.example.com/#' }, '/url'],
    ['a long URL', { url: `https://erp.example.com/${'x'.repeat(2_048)}` }, '/url'],
    ['a URL that nothing is sent to', { url: 'https://private.example.com/1' }, '/url'],
    ['no types', { types: [] }, '/types'],
    ['a type that is not known', { types: ['twin.online', 'twin.gone'] }, '/types/1'],
    ['a part of a name', { types: ['desired.*'] }, '/types/0'],
    ['a filter that breaks', { filter: 'attributes.site =' }, '/filter'],
    ['another form', { form: 'xml' }, '/form'],
    ['a header that is none', { headers: { 'a b': 'c' } }, '/headers/a b'],
    ['a header of HTTP', { headers: { 'Content-Type': 'text/plain' } }, '/headers/Content-Type'],
    ['a header of Castor', { headers: { 'webhook-id': '1' } }, '/headers/webhook-id'],
    ['a credential among the headers', { headers: { Authorization: 'Bearer x' } }, '/headers/Authorization'],
    ['a header twice', { headers: { 'X-A': '1', 'x-a': '2' } }, '/headers/x-a'],
    ['a header of two lines', { headers: { 'X-A': '1\r\nX-B: 2' } }, '/headers/X-A'],
    ['too many headers', { headers: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`X-${n}`, 'x'])) }, '/headers'],
    ['no pace', { perSecond: 0 }, '/perSecond'],
    ['too great a pace', { perSecond: 1_001 }, '/perSecond'],
    ['half a request at once', { atOnce: 1.5 }, '/atOnce'],
    ['two credentials', { auth: { bearer: 'x', basic: { user: 'a', password: 'b' } } }, '/auth'],
    ['no credential', { auth: {} }, '/auth'],
    ['a user with a colon', { auth: { basic: { user: 'a:b', password: 'b' } } }, '/auth/basic/user'],
    ['a bearer with a blank', { auth: { bearer: 'a b' } }, '/auth/bearer'],
    ['a system that is no name', { system: 'the erp' }, '/system'],
    ['a long description', { description: 'x'.repeat(501) }, '/description'],
    ['a field that is not known', { retries: 3 }, '/retries'],
  ])('%s is refused and says where', async (_what, part, path) => {
    const { status, json } = await api.ask('POST', '/v1/webhooks', { body: { url: URL_, types: ['*'], ...part } })
    expect(status).toBe(400)
    expect(json.errors.map((error: { path: string }) => error.path)).toEqual([path])
    expect(json.detail).toContain(json.errors[0].detail)
  })

  test('with an Idempotency-Key the same request is the same webhook with the same secret, and another request is refused', async () => {
    const headers = { 'idempotency-key': 'webhook-0123456789abcdef' }
    const body = { url: URL_, types: ['twin.online'], description: 'once' }
    const [first, second] = [
      await api.ask('POST', '/v1/webhooks', { body, headers }),
      await api.ask('POST', '/v1/webhooks', { body, headers }),
    ]
    expect([first.status, second.status]).toEqual([201, 201])
    expect(second.text).toBe(first.text)
    expect(second.headers.get('location')).toBe(first.headers.get('location'))
    expect([first, second].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    expect(JSON.parse((await stored(first.json.id)).secrets)).toEqual([{ secret: first.json.secret }])
    expect((await api.ask('POST', '/v1/webhooks', { body: { ...body, ordered: true }, headers })).status).toBe(409)
    const keys = await api.database.sql`select response from idempotency_keys`
    expect(JSON.stringify(keys)).not.toContain('whsec_')
  })

  test('it begins where the outbox ends, with what has no number yet', async () => {
    const { sql } = api.database
    const { position: end } = (await sql`select position from outbox_end`)[0]!
    await api.register('before-1')
    await numberRows(sql, 100)
    await api.register('not-numbered-1')
    const { id } = await make()
    expect(Number((await stored(id)).position)).toBeGreaterThan(Number(end))
    expect(await sql`select w.position = e.position as same from webhooks w, outbox_end e where id = ${id}`).toEqual([{ same: true }])
  })

  test('a tenant has a hundred of them, also when many are made at once', async () => {
    const { sql } = api.database
    const settings = { url: URL_, types: ['*'] }
    const most = 95
    for (let n = 0; n < most; n++) await make({}, { key: OTHER_KEY })
    const answers = await Promise.all(Array.from({ length: 12 }, () => api.ask('POST', '/v1/webhooks', { key: OTHER_KEY, body: settings })))
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(5).fill(201), ...Array(7).fill(409)])
    const headers = { 'idempotency-key': 'webhook-that-is-too-many' }
    const refused = await api.ask('POST', '/v1/webhooks', { key: OTHER_KEY, body: settings, headers })
    expect(refused.json).toMatchObject({ code: 'conflict', detail: expect.stringContaining('100 webhooks') })
    await sql`delete from webhooks where number = (select max(number) from webhooks where tenant = 'other')`
    expect((await api.ask('POST', '/v1/webhooks', { key: OTHER_KEY, body: settings, headers })).status).toBe(201)
    await sql`delete from webhooks where tenant = 'other'`
  })
})

describe('showing and changing them', () => {
  test('they are listed page by page, the newest first', async () => {
    const made = [await make(), await make(), await make()]
    const listed = (await allItems(api, '/v1/webhooks?limit=2')).map(({ id }) => id)
    expect(listed.slice(0, 3)).toEqual(made.map(({ id }) => id).reverse())
    expect(new Set(listed).size).toBe(listed.length)
  })

  test('a patch changes what it names, and null gives the default again', async () => {
    const { id, createdAt } = await make({
      filter: 'exists id',
      system: 'erp',
      headers: { 'X-A': '1', 'X-B': '2' },
      perSecond: 5,
      description: 'd',
    })
    expect((await patch(id, { description: 'd' })).json.system).toBe('erp')
    const { status, json } = await patch(id, {
      filter: null,
      system: null,
      headers: { 'X-A': null, 'X-C': '3' },
      perSecond: null,
      types: ['twin.online'],
    })
    expect(status).toBe(200)
    expect(json).toMatchObject({ headers: { 'X-B': '2', 'X-C': '3' }, perSecond: 100, types: ['twin.online'], description: 'd', createdAt })
    for (const gone of ['filter', 'system']) expect(json).not.toHaveProperty(gone)
    expect((await api.ask('GET', `/v1/webhooks/${id}`)).json).toEqual(json)
  })

  test.each([
    ['a type that is not known', { types: ['x'] }, '/types/0'],
    ['no URL', { url: null }, '/url'],
    ['a URL that nothing is sent to', { url: 'https://private.example.com/2' }, '/url'],
    ['a filter that breaks', { filter: 'x' }, '/filter'],
    ['its secret', { secret: 'whsec_x' }, '/secret'],
    ['its status', { status: 'active' }, '/status'],
  ])('a patch with %s is refused, and changes nothing', async (_what, body, path) => {
    const { id, secret: _, ...before } = await make()
    const { status, json } = await patch(id, { description: 'changed', ...body })
    expect(status).toBe(400)
    expect(json.errors[0].path).toBe(path)
    expect((await api.ask('GET', `/v1/webhooks/${id}`)).json).toEqual({ id, ...before })
  })

  test('a credential is replaced as a whole, and does not follow the URL to another server', async () => {
    const { id } = await make({ auth: { bearer: 'token-1' } })
    expect((await patch(id, { url: `${URL_}/other` })).json.auth).toEqual({ kind: 'bearer' })
    const moved = await patch(id, { url: 'https://other.example.com/' })
    expect(moved.json).toMatchObject({ status: 400, errors: [{ path: '/auth' }] })
    const changed = await patch(id, { url: 'https://other.example.com/', auth: { basic: { user: 'a', password: 'b' } } })
    expect(changed.json).toMatchObject({ url: 'https://other.example.com/', auth: { kind: 'basic' } })
    expect(JSON.parse((await stored(id)).auth)).toEqual({ basic: { user: 'a', password: 'b' } })
    expect((await patch(id, { auth: null })).json).not.toHaveProperty('auth')
  })

  test('one that is removed is gone with its deliveries', async () => {
    const { id } = await make()
    const { number } = await stored(id)
    await api.database.sql`
      insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status) values (${number}, 1, now(), 1, 'd', 'twin.online', 'retrying')`
    expect((await api.ask('DELETE', `/v1/webhooks/${id}`)).status).toBe(204)
    expect((await api.ask('DELETE', `/v1/webhooks/${id}`)).status).toBe(404)
    expect((await api.ask('GET', `/v1/webhooks/${id}`)).status).toBe(404)
    expect(await api.database.sql`select from webhook_deliveries where webhook = ${number}`).toHaveLength(0)
  })

  test('its health says since when it fails, when it is tried next, and what waits', async () => {
    const { sql } = api.database
    const { id } = await make()
    const { number } = await stored(id)
    const health = { failures: 12, failingSince: 1_764_000_000_000, openedAt: 1_764_000_100_000, probeAt: 1_764_000_130_000, probes: 1 }
    await sql`update webhooks set position = 1000, missed = 4, health = ${JSON.stringify(health)} where id = ${id}`
    await sql`
      insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status)
      select ${number}, n, now(), 1, 'd', 'twin.online', case n when 1 then 'retrying' when 2 then 'behind' else 'failed' end from generate_series(1, 3) n`
    await sql`
      insert into webhook_events (position, at, endpoints)
      select n, now(), case when n % 2 = 0 then array[${number}::int, 1] else array[0] end from generate_series(999, 1003) n`
    const { json } = await api.ask('GET', `/v1/webhooks/${id}`)
    expect(json.health).toEqual({
      ...{ failures: 12, failingSince: '2025-11-24T16:00:00.000Z', nextProbeAt: '2025-11-24T16:02:10.000Z', missed: 4 },
      waiting: { count: 3, more: false },
    })
    await sql`insert into webhook_events (position, at, endpoints) select n, now(), array[0] from generate_series(2000, 4000) n`
    const listed = (await allItems(api, '/v1/webhooks')).find((item) => item.id === id)
    expect(listed.health.waiting).toEqual({ count: 3, more: true })
    await sql`delete from webhook_events`
  })
})

describe('steering one', () => {
  test('it pauses and resumes, and either twice is once', async () => {
    const { id } = await make()
    for (const [wanted, status] of [
      ['pause', 'paused'],
      ['pause', 'paused'],
      ['resume', 'active'],
      ['resume', 'active'],
    ]) {
      const answered = await api.ask('POST', `/v1/webhooks/${id}/${wanted}`)
      expect([answered.status, answered.json.status]).toEqual([200, status])
    }
  })

  test('one that was disabled says why, cannot be paused, and is as new when it is resumed', async () => {
    const { sql } = api.database
    const { id } = await make()
    const { number } = await stored(id)
    const health = { failures: 99, failingSince: 1, openedAt: 2, probeAt: 3, probes: 4 }
    await sql`update webhooks set status = 'disabled', reason = 'It is gone', health = ${JSON.stringify(health)} where id = ${id}`
    await sql`
      insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, next_at)
      values (${number}, 1, now(), 1, 'd', 'twin.online', 'retrying', now() + interval '1 day')`
    expect((await api.ask('GET', `/v1/webhooks/${id}`)).json).toMatchObject({ status: 'disabled', reason: 'It is gone' })
    expect((await api.ask('POST', `/v1/webhooks/${id}/pause`)).status).toBe(409)
    const { json } = await api.ask('POST', `/v1/webhooks/${id}/resume`)
    expect(json).toMatchObject({ status: 'active', health: { failures: 0, waiting: { count: 1 } } })
    expect(json).not.toHaveProperty('reason')
    expect(json.health).not.toHaveProperty('failingSince')
    expect(await sql`select next_at <= now() as due from webhook_deliveries where webhook = ${number}`).toEqual([{ due: true }])
    expect((await stored(id)).troubled_at).not.toBeNull()
  })

  test('a new secret signs at once, and the old one until it ends', async () => {
    const { id, secret: first } = await make()
    const rotated = await api.ask('POST', `/v1/webhooks/${id}/rotate-secret`, { body: { keepOldFor: '1h' } })
    expect(rotated.status).toBe(200)
    expect(rotated.headers.get('cache-control')).toBe('no-store')
    expect(rotated.json.secret).not.toBe(first)
    const hours = (Date.parse(rotated.json.oldSecretUntil) - Date.now()) / 3_600_000
    expect(hours).toBeCloseTo(1, 2)
    await api.ask('POST', `/v1/webhooks/${id}/test`)
    const { headers, body } = sent[0]!
    const signed = (secret: string) =>
      `v1,${createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
        .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`)
        .digest('base64')}`
    expect(headers['webhook-signature']).toBe(`${signed(rotated.json.secret)} ${signed(first)}`)

    const before = JSON.parse((await stored(id)).secrets)
    await api.database
      .sql`update webhooks set secrets = ${JSON.stringify([before[0], { ...before[1], until: Date.now() - 1 }])} where id = ${id}`
    await api.ask('POST', `/v1/webhooks/${id}/test`)
    expect(sent[1]!.headers['webhook-signature']).not.toContain(' ')
    expect((await api.ask('GET', `/v1/webhooks/${id}`)).json).not.toHaveProperty('oldSecretUntil')
  })

  test('a secret that was rotated twice keeps both old ones, by default for a day, and never more than five in all', async () => {
    const { id, secret } = await make()
    const { json } = await api.ask('POST', `/v1/webhooks/${id}/rotate-secret`)
    expect((Date.parse(json.oldSecretUntil) - Date.now()) / 3_600_000).toBeCloseTo(24, 2)
    await api.ask('POST', `/v1/webhooks/${id}/rotate-secret`)
    const secrets = JSON.parse((await stored(id)).secrets)
    expect(secrets.slice(1).map((one: { secret: string }) => one.secret)).toEqual([json.secret, secret])
    for (let n = 0; n < 4; n++) await api.ask('POST', `/v1/webhooks/${id}/rotate-secret`)
    expect(JSON.parse((await stored(id)).secrets)).toHaveLength(5)
    for (const keepOldFor of ['8d', 'soon', 3])
      expect((await api.ask('POST', `/v1/webhooks/${id}/rotate-secret`, { body: { keepOldFor } })).json.errors[0].path).toBe('/keepOldFor')
  })
})

describe('testing one', () => {
  test('the example of a type goes out once, as events do, and what came of it is told', async () => {
    const { id } = await make({ headers: { 'X-A': '1' }, auth: { basic: { user: 'a', password: 'ü' } } })
    const { status, json } = await api.ask('POST', `/v1/webhooks/${id}/test`, { body: { type: 'command.ended' } })
    expect(status).toBe(200)
    expect(json).toMatchObject({ type: 'command.ended', outcome: 'delivered', attempt: { status: 204, ms: 12 } })
    expect(json.event).toMatch(/^evt_test_/)
    expect(sent).toHaveLength(1)
    expect(sent[0]).toMatchObject({ url: URL_, body: json.body })
    expect(sent[0]!.headers).toMatchObject({
      ...{ 'X-A': '1', authorization: `Basic ${Buffer.from('a:ü').toString('base64')}`, 'content-type': 'application/json' },
      'webhook-id': json.event,
    })
    expect(JSON.parse(json.body)).toMatchObject({ type: 'command.ended', data: { tenant: 'demo' } })
  })

  test('without a type it is the first that is asked for, in the form that is asked for, also while it is paused', async () => {
    const { id } = await make({ types: ['device.event', 'twin.online'], form: 'cloudevents' })
    await api.ask('POST', `/v1/webhooks/${id}/pause`)
    const { json } = await api.ask('POST', `/v1/webhooks/${id}/test`)
    expect(JSON.parse(sent[0]!.body)).toMatchObject({ specversion: '1.0', id: json.event, type: 'device.event' })
    expect(sent[0]!.headers['content-type']).toBe('application/cloudevents+json')
    expect((await api.ask('POST', `/v1/webhooks/${(await make()).id}/test`)).json.type).toBe('twin.online')
  })

  test.each([
    ['an answer that is none', { ms: 15_000, error: 'It took too long' }, { outcome: 'failed', reason: 'It took too long' }],
    ['a refusal', { ms: 3, status: 500, answer: 'no' }, { outcome: 'failed', attempt: { status: 500, answer: 'no', ms: 3 } }],
    ['a receiver that is gone', { ms: 3, status: 410, answer: '' }, { outcome: 'gone' }],
  ])('%s is told, and changes nothing of the webhook', async (_what, given, expected) => {
    answer = given as Attempt
    const { id } = await make()
    const { status, json } = await api.ask('POST', `/v1/webhooks/${id}/test`)
    expect(status).toBe(200)
    expect(json).toMatchObject(expected)
    expect((await api.ask('GET', `/v1/webhooks/${id}`)).json).toMatchObject({ status: 'active', health: { failures: 0 } })
  })

  test('a type that is not known is refused, and so are too many tests', async () => {
    const { id } = await make()
    expect((await api.ask('POST', `/v1/webhooks/${id}/test`, { body: { type: 'x' } })).json.errors[0].path).toBe('/type')
    const last = await Promise.all(Array.from({ length: 13 }, () => api.ask('POST', `/v1/webhooks/${id}/test`)))
    expect(last.at(-1)).toMatchObject({ status: 429, json: { code: 'too-many-requests' } })
  })
})

test('another tenant sees none of it and can do nothing with it', async () => {
  const { id } = await make()
  const calls: Array<[method: string, path: string, body?: object]> = [
    ['GET', ''],
    ['PATCH', '', { description: 'mine' }],
    ['DELETE', ''],
    ['POST', '/pause'],
    ['POST', '/resume'],
    ['POST', '/rotate-secret'],
    ['POST', '/test'],
    ['GET', '/deliveries'],
    ['GET', '/deliveries/evt_1'],
    ['POST', '/deliveries/evt_1/resend'],
    ['POST', '/resend', { since: '2026-11-21T06:00:00Z' }],
  ]
  for (const of of [id, nowhere, '7'])
    for (const [method, path, body] of calls) {
      const { status } = await api.ask(method, `/v1/webhooks/${of}${path}`, { key: OTHER_KEY, ...(body && { body }) })
      expect([method, path, status]).toEqual([method, path, 404])
    }
  expect((await api.ask('GET', '/v1/webhooks', { key: OTHER_KEY })).json.items).toEqual([])
})

test('the types of events are listed with a description, a JSON Schema and an example that meets it', async () => {
  const items = await allItems(api, '/v1/event-types?limit=5')
  expect(items.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['device.created', 'twin.online', 'deadletter.created', 'webhook.disabled']),
  )
  const ajv = new Ajv2020({ formats: { 'date-time': true } })
  for (const { name, description, schema, example } of items) {
    expect(description.length, name).toBeGreaterThan(10)
    expect(ajv.validate(schema, example), `${name}: ${ajv.errorsText()}`).toBe(true)
  }
})
