/** Notices of whoever tells a target something by itself: tickets. On real Postgres, over HTTP and SMTP. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { insertNotices, MOST_OPEN_NOTICES, type NewNotice } from '../../infra/postgres/notice-insert.ts'
import { until } from '../support/wait.ts'
import type { WebhookReceiver } from '../support/webhook-receiver.ts'
import { NotifyKit, PUBLIC_URL } from './notify-kit.ts'

let kit: NotifyKit
let receiver: WebhookReceiver
beforeAll(async () => {
  kit = await NotifyKit.start()
  receiver = kit.receiver
})
afterEach(() => kit.clear())
afterAll(() => kit?.stop())

const ticket = (more: Partial<NewNotice> = {}): NewNotice => ({
  ...{
    tenant: 'demo',
    target: 'ops',
    key: 'ticket:7',
    kind: 'ticket',
    status: 'firing',
    dueAt: Date.now(),
    severity: 'major',
    device: 'p-1',
  },
  ...{ subject: 'Ticket 7: bearing of p-1', text: 'Accept it, or say who does.', facts: { risk: '0.93' } },
  links: [{ title: 'Accept', url: 'https://castor.example.com/t/7?sign=abc' }],
  ...more,
})
const listed = async (query = '') => (await kit.api.ask('GET', `/v1/notices${query}`)).json.items

test('each is a message of its own, at once, with its links, and its end has the same fingerprint', async () => {
  await kit.webhook('ops', receiver.url, { groupWait: '1h', groupInterval: '1h' })
  kit.dispatch()
  expect(await insertNotices(kit.sql, [ticket(), ticket({ key: 'ticket:8', subject: 'Ticket 8' })])).toBe(2)
  await receiver.gets(2)
  expect(await insertNotices(kit.sql, [ticket({ status: 'resolved', text: 'Done' })])).toBe(1)
  await receiver.gets(3)
  const [seven, eight, end] = ['ticket:7 firing', 'ticket:8 firing', 'ticket:7 resolved'].map(
    (wanted) => receiver.received.find(({ json }) => `${json.alerts[0].labels.key} ${json.status}` === wanted)!.json,
  )
  expect(seven).toMatchObject({
    ...{ status: 'firing', groupLabels: { key: 'ticket:7' }, truncatedAlerts: 0 },
    alerts: [
      {
        labels: { alertname: 'ticket', severity: 'major', tenant: 'demo', key: 'ticket:7', device: 'p-1' },
        annotations: {
          ...{ summary: 'Ticket 7: bearing of p-1', description: 'Accept it, or say who does.', risk: '0.93' },
          accept: 'https://castor.example.com/t/7?sign=abc',
        },
        generatorURL: `${PUBLIC_URL}/v1/twins/p-1`,
      },
    ],
  })
  expect(eight.alerts).toHaveLength(1)
  expect(end).toMatchObject({
    status: 'resolved',
    alerts: [{ fingerprint: seven.alerts[0].fingerprint, annotations: { description: 'Done' } }],
  })
  expect((await listed('?key=ticket:7')).map(({ status }: { status: string }) => status)).toEqual(['resolved', 'firing'])
})

test('what is inserted twice is told once, and another step is another message of the same thread', async () => {
  await kit.target('ops', { kind: 'email', to: ['ann@example.com'] })
  kit.dispatch()
  for (let n = 0; n < 2; n++) await insertNotices(kit.sql, [ticket({ step: 'ask ann' })])
  await until(() => kit.mail.received.length === 1, 'it arrives')
  expect(await insertNotices(kit.sql, [ticket({ step: 'ask ann' }), ticket({ step: 'remind ann', subject: 'Still: ticket 7' })])).toBe(1)
  await until(() => kit.mail.received.length === 2, 'the other arrives')
  const [first, second] = kit.mail.received
  expect(second!.headers.references).toBe(first!.headers['message-id'])
  expect(first!.text).toContain('\n  Accept: https://castor.example.com/t/7?sign=abc\n')
  expect(second!.headers.subject).toBe('[MAJOR] Still: ticket 7')
})

test('what was inserted in a transaction that did not commit is never told, and what is due later is told then', async () => {
  await kit.webhook('ops', receiver.url)
  kit.dispatch()
  await kit.sql
    .begin(async (tx) => {
      await insertNotices(tx, [ticket()])
      throw new Error('changed my mind')
    })
    .catch(() => {})
  await insertNotices(kit.sql, [ticket({ key: 'ticket:9', dueAt: Date.now() + 600_000 })])
  await kit.looked()
  expect(receiver.received).toHaveLength(0)
  kit.laterMs = 601_000
  const [request] = await receiver.gets(1)
  expect(request!.json.alerts[0].labels.key).toBe('ticket:9')
})

test('they go by the pace of their target: never more in a minute', async () => {
  await kit.webhook('ops', receiver.url, { perMinute: 5 })
  kit.dispatch()
  await insertNotices(
    kit.sql,
    Array.from({ length: 12 }, (_, n) => ticket({ key: `ticket:${n}` })),
  )
  await receiver.gets(5)
  await kit.looked()
  expect(receiver.received).toHaveLength(5)
  kit.laterMs = 50_000
  await kit.looked()
  expect(receiver.received).toHaveLength(5)
  kit.laterMs = 61_000
  await receiver.gets(10)
  kit.laterMs = 122_000
  await receiver.gets(12)
})

test('texts that are too long are cut, characters that nothing holds are replaced, and there is room for nothing without end', async () => {
  await kit.webhook('ops', receiver.url)
  kit.dispatch()
  await insertNotices(kit.sql, [
    ticket({
      ...{
        subject: `a\r\nBcc: x\0${'😀'.repeat(200)}`,
        text: `\0${'😀'.repeat(3_000)}`,
        facts: Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`f${n}`, 'x'.repeat(900)])),
      },
    }),
  ])
  const [request] = await receiver.gets(1)
  const { summary, description, ...facts } = request!.json.alerts[0].annotations
  expect(summary.length).toBeLessThanOrEqual(200)
  expect(summary).toMatch(/^a Bcc: x/)
  expect(description).toMatch(/^�/)
  expect(description.length).toBeLessThanOrEqual(4_000)
  expect(Object.keys(facts)).toHaveLength(51)
  expect(facts.f1.length).toBe(500)
})

test('to a target that has too many waiting they fail, visibly', async () => {
  await kit.webhook('ops', receiver.url)
  const [{ number }] = await kit.sql<[{ number: number }]>`select number from targets`
  await kit.sql`
    insert into notices (tenant, target, endpoint, kind, key, step, device, status, state, severity, subject, words, facts, since, group_key, due_at)
    select 'demo', 'ops', ${number}, 'ticket', 'many:' || n, '1', '', 'firing', 'held', 'minor', 's', 't', '{}', now(), 'g', now()
    from generate_series(1, ${MOST_OPEN_NOTICES}) n`
  await insertNotices(kit.sql, [ticket()])
  expect(await listed('?key=ticket:7')).toMatchObject([{ state: 'failed', reason: 'More than 100000 wait for this target' }])
  expect((await kit.api.ask('GET', '/v1/targets/ops')).json.health.open).toEqual({ count: 10_000, more: true })
})
