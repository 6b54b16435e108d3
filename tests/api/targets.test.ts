/** /v1/targets over REST, on real Postgres: making, showing, changing, testing and removing them. The receivers are stand-ins. */
import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createSend } from '../../api/notify/send.ts'
import type { WebhookSender } from '../../api/webhook-ports.ts'
import type { Attempt } from '../../twin-models/core/delivery.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

type Sent = Parameters<WebhookSender['post']>[0]

let api: TestApi
const sent: Sent[] = []
let answer: Attempt
beforeAll(async () => {
  const mailer = { refusal: () => undefined, send: async () => ({ ms: 1, error: 'there is no mail here' }) }
  const post = async (request: Sent) => {
    sent.push(request)
    return answer
  }
  api = await testApi({
    mailer,
    webhookSender: { refusal: (url) => (url.includes('//private.') ? 'It is private' : undefined), post },
    sendNotices: createSend({ sender: { post }, mailer, publicUrl: 'https://castor.example.com' }),
    limits: { targetTests: { name: 'target-tests', quota: 8, windowSeconds: 3_600 } },
  })
})
afterAll(() => api?.database.drop())
beforeEach(async () => {
  sent.length = 0
  answer = { ms: 12, status: 204, answer: '' }
  await api.database.sql`truncate targets, notices, notice_bundles, notice_groups, rules`
})

const URL_ = 'https://pager.example.com/castor'
const put = (name: string, body: object, key?: string) => api.ask('PUT', `/v1/targets/${name}`, { body, ...(key && { key }) })
const webhook = { kind: 'webhook', url: URL_ }
const email = { kind: 'email', to: ['ann@example.com'] }
const night = { from: '22:00', to: '06:00', timeZone: 'Europe/Berlin', atLeast: 'critical' }
const stored = async (name: string) => (await api.database.sql`select * from targets where name = ${name}`)[0]!

describe('a target', () => {
  test('that is a webhook has its defaults, and its secret is shown this once', async () => {
    const { status, json, headers } = await put('ops', webhook)
    expect([status, headers.get('location'), headers.get('cache-control')]).toEqual([201, '/v1/targets/ops', 'no-store'])
    const { secret, ...shown } = json
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(shown).toEqual({
      ...{
        name: 'ops',
        kind: 'webhook',
        url: URL_,
        form: 'alertmanager',
        headers: {},
        groupWait: '10s',
        groupInterval: '1m',
        perMinute: 60,
      },
      ...{
        description: '',
        health: { failures: 0, open: { count: 0, more: false } },
        createdAt: expect.any(String),
        updatedAt: json.createdAt,
      },
    })
    expect((await api.ask('GET', '/v1/targets/ops')).json).toEqual(shown)
    for (const path of ['/v1/targets', '/v1/targets/ops']) expect((await api.ask('GET', path)).text).not.toContain('whsec_')
  })

  test('that is an address keeps all that is asked for', async () => {
    const asked = {
      ...{ ...email, cc: ['boss@example.com'], subjectPrefix: '[plant]', quietHours: { ...night, days: ['sat', 'sun'] }, groupWait: '0s' },
      ...{ groupInterval: '12h', perMinute: 1, description: 'Ann' },
    }
    const { status, json } = await put('ann', asked)
    expect(status).toBe(201)
    expect(json).toMatchObject(asked)
    expect(json).not.toHaveProperty('secret')
  })

  test('is changed as a whole: credentials that are not said again are gone, and its secret stays', async () => {
    const first = await put('ops', { ...webhook, auth: { bearer: 'very-secret' }, headers: { 'X-A': '1' }, description: 'first' })
    expect(first.json).toMatchObject({ auth: { kind: 'bearer' } })
    expect(first.text).not.toContain('very-secret')
    expect(JSON.parse((await stored('ops')).auth)).toEqual({ bearer: 'very-secret' })
    const { secret } = first.json
    const second = await put('ops', { ...webhook, perMinute: 5 })
    expect([second.status, second.headers.get('location')]).toEqual([200, null])
    expect(second.json).toMatchObject({ perMinute: 5, description: '', headers: {}, createdAt: first.json.createdAt })
    for (const gone of ['auth', 'secret']) expect(second.json).not.toHaveProperty(gone)
    expect(JSON.parse((await stored('ops')).secrets)).toEqual([{ secret }])
    // Of another kind it has no use for its secret; back again it gets another.
    expect((await put('ops', email)).status).toBe(200)
    const third = await put('ops', webhook)
    expect(third.json.secret).toMatch(/^whsec_/)
    expect(third.json.secret).not.toBe(secret)
  })

  test('that failed is tried as if it had not when it is changed', async () => {
    await put('ops', webhook)
    const health = { failures: 12, failingSince: 1_764_000_000_000, openedAt: 1_764_000_100_000, probeAt: 1_764_000_130_000, probes: 1 }
    await api.database.sql`update targets set health = ${JSON.stringify(health)}`
    expect((await api.ask('GET', '/v1/targets/ops')).json.health).toMatchObject({
      ...{ failures: 12, failingSince: '2025-11-24T16:00:00.000Z', nextProbeAt: '2025-11-24T16:02:10.000Z' },
    })
    expect((await put('ops', webhook)).json.health).toEqual({ failures: 0, open: { count: 0, more: false } })
  })

  test.each([
    ['no kind', { url: URL_ }, '/kind'],
    ['another kind', { kind: 'sms' }, '/kind'],
    ['no URL', { kind: 'webhook' }, '/url'],
    ['a URL that nothing is sent to', { ...webhook, url: 'https://private.example.com/' }, '/url'],
    ['another form', { ...webhook, form: 'standard' }, '/form'],
    ['a header of Castor', { ...webhook, headers: { 'webhook-id': '1' } }, '/headers/webhook-id'],
    ['two credentials', { ...webhook, auth: { bearer: 'x', basic: { user: 'a', password: 'b' } } }, '/auth'],
    ['a recipient of a webhook', { ...webhook, to: ['ann@example.com'] }, '/to'],
    ['nobody', { ...email, to: [] }, '/to'],
    ['too many', { ...email, to: Array.from({ length: 21 }, (_, n) => `a${n}@example.com`) }, '/to'],
    ['somebody twice', { ...email, to: ['ann@example.com', 'Ann@example.com'] }, '/to'],
    ['no address', { ...email, to: ['ann'] }, '/to/0'],
    ['an address with a name', { ...email, to: ['Ann <ann@example.com>'] }, '/to/0'],
    ['two lines in an address', { ...email, cc: ['ann@example.com\nBcc: x@example.com'] }, '/cc/0'],
    ['two lines in a subject', { ...email, subjectPrefix: 'a\r\nBcc: x@example.com' }, '/subjectPrefix'],
    ['quiet hours without a zone', { ...webhook, quietHours: { ...night, timeZone: undefined } }, '/quietHours/timeZone'],
    ['quiet hours in no zone', { ...webhook, quietHours: { ...night, timeZone: 'Europe/Atlantis' } }, '/quietHours/timeZone'],
    ['quiet hours that are none', { ...webhook, quietHours: { ...night, to: '22:00' } }, '/quietHours/to'],
    ['quiet hours without a severity', { ...webhook, quietHours: { ...night, atLeast: 'urgent' } }, '/quietHours/atLeast'],
    ['quiet hours that never end', { ...webhook, quietHours: { ...night, from: '00:00', to: '24:00' } }, '/quietHours'],
    ['too long a wait', { ...webhook, groupWait: '2h' }, '/groupWait'],
    ['an interval that is none', { ...webhook, groupInterval: 'often' }, '/groupInterval'],
    ['no pace', { ...webhook, perMinute: 0 }, '/perMinute'],
    ['too great a pace', { ...webhook, perMinute: 601 }, '/perMinute'],
    ['a long description', { ...webhook, description: 'x'.repeat(501) }, '/description'],
    ['a field that is not known', { ...webhook, retries: 3 }, '/retries'],
  ])('with %s is refused and says where', async (_what, body, path) => {
    const { status, json } = await put('ops', body)
    expect(status).toBe(400)
    expect(json.errors.map((error: { path: string }) => error.path)).toEqual([path])
    expect(json.detail).toContain(json.errors[0].detail)
  })

  test('that a live rule tells is not removed, and one that no rule tells is', async () => {
    await put('ops', webhook)
    const withAction = (name: string, status: string, action: object) => api.database.sql`
      insert into rules (tenant, name, version, status, body, created_by)
      values ('demo', ${name}, 1, ${status}, ${JSON.stringify({ actions: [action] })}, 'test')`
    const rule = (name: string, status: string, target: string) => withAction(name, status, { kind: 'notify', target })
    await rule('hot', 'live', 'ops')
    await withAction('worn', 'live', { kind: 'ticket', title: 'Look', onCall: ['others', 'ops'] })
    await rule('cold', 'draft', 'ops')
    await rule('wet', 'live', 'others')
    await api.database
      .sql`insert into rules (tenant, name, version, status, body, created_by) values ('demo', 'none', 1, 'live', '{}', 'test')`
    const refused = await api.ask('DELETE', '/v1/targets/ops')
    expect(refused.json).toMatchObject({ code: 'conflict', detail: expect.stringContaining('tell it: hot, worn.') })
    await api.database.sql`delete from rules where name in ('hot', 'worn')`
    expect((await api.ask('DELETE', '/v1/targets/ops')).status).toBe(204)
    for (const method of ['DELETE', 'GET']) expect((await api.ask(method, '/v1/targets/ops')).status).toBe(404)
  })
})

test('a tenant has a hundred of them, also when many are made at once, and they are listed by name', async () => {
  const name = (n: number) => `t-${String(n).padStart(3, '0')}`
  for (let n = 0; n < 95; n++) await put(name(n), webhook)
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => put(name(95 + n), webhook)))
  expect(answers.map(({ status }) => status).sort()).toEqual([...Array(5).fill(201), ...Array(7).fill(409)])
  expect((await put(name(0), email)).status).toBe(200)
  expect((await put('ops', webhook, OTHER_KEY)).status).toBe(201)
  const names = (await allItems(api, '/v1/targets?limit=30')).map((target) => target.name)
  expect(names).toHaveLength(100)
  expect(names).toEqual(names.toSorted())
})

describe('testing one', () => {
  test('sends an example, signed, and tells what came of it', async () => {
    const { secret } = (
      await put('ops', { ...webhook, quietHours: night, headers: { 'X-A': '1' }, auth: { basic: { user: 'a', password: 'b' } } })
    ).json
    const { status, json } = await api.ask('POST', '/v1/targets/ops/test')
    expect([status, json]).toEqual([
      200,
      {
        message: expect.stringMatching(/^ntc_/),
        outcome: 'delivered',
        attempt: { at: expect.any(String), ms: 12, status: 204, answer: '' },
      },
    ])
    const { headers, body, url } = sent[0]!
    expect([url, headers['X-A'], headers['webhook-id']]).toEqual([URL_, '1', json.message])
    expect(headers.authorization).toBe(`Basic ${Buffer.from('a:b').toString('base64')}`)
    const signature = createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(
      `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`,
    )
    expect(headers['webhook-signature']).toBe(`v1,${signature.digest('base64')}`)
    expect(JSON.parse(body)).toMatchObject({ version: '4', receiver: 'ops', alerts: [{ labels: { alertname: 'test', tenant: 'demo' } }] })

    answer = { ms: 3, status: 500, answer: 'no' }
    expect((await api.ask('POST', '/v1/targets/ops/test')).json).toMatchObject({
      outcome: 'failed',
      reason: 'It answered 500',
      attempt: { answer: 'no' },
    })
    expect((await api.ask('GET', '/v1/targets/ops')).json.health.failures).toBe(0)
  })

  test('with a new secret is signed by both, until the old one ends', async () => {
    const { secret: first } = (await put('ops', webhook)).json
    const rotated = await api.ask('POST', '/v1/targets/ops/rotate-secret', { body: { keepOldFor: '1h' } })
    expect([rotated.status, rotated.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect((Date.parse(rotated.json.oldSecretUntil) - Date.now()) / 3_600_000).toBeCloseTo(1, 2)
    await api.ask('POST', '/v1/targets/ops/test')
    expect(sent[0]!.headers['webhook-signature']!.split(' ')).toHaveLength(2)
    expect(rotated.json.secret).not.toBe(first)
    await put('ann', email)
    expect((await api.ask('POST', '/v1/targets/ann/rotate-secret')).status).toBe(409)
    for (const keepOldFor of ['8d', 'soon'])
      expect((await api.ask('POST', '/v1/targets/ops/rotate-secret', { body: { keepOldFor } })).json.errors[0].path).toBe('/keepOldFor')
  })

  test('is limited', async () => {
    await put('ops', webhook)
    const answers = await Promise.all(Array.from({ length: 9 }, () => api.ask('POST', '/v1/targets/ops/test')))
    expect(answers.at(-1)).toMatchObject({ status: 429, json: { code: 'too-many-requests' } })
  })
})

test('another tenant sees none of it and can do nothing with it', async () => {
  await put('ops', webhook)
  await api.database.sql`
    insert into notices (tenant, target, kind, key, step, device, status, state, severity, subject, words, facts, since, group_key, due_at)
    values ('demo', 'ops', 'ticket', 'k', '1', '', 'firing', 'failed', 'minor', 's', 't', '{}', now(), 'g', now())`
  const [{ id }] = (await api.ask('GET', '/v1/notices')).json.items
  const calls: Array<[method: string, path: string]> = [
    ['GET', '/v1/targets/ops'],
    ['DELETE', '/v1/targets/ops'],
    ['POST', '/v1/targets/ops/test'],
    ['POST', '/v1/targets/ops/rotate-secret'],
    ['GET', `/v1/notices/${id}`],
    ['POST', `/v1/notices/${id}/retry`],
  ]
  for (const [method, path] of calls)
    expect([method, path, (await api.ask(method, path, { key: OTHER_KEY })).status]).toEqual([method, path, 404])
  for (const path of ['/v1/targets', '/v1/notices']) expect((await api.ask('GET', path, { key: OTHER_KEY })).json.items).toEqual([])
})

test.each([
  ['/v1/notices?state=gone', 'query:state'],
  ['/v1/notices?alarm=12', 'query:alarm'],
  ['/v1/notices?target=%20', 'query:target'],
  ['/v1/notices?cursor=x', 'query:cursor'],
])('%s is refused and says where', async (path, where) => {
  expect((await api.ask('GET', path)).json.errors[0].path).toBe(where)
})
