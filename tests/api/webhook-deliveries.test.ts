/** What became of the events of a webhook over REST, on real Postgres. Dispatcher and workflow are played by rows. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { numberRows } from '../../infra/postgres/outbox.ts'
import { disableWebhook } from '../../infra/postgres/webhook-disabled.ts'
import { allItems, type TestApi, testApi } from './test-api.ts'

let api: TestApi
let id: string
let number: number
beforeAll(async () => {
  api = await testApi()
  for (const device of ['t-1', 't-2', 't-3']) await api.register(device)
  await numberRows(api.database.sql, 100)
  id = (await api.ask('POST', '/v1/webhooks', { body: { url: 'https://erp.example.com/', types: ['*'] } })).json.id
  const { sql } = api.database
  ;[{ number }] = await sql<[{ number: number }]>`select number from webhooks where id = ${id}`
  const log = JSON.stringify([
    { at: 1_764_000_000_000, ms: 15_000, error: 'It did not answer within 15 s' },
    { at: 1_764_000_005_000, ms: 7, status: 500, answer: '<h1>no</h1>' },
  ])
  await sql`
    insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, attempts, next_at, ended_at, log)
    select ${number}, position, at, incarnation, device, 'device.created', (array['failed', 'delivered', 'retrying'])[position], 2,
      case when position = 3 then now() + interval '1 hour' end, case when position < 3 then now() end, ${log} from outbox`
  await sql`
    insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, ended_at)
    select ${number}, n, now() - interval '8 days', 1, 't-1', 'twin.online', case when n = 104 then 'behind' else 'failed' end, now()
    from generate_series(100, 104) n`
})
afterAll(() => api?.database.drop())

const path = () => `/v1/webhooks/${id}/deliveries`
const row = async (position: number) =>
  (
    await api.database.sql`select *, next_at <= now() as due from webhook_deliveries where webhook = ${number} and position = ${position}`
  )[0]!

describe('looking at them', () => {
  test('they are listed page by page, the newest first, each with its attempts', async () => {
    const items = await allItems(api, `${path()}?limit=3`)
    expect(items.map(({ event }) => event)).toEqual([104, 103, 102, 101, 100, 3, 2, 1].map((position) => `evt_${position}`))
    expect(items.at(-1)).toMatchObject({
      ...{ event: 'evt_1', type: 'device.created', device: 't-1', status: 'failed' },
      attempts: [
        { at: '2025-11-24T16:00:00.000Z', ms: 15_000, error: 'It did not answer within 15 s' },
        { at: '2025-11-24T16:00:05.000Z', ms: 7, status: 500, answer: '<h1>no</h1>' },
      ],
    })
    expect(items.find(({ event }) => event === 'evt_3')).toHaveProperty('nextAttemptAt')
  })

  test.each([
    ['status=failed', [103, 102, 101, 100, 1]],
    ['status=behind', [104]],
    ['type=twin.online&status=failed', [103, 102, 101, 100]],
    ['device=t-2', [2]],
    ['device=t-9', []],
  ])('narrowed by %s', async (query, expected) => {
    const { json } = await api.ask('GET', `${path()}?${query}`)
    expect(json.items.map(({ event }: { event: string }) => Number(event.slice(4)))).toEqual(expected)
  })

  test.each(['status=open', 'limit=0', 'cursor=x', 'since=1'])('%s is refused', async (query) => {
    expect((await api.ask('GET', `${path()}?${query}`)).status).toBe(400)
  })

  test('one alone shows what is sent, or says that the event is no longer kept', async () => {
    const { json } = await api.ask('GET', `${path()}/evt_1`)
    const body = JSON.parse(json.body)
    expect(body).toMatchObject({ type: 'device.created', data: { tenant: 'demo', device: 't-1', kind: 'registered', model: 'thermostat' } })
    expect(body.data).not.toHaveProperty('revision')
    expect(body.data.cause).toEqual({ by: 'request', who: 'admin' })
    const old = await api.ask('GET', `${path()}/evt_100`)
    expect(old.json).toMatchObject({ status: 'failed', bodyMissing: expect.stringContaining('no longer kept') })
    for (const other of ['evt_77', 'evt_', '1']) expect((await api.ask('GET', `${path()}/${other}`)).status).toBe(404)
  })
})

describe('sending them again', () => {
  test('one is due at once with all its attempts before it, and keeps what is known of those before', async () => {
    const { status, json } = await api.ask('POST', `${path()}/evt_2/resend`)
    expect(status).toBe(202)
    expect(json).toMatchObject({ event: 'evt_2', status: 'retrying', attempts: [{}, {}] })
    expect(json).not.toHaveProperty('endedAt')
    expect(await row(2)).toMatchObject({ attempts: 0, due: true, ended_at: null })
    const [webhook] = await api.database.sql`select troubled_at, nudged_at from webhooks where id = ${id}`
    expect(webhook!.troubled_at).not.toBeNull()
    expect(webhook!.nudged_at).not.toBeNull()
  })

  test('one that waits for its next attempt need not wait', async () => {
    expect((await row(3)).due).toBe(false)
    expect((await api.ask('POST', `${path()}/evt_3/resend`)).status).toBe(202)
    expect((await row(3)).due).toBe(true)
  })

  test('one whose event is no longer kept, or that waits behind another, is refused', async () => {
    const gone = await api.ask('POST', `${path()}/evt_100/resend`)
    expect(gone.json).toMatchObject({ status: 409, detail: expect.stringContaining('no longer kept') })
    const { sql } = api.database
    await sql`update webhook_deliveries set status = 'behind', at = now() where webhook = ${number} and position = 104`
    await sql`
      insert into outbox (position, at, tenant, incarnation, device, kind, event, cause)
      select 104, at, 'demo', 1, 't-1', 'presence-changed', '{"at":1,"after":"online"}', '{"by":"lane"}' from webhook_deliveries where position = 104`
    const behind = await api.ask('POST', `${path()}/evt_104/resend`)
    expect(behind.json).toMatchObject({ status: 409, detail: expect.stringContaining('behind') })
    expect((await api.ask('POST', `${path()}/evt_77/resend`)).status).toBe(404)
  })

  test('all that failed since a time, as far as their events are kept', async () => {
    const ask = (body: unknown) => api.ask('POST', `/v1/webhooks/${id}/resend`, { body })
    expect((await ask({ since: new Date(Date.now() + 60_000).toISOString() })).json).toEqual({ resent: 0, more: false })
    const since = '2026-01-01T00:00:00Z'
    const { status, json } = await ask({ since })
    expect([status, json]).toEqual([202, { resent: 1, more: false }])
    expect(await row(1)).toMatchObject({ status: 'retrying', attempts: 0, due: true })
    expect(await row(100)).toMatchObject({ status: 'failed' })
    await api.database
      .sql`update webhook_deliveries set status = 'delivered', ended_at = now() where webhook = ${number} and position in (1, 2)`
    expect((await ask({ since, status: 'delivered' })).json).toEqual({ resent: 2, more: false })
    for (const body of [{}, { since: 'yesterday' }, { since, status: 'behind' }]) expect((await ask(body)).status).toBe(400)
  })

  test('nothing is sent again while the webhook is paused or disabled', async () => {
    await api.ask('POST', `/v1/webhooks/${id}/pause`)
    expect((await api.ask('POST', `${path()}/evt_1/resend`)).json).toMatchObject({ status: 409, detail: expect.stringContaining('paused') })
    expect((await api.ask('POST', `/v1/webhooks/${id}/resend`, { body: { since: '2026-01-01T00:00:00Z' } })).status).toBe(409)
    await api.ask('POST', `/v1/webhooks/${id}/resume`)
  })
})

test('one that is given up is disabled with an event that tells its host and nothing else of its URL, once', async () => {
  const { sql } = api.database
  await api.ask('PATCH', `/v1/webhooks/${id}`, { body: { url: 'https://erp.example.com:8443/secret-path?token=secret' } })
  const give = () => sql.begin((tx) => disableWebhook(tx, number, 'gone', 'It answered 410'))
  expect([await give(), await give()]).toEqual([true, false])
  expect((await api.ask('GET', `/v1/webhooks/${id}`)).json).toMatchObject({ status: 'disabled', reason: 'It answered 410' })
  const rows = await sql`select tenant, device, revision, event, cause from outbox where kind = 'webhook-disabled'`
  expect(rows).toMatchObject([{ tenant: 'demo', device: '', revision: null, cause: '{"by":"delivery"}' }])
  expect(JSON.parse(rows[0]!.event)).toEqual({
    ...{ at: expect.any(Number), webhook: id, host: 'erp.example.com:8443', reason: 'gone', detail: 'It answered 410' },
  })
})
