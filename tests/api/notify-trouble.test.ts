/** Receivers that fail, are slow or are not there; storms; one tenant beside another. Over HTTP, on real Postgres. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { NotifyKit } from './notify-kit.ts'
import { OTHER_KEY } from './test-api.ts'

const MINUTE = 60_000
const DEVICES = 10_000

let kit: NotifyKit
let receiver: WebhookReceiver
let device: number
let elsewhere: number
beforeAll(async () => {
  kit = await NotifyKit.start()
  receiver = await WebhookReceiver.start()
  device = (await kit.api.register('d-1', { site: 'north' })).incarnation
  elsewhere = (await kit.api.register('d-other', {}, OTHER_KEY)).incarnation
})
afterEach(async () => {
  await kit.clear()
  receiver.received.length = 0
  receiver.mostOpen = 0
  receiver.answer = () => ({ status: 204 })
})
afterAll(async () => {
  await kit?.stop()
  await receiver?.stop()
})

const received = (count: number) =>
  until(() => (receiver.received.length >= count ? receiver.received : undefined), `${count} messages arrive`)
const list = async (query = '', key?: string) => (await kit.api.ask('GET', `/v1/notices${query}`, key ? { key } : {})).json.items
/** Those of its messages that were settled: so many attempts. */
const attempted = (count: number) => until(async () => (await list())[0]?.attempts.length === count, `${count} attempts are settled`)

describe('a message that fails', () => {
  const begin = async () => {
    await kit.webhook('ops', receiver.url)
    await kit.rule('hot', [['ops']])
    kit.dispatch()
  }

  test('is sent again, with its id and what it said, and what was tried is shown', async () => {
    receiver.answer = () => ({ status: 500, body: 'oh no' })
    await begin()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    const [notice] = await list(`?alarm=${device}-1`)
    expect(notice).toMatchObject({ state: 'waiting', message: receiver.ids()[0], attempts: [{ status: 500, answer: 'oh no' }] })
    expect(Date.parse(notice.nextAttemptAt) - Date.now()).toBeGreaterThan(2_000)
    await kit.looked()
    expect(receiver.received).toHaveLength(1)
    receiver.answer = () => ({ status: 204 })
    kit.laterMs = 10_000
    const [first, second] = await received(2)
    expect([second!.id, second!.body]).toEqual([first!.id, first!.body])
    await until(async () => (await list())[0].state === 'sent', 'it is sent')
    expect((await list())[0].attempts.map(({ status }: { status: number }) => status)).toEqual([500, 204])
  })

  test('holds back what its group has to tell next, until it was tried three times', async () => {
    receiver.answer = ({ json }) => ({
      status: json.alerts.some(({ labels }: { labels: { key: string } }) => labels.key.endsWith('-1')) ? 400 : 204,
    })
    await begin()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    await kit.happen(kit.raised(device, 2))
    await kit.looked()
    expect(receiver.received).toHaveLength(1)
    kit.laterMs = 10_000
    await received(2)
    await until(async () => (await list(`?alarm=${device}-1`))[0].attempts.length === 2, 'the second attempt is settled')
    kit.laterMs = 10 * MINUTE
    await received(4)
    const keys = receiver.received.map(({ json }) =>
      json.alerts.map(({ labels }: { labels: { key: string } }) => labels.key.split('-')[1]).join(),
    )
    expect(keys).toEqual(['1', '1', '1', '2'])
  })

  test('leaves out what was acknowledged meanwhile, and is not sent at all when nothing is left', async () => {
    receiver.answer = () => ({ status: 500 })
    await begin()
    await kit.happen(kit.raised(device, 1), kit.raised(device, 2), kit.raised(device, 3))
    await attempted(1)
    receiver.answer = () => ({ status: 204 })
    const acknowledged = (n: number) => ({ incarnation: device, kind: 'alarm-acknowledged', n, rule: 'hot', by: 'ann' })
    await kit.happen(acknowledged(1), acknowledged(2))
    await until(async () => (await list('?state=cancelled')).length === 2, 'they are cancelled')
    kit.laterMs = 10_000
    const [, second] = await received(2)
    expect(second!.json.alerts.map(({ labels }: { labels: { key: string } }) => labels.key)).toEqual([`alarm:${device}-3`])
    await until(async () => (await list('?state=sent')).length === 1, 'it is known to be sent')

    receiver.answer = () => ({ status: 500 })
    await kit.happen(kit.raised(device, 4))
    await until(async () => (await list(`?alarm=${device}-4`))[0]?.attempts.length === 1, 'it failed')
    await kit.happen(kit.cleared(device, 4))
    await until(async () => (await list(`?alarm=${device}-4`)).length === 2, 'its end is to be told')
    receiver.answer = () => ({ status: 204 })
    kit.laterMs = 30_000
    // It may have arrived: its end is told.
    const [, , , over] = await received(4)
    expect(over!.json).toMatchObject({ status: 'resolved', alerts: [{ labels: { key: `alarm:${device}-4` } }] })
    const bundles = async () => await kit.sql`select state, attempts from notice_bundles order by made_at`
    await until(async () => (await bundles()).at(-1)?.state === 'sent', 'it is known to be sent')
    expect(await bundles()).toMatchObject([{ state: 'sent' }, { state: 'cancelled', attempts: 1 }, { state: 'sent' }])
  })

  test('ten times has failed for good, is shown so, and can be sent again', async () => {
    receiver.answer = () => ({ status: 422 })
    await begin()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    // As if the breaker had let all of them through.
    await kit.sql`update notice_bundles set attempts = 9`
    kit.laterMs = 10_000
    await until(async () => (await list())[0].state === 'failed', 'it has failed')
    const [failed] = await list('?state=failed&target=ops')
    expect(failed).toMatchObject({ reason: 'It answered 422', attempts: [{ status: 422 }, { status: 422 }] })
    receiver.answer = () => ({ status: 204 })
    const again = await kit.api.ask('POST', `/v1/notices/${failed.id}/retry`)
    expect([again.status, again.json.state]).toEqual([202, 'waiting'])
    await received(3)
    await until(async () => (await list())[0].state === 'sent', 'it is sent')
    expect(receiver.ids()[2]).not.toBe(receiver.ids()[0])
    expect((await kit.api.ask('POST', `/v1/notices/${failed.id}/retry`)).json).toMatchObject({
      code: 'conflict',
      detail: expect.stringContaining('is sent'),
    })
  })

  test('is sent at once when somebody asks for it, but not when its alarm is over', async () => {
    receiver.answer = () => ({ status: 500 })
    await begin()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    const [{ id }] = await list()
    expect((await kit.api.ask('POST', `/v1/notices/${id}/retry`)).status).toBe(202)
    await received(2)
    await attempted(2)
    await kit.sql`update notices set state = 'failed', ended_at = now(); update notice_bundles set state = 'failed'`.simple()
    await kit.happen(kit.cleared(device, 1))
    await until(async () => (await list()).length === 2, 'its end is to be told')
    expect((await kit.api.ask('POST', `/v1/notices/${id}/retry`)).json.detail).toContain('its alarm is over')
  })
})

describe('a target that fails for good', () => {
  const events = async () => {
    const rows = await kit.sql`select tenant, device as of, event, cause from outbox where kind = 'target-failed' order by id`
    return rows.map(({ tenant, of, event, cause }) => ({ tenant, of, ...JSON.parse(event), cause: JSON.parse(cause) }))
  }
  const told = (more: object) => ({ tenant: 'demo', of: '', target: 'ops', at: expect.any(Number), cause: { by: 'delivery' }, ...more })
  beforeEach(() => kit.sql`delete from outbox where kind = 'target-failed'`)

  test('is told by an event, once until a message arrives: it answered 410', async () => {
    receiver.answer = () => ({ status: 410 })
    await kit.webhook('ops', `${receiver.url}secret-path?token=1`)
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    const { host } = new URL(receiver.url)
    const gone = told({ targetKind: 'webhook', host, reason: 'gone', detail: 'It answered 410: the receiver is gone for good' })
    expect(await events()).toEqual([gone])
    kit.laterMs = 10_000
    await attempted(2)
    await kit.sql`update notice_bundles set attempts = 9`
    kit.laterMs = 10 * MINUTE
    await until(async () => (await list())[0].state === 'failed', 'it has failed')
    expect(await events()).toEqual([gone])

    receiver.answer = () => ({ status: 204 })
    await kit.happen(kit.raised(device, 2))
    await until(async () => (await list('?state=sent')).length === 1, 'one arrives')
    receiver.answer = () => ({ status: 422 })
    await kit.happen(kit.raised(device, 3))
    await until(async () => (await list(`?alarm=${device}-3`))[0]?.attempts.length === 1, 'it is tried')
    expect(await events()).toEqual([gone])
    await kit.sql`update notice_bundles set attempts = 9 where state = 'open'`
    kit.laterMs += 10_000
    await until(async () => (await list(`?alarm=${device}-3`))[0].state === 'failed', 'another one has failed')
    expect(await events()).toEqual([gone, told({ targetKind: 'webhook', host, reason: 'failing', detail: 'It answered 422' })])
  })

  test('is told by an event: its mail server refuses the message', async () => {
    kit.mail.refusal = () => ({ code: 550, message: 'no such user' })
    await kit.target('ops', { kind: 'email', to: ['nobody@example.com'] })
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    for (const n of [1, 2]) {
      await kit.happen(kit.raised(device, n))
      await until(async () => (await list('?state=failed')).length === n, 'it has failed')
    }
    expect(await events()).toEqual([told({ targetKind: 'email', reason: 'refused', detail: 'It answered 550' })])
  })
})

describe('a target that answers 503', () => {
  test('is left alone but for a probe, and is told all that waited when it is back', async () => {
    receiver.answer = () => ({ status: 503 })
    await kit.webhook('ops', receiver.url)
    await kit.rule('hot', [['ops']])
    await kit.rule('cold', [['ops']])
    kit.dispatch()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    const { health } = (await kit.api.ask('GET', '/v1/targets/ops')).json
    expect(health).toMatchObject({ failures: 1, nextProbeAt: expect.any(String), open: { count: 1, more: false } })
    await kit.happen(kit.raised(device, 2, { rule: 'cold' }))
    await kit.looked()
    expect(receiver.received).toHaveLength(1)
    kit.laterMs = 8_000
    await received(2)
    await until(async () => (await list(`?alarm=${device}-1`))[0].attempts.length === 2, 'the probe is settled')
    receiver.answer = () => ({ status: 204 })
    kit.laterMs = 2 * MINUTE
    await until(async () => (await list('?state=sent')).length === 2, 'both are sent')
    expect((await kit.api.ask('GET', '/v1/targets/ops')).json.health).toEqual({ failures: 0, open: { count: 0, more: false } })
    expect(receiver.received.length).toBeLessThanOrEqual(5)
  })

  test('is never given up', async () => {
    receiver.answer = () => ({ status: 410 })
    await kit.webhook('ops', receiver.url)
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    await kit.happen(kit.raised(device, 1))
    await attempted(1)
    receiver.answer = () => ({ status: 204 })
    kit.laterMs = 10_000
    await until(async () => (await list('?state=sent')).length === 1, 'it is sent')
  })
})

describe('a target that is not there', () => {
  test('fails what it is to be told, visibly, and is told when it is there and somebody asks', async () => {
    await kit.rule('hot', [['nobody'], ['ops']])
    await kit.webhook('ops', receiver.url)
    kit.dispatch()
    await kit.happen(kit.raised(device, 1))
    await received(1)
    const [failed] = await list('?state=failed')
    expect(failed).toMatchObject({ target: 'nobody', reason: 'There is no target of this name', attempts: [] })
    expect((await kit.api.ask('POST', `/v1/notices/${failed.id}/retry`)).status).toBe(409)
    await kit.webhook('nobody', `${receiver.url}nobody`)
    expect((await kit.api.ask('POST', `/v1/notices/${failed.id}/retry`)).status).toBe(202)
    await until(() => receiver.received.some(({ path }) => path === '/nobody'), 'it is told')
  })

  test('any more takes with it what waits for it', async () => {
    await kit.webhook('ops', receiver.url)
    await kit.rule('hot', [['ops', '1h']])
    await kit.happen(kit.raised(device, 1))
    await kit.take()
    await kit.sql`update rules set status = 'draft'`
    expect((await kit.api.ask('DELETE', '/v1/targets/ops')).status).toBe(204)
    expect(await list()).toMatchObject([{ state: 'failed', reason: 'Its target was removed' }])
  })
})

describe('a storm', () => {
  test('of ten thousand alarms is a few messages, and so is its end', { timeout: 180_000 }, async () => {
    await kit.sql`
      insert into devices (tenant, device, model, model_version, token_hash, attributes)
      select 'demo', 'many-' || n, 'thermostat', '1.0.0', sha256(('many-' || n)::bytea), jsonb_build_object('site', 'north') from generate_series(1, ${DEVICES}) n`
    const incarnations = (
      await kit.sql<Array<{ incarnation: number }>>`select incarnation from devices where device like 'many-%' order by 1`
    ).map((row) => row.incarnation)
    await kit.webhook('ops', receiver.url, { groupWait: '10s', groupInterval: '1m', perMinute: 60 })
    await kit.webhook('mine', `${receiver.url}other`, {}, OTHER_KEY)
    await kit.rule('hot', [['ops']])
    await kit.rule('hot', [['mine']], 'other')
    kit.dispatch()
    await kit.happen(...incarnations.map((incarnation, n) => kit.raised(incarnation, 1, { severity: n === 5_000 ? 'critical' : 'major' })))
    await kit.happen(kit.raised(elsewhere, 1))
    await until(async () => (await kit.sql`select from notices where tenant = 'other'`).length === 1, 'all are read')
    // Another tenant's is told while these wait.
    await until(() => receiver.received.some(({ path }) => path === '/other'), 'the other tenant is told')
    receiver.received.length = 0
    kit.laterMs = MINUTE
    const [storm] = await received(1)
    expect(storm!.json).toMatchObject({ truncatedAlerts: DEVICES - 100, groupKey: '{}:{alertname="hot", site="north"}' })
    expect(storm!.json.alerts).toHaveLength(100)
    expect(storm!.json.alerts[0].labels).toMatchObject({ severity: 'critical', device: 'many-5001' })
    await until(async () => (await list('?state=waiting')).length === 0, 'all of them are sent')
    await kit.looked()
    expect(receiver.received).toHaveLength(1)

    await kit.happen(...incarnations.map((incarnation) => kit.cleared(incarnation, 1)))
    await until(
      async () => (await kit.sql`select from told_alarms where ended_at is null and incarnation <> ${elsewhere}`).length === 0,
      'all are over',
    )
    kit.laterMs = 3 * MINUTE
    await until(async () => (await list('?state=waiting')).length === 0, 'all are told')
    await kit.looked()
    expect(receiver.received).toHaveLength(2)
    const shown = new Set(storm!.json.alerts.map(({ fingerprint }: { fingerprint: string }) => fingerprint))
    const over = receiver.received[1]!.json
    expect(over).toMatchObject({ status: 'resolved', truncatedAlerts: DEVICES - 100 })
    expect(over.alerts.every(({ fingerprint }: { fingerprint: string }) => shown.has(fingerprint))).toBe(true)
  })

  test('at a thousand sites is a few messages too, and never more than the target takes', { timeout: 120_000 }, async () => {
    await kit.sql`
      insert into devices (tenant, device, model, model_version, token_hash, attributes)
      select 'demo', 'far-' || n, 'thermostat', '1.0.0', sha256(('far-' || n)::bytea), jsonb_build_object('site', 'site ' || n) from generate_series(1, 1000) n`
    const incarnations = await kit.sql<Array<{ incarnation: number }>>`select incarnation from devices where device like 'far-%' order by 1`
    await kit.webhook('ops', receiver.url, { groupWait: '0s', groupInterval: '1m', perMinute: 20 })
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    for (let from = 0; from < 1_000; from += 100)
      await kit.happen(...incarnations.slice(from, from + 100).map(({ incarnation }) => kit.raised(incarnation, 1)))
    const open = async () => (await kit.sql`select from notices where ended_at is null`).length
    await until(async () => (await kit.sql`select from notices`).length === 1_000, 'all are known')
    await kit.looked()
    expect(receiver.received.length).toBeLessThanOrEqual(20)
    let minutes = 0
    while ((await open()) > 0) {
      kit.laterMs = ++minutes * MINUTE + 1_000
      await kit.looked()
      expect(receiver.received.length).toBeLessThanOrEqual(20 * (minutes + 1))
    }
    expect(minutes).toBeLessThanOrEqual(3)
    const told = receiver.received.map(({ json }) => json.alerts.length + json.truncatedAlerts)
    expect(told.reduce((sum, count) => sum + count, 0)).toBe(1_000)
  })
})

test('one tenant with many targets that never answer does not keep another waiting', async () => {
  const NEVER = new Promise<never>(() => {})
  receiver.answer = ({ path }) => (path === '/other' ? { status: 204 } : NEVER)
  const names = Array.from({ length: 20 }, (_, n) => `slow-${n}`)
  for (const name of names) await kit.webhook(name, `${receiver.url}${name}`)
  await kit.rule(
    'hot',
    names.map((name) => [name]),
  )
  await kit.webhook('mine', `${receiver.url}other`, {}, OTHER_KEY)
  await kit.rule('hot', [['mine']], 'other')
  kit.dispatch()
  await kit.happen(kit.raised(device, 1))
  await until(() => receiver.open === 8, 'as many are under way as one tenant may have')
  await kit.happen(kit.raised(elsewhere, 1))
  await until(() => receiver.received.some(({ path }) => path === '/other'), 'the other tenant is told', 3_000)
  expect(receiver.mostOpen).toBeLessThanOrEqual(9)
  await receiver.stop()
  await receiver.begin()
})
