/** Alarms by e-mail, over SMTP to a real server on loopback. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createMailer } from '../../infra/mail/mailer.ts'
import { until } from '../support/wait.ts'
import { NotifyKit, PUBLIC_URL } from './notify-kit.ts'

const NEVER = new Promise<never>(() => {})

let kit: NotifyKit
let device: number
beforeAll(async () => {
  kit = await NotifyKit.start()
  device = (await kit.api.register('d-1', { site: 'Köln' })).incarnation
})
afterEach(() => kit.clear())
afterAll(() => kit?.stop())

const email = (name: string, settings: object = {}) => kit.target(name, { kind: 'email', to: ['ann@example.com'], ...settings })
const notices = async () => (await kit.api.ask('GET', '/v1/notices')).json.items
const ruled = async () => {
  await kit.rule('hot', [['ops']])
  kit.dispatch()
}

test('an alarm is a mail with its values and a link, and its end is an answer to it', async () => {
  await email('ops', { to: ['ann@example.com', 'bob@example.com'], cc: ['boss@example.com'], subjectPrefix: '[plant 1]' })
  await ruled()
  const raisedAt = Date.parse('2026-11-27T06:00:00Z')
  await kit.happen(kit.raised(device, 1, { raisedAt, values: { temperature: 83.4, mode: 'auto' } }))
  const [mail] = await kit.mail.gets(1)
  expect(mail).toMatchObject({ from: 'castor@example.com', to: ['ann@example.com', 'bob@example.com', 'boss@example.com'] })
  expect(mail!.headers).toMatchObject({
    ...{ from: 'Castor <castor@example.com>', to: 'ann@example.com, bob@example.com', cc: 'boss@example.com' },
    ...{ subject: '[plant 1] [MAJOR] hot on d-1', 'auto-submitted': 'auto-generated', 'content-type': 'text/plain; charset=utf-8' },
    'message-id': expect.stringMatching(/^<ntc_[0-9a-f-]{36}@example\.com>$/),
  })
  expect(mail!.headers).not.toHaveProperty('references')
  expect(mail!.text).toBe(`hot on d-1
It is 83.4 °C

  severity     major
  device       d-1
  since        2026-11-27T06:00:00.000Z
  temperature  83.4
  mode         auto
  ${PUBLIC_URL}/v1/alarms/${device}-1

-- 
Castor, ${PUBLIC_URL}, for the target "ops".
`)
  await until(async () => (await notices())[0].state === 'sent', 'it is settled')
  expect((await notices())[0]).toMatchObject({ attempts: [{ status: 250, ms: expect.any(Number) }] })

  await kit.happen(kit.cleared(device, 1, { reason: 'person', by: 'ann' }))
  const over = (await kit.mail.gets(2))[1]!
  expect(over.headers).toMatchObject({
    ...{ subject: '[plant 1] Resolved: hot on d-1', references: mail!.headers['message-id'], 'in-reply-to': mail!.headers['message-id'] },
  })
  expect(over.headers['message-id']).not.toBe(mail!.headers['message-id'])
  expect(over.text).toMatch(/^Resolved: hot on d-1\n[\s\S]*\n {2}until {8}\d{4}-[\s\S]*\n {2}cleared {6}by ann\n/)
})

test('many alarms are one mail, which says how many, and the later answers those by which they were told', async () => {
  await email('ops')
  await ruled()
  await kit.happen(...[1, 2, 3].map((n) => kit.raised(device, n, { severity: n === 2 ? 'critical' : 'minor', text: `Number ${n}` })))
  const [mail] = await kit.mail.gets(1)
  expect(mail!.headers.subject).toBe('[CRITICAL] hot at Köln: 3 alarms')
  expect(mail!.text).toMatch(/^Firing: 3\n\nhot on d-1\nNumber 2\n[\s\S]*Number 1\n[\s\S]*Number 3\n/)
  await until(async () => (await notices())[0].state === 'sent', 'it is settled')
  await kit.happen(kit.raised(device, 4))
  const [, second] = await kit.mail.gets(2)
  await until(async () => (await notices())[0].state === 'sent', 'it is settled')
  await kit.happen(kit.cleared(device, 2), kit.cleared(device, 4), kit.raised(device, 5, { severity: 'warning' }))
  const [, , third] = await kit.mail.gets(3)
  expect(third!.headers.subject).toBe('[WARNING] hot at Köln: 3 alarms')
  expect(third!.headers.references!.split(' ').sort()).toEqual([mail, second].map((one) => one!.headers['message-id']).sort())
  expect(third!.text).toMatch(/^Firing: 1\n[\s\S]*\nResolved: 2\n/)
})

describe('a mail server', () => {
  test('that is away is tried again later, with the same id', async () => {
    await email('ops')
    await ruled()
    kit.mail.takes = () => ({ code: 451, message: 'greylisted' })
    await kit.happen(kit.raised(device, 1))
    await until(async () => (await notices())[0]?.attempts.length === 1, 'it failed')
    const [notice] = await notices()
    expect(notice).toMatchObject({ state: 'waiting', attempts: [{ status: 451, answer: expect.stringContaining('greylisted') }] })
    await kit.mail.stop()
    kit.laterMs = 10_000
    await until(async () => (await notices())[0].attempts.length === 2, 'it failed again')
    expect((await notices())[0].attempts[1]).toMatchObject({ error: expect.stringMatching(/^The mail server cannot be reached/) })
    kit.mail.takes = () => undefined
    await kit.mail.begin()
    kit.laterMs = 10 * 60_000
    const [mail] = await kit.mail.gets(1)
    expect(mail!.headers['message-id']).toBe(`<${notice.message}@example.com>`)
  })

  test('that refuses everybody for good has the last word, and who is taken gets it all the same', async () => {
    await email('ops', { to: ['ann@example.com', 'gone@example.com'] })
    await email('gone', { to: ['gone@example.com'] })
    await kit.rule('hot', [['ops'], ['gone']])
    kit.mail.refusal = (address) => (address.startsWith('gone') ? { code: 550, message: 'no such user' } : undefined)
    kit.dispatch()
    await kit.happen(kit.raised(device, 1))
    await kit.mail.gets(1)
    await until(
      async () => (await notices()).every(({ state }: { state: string }) => state === 'sent' || state === 'failed'),
      'both have ended',
    )
    expect(await notices()).toMatchObject([
      { target: 'gone', state: 'failed', reason: 'It answered 550', attempts: [{ answer: expect.stringContaining('no such user') }] },
      { target: 'ops', state: 'sent', attempts: [{ answer: expect.stringContaining('not taken: gone@example.com') }] },
    ])
    // What a message is refused for says nothing of the server.
    expect((await kit.api.ask('GET', '/v1/targets/gone')).json.health.failures).toBe(0)
  })

  test('has two connections at most, of which one tenant has one', async () => {
    kit.mail.takes = () => NEVER
    for (const name of ['a', 'b', 'c']) await email(name)
    await kit.rule('hot', [['a'], ['b'], ['c']])
    kit.dispatch()
    await kit.happen(kit.raised(device, 1))
    await until(() => kit.mail.open === 1, 'one is under way')
    await kit.looked()
    expect(kit.mail.open).toBe(1)
    await kit.mail.stop()
    kit.mail.takes = () => undefined
    await kit.mail.begin()
    await kit.mail.gets(2)
  })

  test('that never answers is given up in time, and one that wants another login is told of in words', async () => {
    const troubles: unknown[] = []
    const trouble = (error: unknown) => troubles.push(error)
    kit.mail.takes = () => NEVER
    const mail = { to: ['ann@example.com'], cc: [], subject: 's', text: 't', id: 'x', references: [] }
    const slow = createMailer({ url: kit.mail.url, from: 'castor@example.com', trouble, deadlineMs: 300 })
    expect(await slow.send(mail)).toMatchObject({ error: 'The mail server did not take it within 0.3 s' })
    slow.close()
    const stranger = createMailer({ url: kit.mail.url.replace('secret', 'other'), from: 'castor@example.com', trouble })
    expect(await stranger.send(mail)).toMatchObject({ error: 'The mail server does not take the platform’s login (535)' })
    stranger.close()
    const nowhere = createMailer({ url: 'smtp://127.0.0.1:1', from: 'castor@example.com', trouble })
    expect(await nowhere.send(mail)).toMatchObject({ error: 'The mail server cannot be reached (ECONNREFUSED)' })
    nowhere.close()
    const insecure = createMailer({ url: `${kit.mail.url}?requireTLS=true`, from: 'castor@example.com', trouble })
    expect(await insecure.send(mail)).toMatchObject({ error: 'The mail server offers no connection that is secure (CERT_HAS_EXPIRED)' })
    insecure.close()
    expect(troubles.length).toBeGreaterThanOrEqual(4)
    expect(JSON.stringify(troubles.map((error) => ({ ...(error as object), message: (error as Error).message })))).not.toMatch(
      /secret|:other/,
    )
  })
})

test('without a mail server a target says so when it is made, and no mail is sent', async () => {
  const none = createMailer({ url: undefined, from: undefined, trouble: () => {} })
  const { app } = kit.api
  expect(app).toBeDefined()
  const without = kit.api.with({ mailer: none })
  const refused = await without.request('/v1/targets/ops', {
    method: 'PUT',
    headers: { authorization: 'Bearer demo-key-0123456789', 'content-type': 'application/json' },
    body: JSON.stringify({ kind: 'email', to: ['ann@example.com'] }),
  })
  expect(refused.status).toBe(400)
  expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('CASTOR_SMTP_URL'), errors: [{ path: '/kind' }] })
  expect(await none.send({ to: [], cc: [], subject: '', text: '', id: 'x', references: [] })).toMatchObject({
    error: expect.stringContaining('no e-mail'),
  })
})

test('a test of a target is a mail that says that nothing is wrong', async () => {
  await email('ops')
  const { status, json } = await kit.api.ask('POST', '/v1/targets/ops/test')
  expect([status, json.outcome, json.attempt.status]).toEqual([200, 'delivered', 250])
  const [mail] = await kit.mail.gets(1)
  expect(mail!.headers).toMatchObject({ subject: '[WARNING] test on example', 'message-id': `<${json.message}@example.com>` })
  expect(mail!.text).toContain('nothing is wrong')
  expect(await notices()).toEqual([])
})
