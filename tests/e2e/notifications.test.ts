/**
 * Telling people, on the whole of Castor: the example of docs/notifications.md as it stands there, and alarms and tickets while the dispatcher is
 * killed. Alarms are rows here, as the decision write makes them.
 */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { insertNotices } from '../../infra/postgres/notice-insert.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { blocksOf, runBash, section } from '../support/examples.ts'
import { MailServer } from '../support/mail-server.ts'
import { missing } from '../support/needs.ts'
import { until } from '../support/wait.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const PAGE = 'docs/notifications.md'
const ALARMS = 30

let castor: TestCastor
let receiver: WebhookReceiver
let mail: MailServer
beforeAll(async () => {
  receiver = await WebhookReceiver.start()
  mail = await MailServer.start()
  castor = await startCastor({
    env: { CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true', CASTOR_SMTP_URL: mail.url, CASTOR_SMTP_FROM: 'Castor <castor@example.com>' },
  })
})
afterAll(async () => {
  await castor?.stop()
  await receiver?.stop()
  await mail?.stop()
})

describe.skipIf(missing('bash', 'curl'))('the example (needs bash and curl)', () => {
  test('makes a target and tries it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'castor-notifications-'))
    await mkdir(join(folder, '.castor'))
    await symlink(join(castor.dataDir, 'admin.key'), join(folder, '.castor/admin.key'))
    const [script] = blocksOf(section(PAGE, 'A target in two minutes'), 'sh')
    const { output } = await runBash(
      folder,
      script!.replaceAll('http://127.0.0.1:8080', castor.api).replaceAll('http://127.0.0.1:9093/', receiver.url),
    )
    const [made, tried] = output.replace('}{', '}\n{').split('\n') as [string, string]
    const { secret } = JSON.parse(made)
    expect(JSON.parse(tried)).toMatchObject({ outcome: 'delivered', attempt: { status: 204 } })
    const [request] = receiver.received
    expect(() => new Webhook(secret).verify(request!.body, request!.headers as Record<string, string>)).not.toThrow()
    expect(Object.keys(JSON.parse(tried))).toEqual(Object.keys(JSON.parse(blocksOf(section(PAGE, 'A target in two minutes'), 'json')[0]!)))
    const arrives = JSON.parse(blocksOf(section(PAGE, 'What arrives at a webhook'), 'json')[0]!)
    expect(Object.keys(request!.json).sort()).toEqual(Object.keys(arrives).sort())
    expect(Object.keys(request!.json.alerts[0]).sort()).toEqual(Object.keys(arrives.alerts[0]).sort())
    receiver.received.length = 0
    await rm(folder, { recursive: true })
  })
})

test('however often the dispatcher is killed, every alarm, its end and a ticket are told', { timeout: 180_000 }, async () => {
  const settings = { groupWait: '0s', groupInterval: '0s', perMinute: 600 }
  const put = async (name: string, body: object) =>
    expect((await castor.rest('PUT', `/v1/targets/${name}`, { ...settings, ...body })).status).toBeLessThan(202)
  await put('ops', { kind: 'webhook', url: receiver.url })
  await put('ann', { kind: 'email', to: ['ann@example.com'] })
  await castor.register('n-1')
  const { sql } = castor
  const body = JSON.stringify({ actions: [{ kind: 'notify', target: 'ops' }] })
  await sql`insert into rule_versions (tenant, name, version, body, created_by) values ('demo', 'hot', 1, ${body}, 'test')`
  const happens = (kind: string, event: object) => sql`
    insert into outbox (at, tenant, incarnation, device, revision, kind, event, cause)
    select now(), tenant, incarnation, device, 1, ${kind}, ${JSON.stringify({ at: Date.now(), ...event })}, '{"by":"timer"}' from devices where device = 'n-1'`
  const told = (status: string) =>
    new Set(
      receiver.received.flatMap(({ json }) =>
        json.alerts.flatMap((alert: { status: string; labels: { key: string } }) => (alert.status === status ? [alert.labels.key] : [])),
      ),
    )
  const alarm = (n: number) => ({
    n,
    rule: 'hot',
    version: 1,
    severity: 'major',
    text: 'hot',
    since: Date.now(),
    raisedAt: Date.now(),
    count: 1,
    values: {},
  })
  for (let n = 1; n <= ALARMS; n++) {
    await happens('alarm-raised', { alarm: alarm(n) })
    if (n % 10 === 5) await castor.kill('dispatcher')
  }
  await until(() => told('firing').size === ALARMS, 'all are told', 120_000)
  for (let n = 1; n <= ALARMS; n++) {
    await happens('alarm-cleared', { n, rule: 'hot', severity: 'major', text: 'hot', reason: 'rule', values: {} })
    if (n === ALARMS / 2) await castor.kill('dispatcher')
  }
  const now = Date.now()
  await insertNotices(sql, [
    {
      tenant: 'demo',
      target: 'ann',
      key: 'ticket:1',
      kind: 'ticket',
      status: 'firing',
      dueAt: now,
      severity: 'major',
      device: 'n-1',
      subject: 'Ticket 1',
      text: '',
    },
  ])
  await until(() => told('resolved').size === ALARMS && mail.received.length > 0, 'their ends and the ticket are told', 120_000)
  expect(mail.received[0]!.headers.subject).toBe('[MAJOR] Ticket 1')
  await until(async () => (await castor.rest('GET', '/v1/notices?state=waiting')).body.items.length === 0, 'all is settled', 60_000)
  const metrics = await (await fetch(`${castor.api}/metrics`)).text()
  expect(metrics).toMatch(/castor_notices_open\{[^}]*state="waiting"[^}]*\} 0/)
})
