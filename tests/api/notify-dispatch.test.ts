/** From what happens to an alarm to what a webhook receives: shapes, groups, escalation, quiet hours, trouble. Over HTTP, on real Postgres. */
import { Webhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { type Received, WebhookReceiver } from '../support/webhook-receiver.ts'
import { NotifyKit, PUBLIC_URL } from './notify-kit.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

let kit: NotifyKit
let receiver: WebhookReceiver
/** Incarnations. */
let north: number
let south: number
let nowhere: number
beforeAll(async () => {
  kit = await NotifyKit.start()
  receiver = await WebhookReceiver.start()
  north = (await kit.api.register('d-north', { site: 'north' })).incarnation
  south = (await kit.api.register('d-south', { site: 'south' })).incarnation
  nowhere = (await kit.api.register('d-nowhere', { site: 7 })).incarnation
})
afterEach(async () => {
  await kit.clear()
  receiver.received.length = 0
  receiver.answer = () => ({ status: 204 })
})
afterAll(async () => {
  await kit?.stop()
  await receiver?.stop()
})

const received = (count: number) =>
  until(() => (receiver.received.length >= count ? receiver.received : undefined), `${count} messages arrive`)
const alerts = ({ json }: Received): Array<[device: string, status: string, severity: string]> =>
  json.alerts.map(({ labels, status }: { labels: { device: string; severity: string }; status: string }) => [
    labels.device,
    status,
    labels.severity,
  ])
const nothingComes = async (count: number) => {
  await kit.looked()
  expect(receiver.received).toHaveLength(count)
}

describe('a webhook in the shape of Alertmanager', () => {
  test('gets an alarm as Alertmanager tells its receivers, signed, and its end with the same fingerprint and group', async () => {
    const secret = await kit.webhook('ops', receiver.url, { auth: { bearer: 'token' }, headers: { 'X-A': '1' } })
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    const raisedAt = Date.now() - 1_000
    await kit.happen(kit.raised(north, 3, { raisedAt }))
    const [request] = await received(1)
    const { headers, body, json } = request!
    expect(headers).toMatchObject({ authorization: 'Bearer token', 'x-a': '1', 'content-type': 'application/json' })
    expect(() => new Webhook(secret).verify(body, headers as Record<string, string>)).not.toThrow()
    const labels = { alertname: 'hot', severity: 'major', tenant: 'demo', key: `alarm:${north}-3`, device: 'd-north', site: 'north' }
    const annotations = { temperature: '83.4', summary: 'hot on d-north', description: 'It is 83.4 °C' }
    expect(json).toEqual({
      ...{ version: '4', groupKey: '{}:{alertname="hot", site="north"}', truncatedAlerts: 0, status: 'firing', receiver: 'ops' },
      ...{
        groupLabels: { alertname: 'hot', site: 'north' },
        commonLabels: labels,
        commonAnnotations: annotations,
        externalURL: PUBLIC_URL,
      },
      alerts: [
        {
          ...{ status: 'firing', labels, annotations, startsAt: new Date(raisedAt).toISOString(), endsAt: '0001-01-01T00:00:00Z' },
          ...{ generatorURL: `${PUBLIC_URL}/v1/alarms/${north}-3`, fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) },
        },
      ],
    })
    await until(async () => (await kit.notices())[0]!.state === 'sent', 'it is settled')

    await kit.happen(kit.cleared(north, 3, { reason: 'person', by: 'ann', note: 'fan replaced' }))
    const over = (await received(2))[1]!.json
    expect(over).toMatchObject({ status: 'resolved', groupKey: json.groupKey, alerts: [{ status: 'resolved', labels }] })
    expect(over.alerts[0]).toMatchObject({ fingerprint: json.alerts[0].fingerprint, startsAt: json.alerts[0].startsAt })
    expect(over.alerts[0].annotations).toMatchObject({ cleared: 'by ann', note: 'fan replaced', temperature: '70' })
    expect(Date.parse(over.alerts[0].endsAt)).toBeGreaterThan(raisedAt)
    expect(receiver.ids()[1]).not.toBe(receiver.ids()[0])
  })

  test('gets alarms of one rule and site together, when the group has waited, and what comes later after the interval', async () => {
    await kit.webhook('ops', receiver.url, { groupWait: '10s', groupInterval: '5m' })
    await kit.rule('hot', [['ops']])
    await kit.rule('cold', [['ops']])
    kit.dispatch()
    await kit.happen(
      kit.raised(north, 1),
      kit.raised(north, 2, { rule: 'cold', severity: 'minor' }),
      kit.raised(south, 1),
      kit.raised(nowhere, 1),
    )
    await kit.happen(kit.raised(north, 3, { severity: 'critical' }))
    await nothingComes(0)
    kit.laterMs = 11_000
    await received(4)
    const groups = new Map(receiver.received.map((request) => [request.json.groupKey, alerts(request)]))
    expect(Object.fromEntries(groups)).toEqual({
      '{}:{alertname="hot", site="north"}': [
        ['d-north', 'firing', 'critical'],
        ['d-north', 'firing', 'major'],
      ],
      '{}:{alertname="cold", site="north"}': [['d-north', 'firing', 'minor']],
      '{}:{alertname="hot", site="south"}': [['d-south', 'firing', 'major']],
      '{}:{alertname="hot"}': [['d-nowhere', 'firing', 'major']],
    })
    await kit.happen(kit.raised(north, 4), kit.cleared(north, 1))
    kit.laterMs = 60_000
    await nothingComes(4)
    kit.laterMs = 5 * MINUTE + 12_000
    const [, , , , later] = await received(5)
    expect(later!.json).toMatchObject({ status: 'firing', groupKey: '{}:{alertname="hot", site="north"}' })
    expect(alerts(later!)).toEqual([
      ['d-north', 'firing', 'major'],
      ['d-north', 'resolved', 'major'],
    ])
  })
})

test('a webhook in the plain form gets what Castor knows', async () => {
  await kit.webhook('ops', receiver.url, { form: 'castor' })
  await kit.rule('hot', [['ops']])
  kit.dispatch()
  await kit.happen(kit.raised(north, 1))
  const [request] = await received(1)
  expect(request!.json).toEqual({
    ...{ id: request!.id, tenant: 'demo', target: 'ops', status: 'firing', truncated: 0 },
    group: { key: '{}:{alertname="hot", site="north"}', labels: { alertname: 'hot', site: 'north' } },
    notices: [
      {
        ...{
          key: `alarm:${north}-1`,
          fingerprint: expect.any(String),
          kind: 'alarm',
          status: 'firing',
          severity: 'major',
          subject: 'hot on d-north',
        },
        ...{ text: 'It is 83.4 °C', facts: { temperature: '83.4' }, device: 'd-north', rule: 'hot', site: 'north', alarm: `${north}-1` },
        ...{ since: expect.any(String), url: `${PUBLIC_URL}/v1/alarms/${north}-1`, links: [] },
      },
    ],
  })
  expect(request!.id).toMatch(/^ntc_[0-9a-f-]{36}$/)
})

test('what no database can hold is replaced, and holds up nothing', async () => {
  await kit.webhook('ops', receiver.url)
  await kit.rule('hot', [['ops']])
  kit.dispatch()
  const long = '😀'.repeat(300)
  await kit.happen(kit.raised(north, 1, { text: 'a\0b', values: { mode: `\0${long}`, on: true } }))
  const [request] = await received(1)
  const { description, mode, on } = request!.json.alerts[0].annotations
  expect([description, mode.slice(0, 3), on]).toEqual(['a\uFFFDb', '\uFFFD😀', 'true'])
  expect(mode.isWellFormed()).toBe(true)
})

test('a rule tells whom its version says, and what else it does or says is no matter here', async () => {
  await kit.webhook('ops', receiver.url)
  const bodies = [
    { actions: [{ kind: 'event', name: 'x' }, { kind: 'notify', target: 'ops' }, { kind: 'notify' }, 7] },
    { actions: [{ kind: 'event', name: 'x' }] },
    {},
    { actions: 'none' },
  ]
  for (const [i, body] of bodies.entries())
    await kit.sql`insert into rule_versions (tenant, name, version, body, created_by) values ('demo', 'hot', ${i + 1}, ${JSON.stringify(body)}, 'test')`
  await kit.happen(...[1, 2, 3, 4, 5].map((version) => kit.raised(north, version, { version })))
  await kit.take()
  expect((await kit.notices()).map(({ key, target }) => [key, target])).toEqual([[`alarm:${north}-1`, 'ops']])
  expect(await kit.sql`select n from told_alarms`).toEqual([{ n: 1 }])
})

test('events that were dropped before they were read are counted, and those after them are told', async () => {
  await kit.webhook('ops', receiver.url)
  await kit.rule('hot', [['ops']])
  await kit.happen(kit.raised(north, 1), kit.raised(north, 2), kit.raised(north, 3))
  await kit.sql`delete from outbox where position = (select position + 2 from notice_cursor)`
  expect(await kit.store.take()).toEqual({ more: false, missed: 1 })
  expect((await kit.notices()).map(({ key }) => key)).toEqual([`alarm:${north}-1`, `alarm:${north}-3`])
  expect(await kit.store.take()).toEqual({ more: false, missed: 0 })
})

describe('escalation', () => {
  const at = (path: string) => receiver.received.filter((request) => request.path === path)
  const steps = async () => {
    for (const name of ['first', 'second', 'third']) await kit.webhook(name, `${receiver.url}${name}`)
    await kit.rule('hot', [['first'], ['second', '15m'], ['third', '1h']])
    kit.dispatch()
    await kit.happen(kit.raised(north, 1))
    await received(1)
  }

  test('goes on while nobody acknowledges, stops when somebody does, and the end is told to who was told', async () => {
    await steps()
    expect(at('/first')).toHaveLength(1)
    kit.laterMs = 14 * MINUTE
    await nothingComes(1)
    kit.laterMs = 15 * MINUTE + 1_000
    await received(2)
    expect(at('/second')).toHaveLength(1)
    await kit.happen({ incarnation: north, kind: 'alarm-acknowledged', n: 1, rule: 'hot', by: 'ann' })
    await until(async () => (await kit.notices())[2]!.state === 'cancelled', 'the third is cancelled')
    kit.laterMs = 2 * HOUR
    await nothingComes(2)
    await kit.happen(kit.cleared(north, 1))
    await received(4)
    expect([at('/first'), at('/second'), at('/third')].map((of) => of.map(({ json }) => json.status))).toEqual([
      ['firing', 'resolved'],
      ['firing', 'resolved'],
      [],
    ])
    expect(new Set(receiver.received.map(({ json }) => json.alerts[0].fingerprint)).size).toBe(1)
  })

  test('is held while the alarm is shelved, and goes on with what was left', async () => {
    await steps()
    await kit.happen({ incarnation: north, kind: 'alarm-shelved', n: 1, rule: 'hot', until: Date.now() + HOUR, by: 'ann' })
    await until(async () => (await kit.notices())[1]!.state === 'held', 'it is held')
    kit.laterMs = HOUR
    await nothingComes(1)
    kit.laterMs = 0
    await kit.happen({ incarnation: north, kind: 'alarm-shelved', n: 1, rule: 'hot', until: null })
    await received(2)
    expect(at('/first')).toHaveLength(2)
    kit.laterMs = 16 * MINUTE
    await received(3)
    expect(at('/second')).toHaveLength(1)
  })

  test('is held while its device is in maintenance, and goes on when that is over', async () => {
    await steps()
    await kit.happen({ incarnation: north, kind: 'alarm-updated', n: 1, rule: 'hot', muted: true })
    await until(async () => (await kit.notices())[1]!.state === 'held', 'it is held')
    kit.laterMs = HOUR
    await nothingComes(1)
    kit.laterMs = 0
    await kit.happen({ incarnation: north, kind: 'alarm-updated', n: 1, rule: 'hot', muted: false })
    await nothingComes(1)
    kit.laterMs = 16 * MINUTE
    await received(2)
    expect(at('/second')).toHaveLength(1)
  })

  test('of an alarm that was raised in maintenance begins when that is over', async () => {
    for (const name of ['first', 'second']) await kit.webhook(name, `${receiver.url}${name}`)
    await kit.rule('hot', [['first'], ['second', '15m']])
    kit.dispatch()
    await kit.happen(kit.raised(north, 1, { muted: true }))
    await until(async () => (await kit.notices()).length === 2, 'it is known')
    kit.laterMs = HOUR
    await nothingComes(0)
    kit.laterMs = 0
    await kit.happen({ incarnation: north, kind: 'alarm-updated', n: 1, rule: 'hot', muted: false })
    await received(1)
    expect(at('/first')).toHaveLength(1)
    kit.laterMs = 16 * MINUTE
    await received(2)
    expect(at('/second')).toHaveLength(1)
  })

  test('tells who was told when it gets worse', async () => {
    await steps()
    await kit.happen({
      incarnation: north,
      kind: 'alarm-updated',
      n: 1,
      rule: 'hot',
      severity: 'critical',
      text: 'It burns',
      values: { temperature: 200 },
    })
    const [, again] = await received(2)
    expect(again).toMatchObject({ path: '/first' })
    expect(again!.json.alerts[0]).toMatchObject({
      labels: { severity: 'critical' },
      annotations: { description: 'It burns', temperature: '200' },
    })
  })

  test('of a device that is removed ends, and its end is told', async () => {
    const { incarnation } = await kit.api.register('d-short')
    await kit.webhook('ops', receiver.url)
    await kit.rule('hot', [['ops'], ['ops', '1h']])
    kit.dispatch()
    await kit.happen(kit.raised(incarnation, 1))
    await received(1)
    await kit.api.ask('DELETE', '/v1/devices/d-short')
    await kit.happen()
    const [, over] = await received(2)
    expect(over!.json).toMatchObject({ status: 'resolved', alerts: [{ annotations: { cleared: 'the device was removed' } }] })
  })
})

describe('quiet hours', () => {
  const zone = 'UTC'
  /** From an hour ago until in two hours. */
  const quietNow = () => {
    const clock = (ms: number) => new Date(ms).toISOString().slice(11, 16)
    return { from: clock(Date.now() - HOUR), to: clock(Date.now() + 2 * HOUR), timeZone: zone, atLeast: 'critical' }
  }
  const held = async () => (await kit.api.ask('GET', '/v1/notices')).json.items

  test('hold what is not urgent until they end, and let through what is', async () => {
    await kit.webhook('ops', receiver.url, { quietHours: quietNow() })
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    await kit.happen(kit.raised(north, 1), kit.raised(south, 1, { severity: 'critical' }))
    await received(1)
    expect(alerts(receiver.received[0]!)).toEqual([['d-south', 'firing', 'critical']])
    await until(async () => (await held()).some(({ state }: { state: string }) => state === 'held'), 'the other is held')
    const [, notice] = await held()
    expect(notice).toMatchObject({ state: 'held', reason: 'quiet', severity: 'major' })
    expect(Math.abs(Date.parse(notice.heldUntil) - Date.now() - 2 * HOUR)).toBeLessThan(2 * MINUTE)
    kit.laterMs = HOUR
    await nothingComes(1)
    kit.laterMs = 2 * HOUR + MINUTE
    await received(2)
    expect(alerts(receiver.received[1]!)).toEqual([['d-north', 'firing', 'major']])
  })

  test('let through what becomes urgent in them, and tell nobody of what is over before they end', async () => {
    await kit.webhook('ops', receiver.url, { quietHours: quietNow() })
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    await kit.happen(kit.raised(north, 1), kit.raised(south, 1))
    await until(async () => (await kit.notices()).every(({ state }) => state === 'held'), 'both are held')
    await kit.happen({ incarnation: north, kind: 'alarm-updated', n: 1, rule: 'hot', severity: 'critical' }, kit.cleared(south, 1))
    await received(1)
    expect(alerts(receiver.received[0]!)).toEqual([['d-north', 'firing', 'critical']])
    kit.laterMs = 3 * HOUR
    await nothingComes(1)
    expect((await kit.notices()).map(({ state }) => state)).toEqual(['sent', 'cancelled'])
  })

  test('that are changed are gone by at once', async () => {
    await kit.webhook('ops', receiver.url, { quietHours: quietNow() })
    await kit.rule('hot', [['ops']])
    kit.dispatch()
    await kit.happen(kit.raised(north, 1))
    await until(async () => (await kit.notices())[0]!.state === 'held', 'it is held')
    await kit.webhook('ops', receiver.url)
    await received(1)
  })
})
