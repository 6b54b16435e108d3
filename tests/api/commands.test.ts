/** Commands over REST: the core decides and Postgres keeps; the test plays lane, workflow, bridge and device. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { forgetEndedCommands } from '../../infra/postgres/commands.ts'
import type { DeviceAnswer } from '../../twin-models/core/types.ts'
import { until } from '../support/wait.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

let api: TestApi
let twin: TestTwin
beforeAll(async () => {
  api = await testApi({ twinWaitMs: 2_000 })
  twin = await testTwin(api, 'd-1', 'lock')
})
afterAll(() => api?.database.drop())

const command = (body: unknown, headers: Record<string, string> = {}, device = 'd-1') =>
  api.ask('POST', `/v1/twins/${device}/commands`, { body, headers })
const show = (id: string) => api.ask('GET', `/v1/commands/${id}`)

/** As a bridge leaves it. */
const sent = (id: string) =>
  api.database.sql`update commands set status = 'sent', attempts = attempts + 1, sent_at = now() where id = ${id} and ended_at is null`

const answered = async (on: TestTwin, id: string, answer: DeviceAnswer) => {
  await sent(id)
  await on.decide({ kind: 'command-answer', at: Date.now(), id, ...answer })
}

describe('one command', () => {
  test('it is queued once the twin has taken it, with what its model says of it', async () => {
    const before = Date.now()
    const made = await twin.during(command({ name: 'unlock' }))
    expect([made.status, made.headers.get('retry-after')]).toEqual([202, '1'])
    expect(made.headers.get('location')).toBe(`/v1/commands/${made.json.id}`)
    expect(made.json).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      device: 'd-1',
      name: 'unlock',
      status: 'queued',
      attempts: 0,
      requestedBy: 'admin',
      createdAt: expect.any(String),
      expiresAt: expect.any(String),
      releasedAt: expect.any(String),
      lateAnswers: [],
    })
    expect(Date.parse(made.json.expiresAt)).toBeGreaterThanOrEqual(before + 60_000)
    expect(Date.parse(made.json.expiresAt)).toBeLessThan(Date.now() + 60_000)
    const [row] = await api.database.sql`select repeatable, retry_ms, max_attempts from commands where id = ${made.json.id}`
    expect(row).toEqual({ repeatable: false, retry_ms: 10_000, max_attempts: 1 })
    expect(twin.state.commands).toMatchObject([
      { id: made.json.id, name: 'unlock', repeatable: false, concurrency: 1, by: 'admin', released: true },
    ])
    expect((await show(made.json.id)).json).toEqual(made.json)
  })

  test('its way and its end can be seen, late answers too', async () => {
    const { id } = twin.state.commands[0]!
    await sent(id)
    await api.database.sql`
      update commands set status = 'running', acknowledged_at = now(), progress = '{"percent": 40}' where id = ${id}`
    expect((await show(id)).json).toMatchObject({
      status: 'running',
      progress: { percent: 40 },
      attempts: 1,
      sentAt: expect.any(String),
      acknowledgedAt: expect.any(String),
    })
    const at = Date.now()
    await twin.decide({ kind: 'command-answer', at, id, status: 'succeeded', output: { locked: false } })
    await twin.decide({ kind: 'command-answer', at, id, status: 'failed', code: 'jammed', message: 'It is stuck.' })
    expect((await show(id)).json).toMatchObject({
      status: 'succeeded',
      output: { locked: false },
      endedAt: expect.any(String),
      lateAnswers: [{ at: new Date(at).toISOString(), status: 'failed', code: 'jammed', message: 'It is stuck.' }],
    })
  })

  test('Prefer: wait answers with the end when it comes in time, else as it stands', async () => {
    const asked = command({ name: 'diagnose', timeout: '1h', retry: { every: '1s', attempts: 3 } }, { prefer: 'wait=20' })
    const [waiting] = await until(async () => {
      await twin.decide()
      return twin.state.commands.length > 0 ? twin.state.commands : undefined
    }, 'the command')
    await answered(twin, waiting!.id, { status: 'failed', code: 'broken', message: 'No power.' })
    const ended = await asked
    expect([ended.status, ended.headers.get('preference-applied'), ended.headers.get('retry-after')]).toEqual([200, 'wait=20', null])
    expect(ended.json).toMatchObject({ id: waiting!.id, status: 'failed', code: 'broken', message: 'No power.', attempts: 1 })
    const [row] = await api.database.sql`select repeatable, retry_ms, max_attempts from commands where id = ${waiting!.id}`
    expect(row).toEqual({ repeatable: true, retry_ms: 1_000, max_attempts: 3 })

    const slow = await twin.during(command({ name: 'diagnose' }, { prefer: 'wait=1' }))
    expect([slow.status, slow.json.status]).toEqual([202, 'queued'])
    await answered(twin, slow.json.id, { status: 'succeeded' })
  })

  test('one whose time is over when the twin takes it has expired', async () => {
    const at = new Date(Date.now() + 300).toISOString()
    const asked = await command({ name: 'diagnose', expiresAt: at }, { prefer: 'respond-async' })
    expect([asked.status, asked.json.expiresAt]).toEqual([202, at])
    await api.database
      .sql`update twin_requests set created_at = now() + interval '1 second' where incarnation = ${twin.incarnation} and seq is null`
    await twin.decide()
    expect((await show(asked.json.id)).json).toMatchObject({ status: 'expired', attempts: 0 })
  })

  test('more than a device may have open are 429, and the refused one can be looked up', async () => {
    const busy = await testTwin(api, 'busy')
    for (let n = 0; n < 100; n++) await command({ name: 'diagnose' }, { prefer: 'respond-async' }, 'busy')
    await busy.decide()
    expect(busy.state.commands).toHaveLength(100)
    const headers = { 'idempotency-key': 'busy-busy-busy-busy' }
    for (const prefer of ['', 'wait=5']) {
      const refused = await busy.during(command({ name: 'diagnose' }, { ...headers, prefer }, 'busy'))
      expect([refused.status, refused.json.code, refused.headers.get('retry-after')]).toEqual([429, 'too-many-requests', '5'])
    }
    const [{ items }] = [(await api.ask('GET', '/v1/twins/busy/commands?status=failed')).json]
    expect(items.map(({ code }: { code: string }) => code)).toEqual(['too-many-commands', 'too-many-commands'])
    await answered(busy, busy.state.commands[0]!.id, { status: 'succeeded' })
    expect((await busy.during(command({ name: 'diagnose' }, headers, 'busy'))).status).toBe(202)
  })

  test('a device that is removed leaves its commands to be read, and takes no more', async () => {
    const gone = await testTwin(api, 'gone')
    const { json } = await gone.during(command({ name: 'identify' }, {}, 'gone'))
    await api.ask('DELETE', '/v1/devices/gone')
    expect((await command({ name: 'identify' }, {}, 'gone')).status).toBe(404)
    expect((await api.ask('GET', '/v1/twins/gone/commands')).status).toBe(404)
    expect((await show(json.id)).json).toEqual(json)
  })
})

describe('an Idempotency-Key', () => {
  const key = { 'idempotency-key': '6a0f2b0e-1111-4222-8333-444455556666' }

  test('makes the same request one command, for 24 hours, also for many at once', async () => {
    const body = { name: 'lock', timeout: '10m' }
    const answers = await twin.during(Promise.all([1, 2, 3, 4].map(() => command(body, key))))
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202])
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1)
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(3)
    const { id } = answers[0]!.json
    await answered(twin, id, { status: 'succeeded', output: { locked: true } })
    const again = await command(body, key)
    expect([again.status, again.json.id, again.json.status]).toEqual([200, id, 'succeeded'])

    await api.database.sql`update idempotency_keys set created_at = now() - interval '25 hours'`
    const anew = await twin.during(command(body, key))
    expect([anew.status, anew.headers.get('idempotency-replayed')]).toEqual([202, null])
    expect(anew.json.id).not.toBe(id)
    await answered(twin, anew.json.id, { status: 'succeeded', output: { locked: true } })
  })

  test('gives the command also when its time has passed', async () => {
    const expiresAt = new Date(Date.now() + 400).toISOString()
    const headers = { 'idempotency-key': 'past-past-past-past' }
    const made = await twin.during(command({ name: 'diagnose', expiresAt }, headers))
    await until(() => Date.now() > Date.parse(expiresAt), 'the expiry')
    const again = await command({ name: 'diagnose', expiresAt }, headers)
    expect([again.json.id, again.headers.get('idempotency-replayed')]).toEqual([made.json.id, 'true'])
    await twin.decide({ kind: 'due', at: Date.now(), sent: [] })
    expect((await show(made.json.id)).json.status).toBe('expired')
  })

  test('with another request is a conflict, and of another tenant is another key', async () => {
    await testTwin(api, 'd-2')
    const clashes = [command({ name: 'lock', timeout: '11m' }, key), command({ name: 'diagnose', timeout: '10m' }, key, 'd-2')]
    for (const { status, json } of await Promise.all(clashes)) {
      expect([status, json.errors]).toEqual([409, [{ path: 'header:Idempotency-Key', detail: expect.any(String) }]])
    }
    await api.register('d-1', {}, OTHER_KEY, 'lock')
    const theirs = await api.ask('POST', '/v1/twins/d-1/commands', {
      key: OTHER_KEY,
      body: { name: 'lock' },
      headers: { ...key, prefer: 'respond-async' },
    })
    expect([theirs.status, theirs.headers.get('idempotency-replayed')]).toEqual([202, null])
    expect((await show(theirs.json.id)).status).toBe(404)
    expect((await api.ask('DELETE', `/v1/commands/${theirs.json.id}`)).status).toBe(404)
  })

  test('that is short is refused', async () => {
    const { status, json } = await command({ name: 'lock' }, { 'idempotency-key': 'short' })
    expect([status, json.errors[0].path]).toEqual([400, 'header:Idempotency-Key'])
  })
})

describe('what is not taken', () => {
  const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
  const deep = `{"name":"diagnose","input":${'{"a":'.repeat(20)}1${'}'.repeat(20)}}`
  const cases: Array<[what: string, body: unknown, status: number, path: string]> = [
    ['an unknown command', { name: 'explode' }, 400, '/name'],
    ['a name of every object', { name: 'constructor' }, 400, '/name'],
    ['no name', {}, 400, '/name'],
    ['input where there is none', { name: 'lock', input: { hard: true } }, 400, '/input'],
    ['an expiry in the past', { name: 'lock', expiresAt: '2020-01-01T00:00:00Z' }, 400, '/expiresAt'],
    ['an expiry in 100 years', { name: 'lock', expiresAt: inDays(36_525) }, 400, '/expiresAt'],
    ['an expiry in 367 days', { name: 'lock', expiresAt: inDays(367) }, 400, '/expiresAt'],
    ['an expiry without a zone', { name: 'lock', expiresAt: '2126-01-01T00:00:00' }, 400, '/expiresAt'],
    ['a timeout beside an expiry', { name: 'lock', expiresAt: inDays(1), timeout: '1m' }, 400, '/timeout'],
    ['a timeout of 367 days', { name: 'lock', timeout: '367d' }, 400, '/timeout'],
    ['a timeout as a number', { name: 'lock', timeout: 60 }, 400, '/timeout'],
    ['retry of what may not be repeated', { name: 'unlock', retry: { attempts: 2 } }, 400, '/retry'],
    ['no attempts', { name: 'lock', retry: { attempts: 0 } }, 400, '/retry/attempts'],
    ['an unknown member', { name: 'lock', id: 'x' }, 400, '/id'],
    ['input of too many levels', deep, 400, '/input'],
    ['input over 32 kB', { name: 'diagnose', input: 'x'.repeat(33_000) }, 413, '/input'],
  ]
  test.each(cases)('%s is refused by name, and nothing is written', async (_what, body, status, path) => {
    const [before] = await api.database
      .sql`select (select count(*) from commands) as commands, (select count(*) from twin_requests) as requests`
    const answer = await command(body)
    expect([answer.status, answer.json.errors[0].path]).toEqual([status, path])
    const [after] = await api.database
      .sql`select (select count(*) from commands) as commands, (select count(*) from twin_requests) as requests`
    expect(after).toEqual(before)
  })

  test('nothing can be told to a device that one may not see', async () => {
    expect((await command({ name: 'lock' }, {}, 'absent')).status).toBe(404)
    expect((await api.ask('POST', '/v1/twins/d-2/commands', { key: OTHER_KEY, body: { name: 'diagnose' } })).status).toBe(404)
  })

  test.each(['absent', '00000000-0000-4000-8000-000000000000'])('there is no command %s', async (id) => {
    for (const method of ['GET', 'DELETE']) expect((await api.ask(method, `/v1/commands/${id}`)).status).toBe(404)
  })
})

describe('cancelling', () => {
  test('ends the command, tells a device that has it, and is the same again', async () => {
    const { json } = await twin.during(command({ name: 'unlock' }))
    await sent(json.id)
    const cancelled = await twin.during(api.ask('DELETE', `/v1/commands/${json.id}`))
    expect([cancelled.status, cancelled.json.status, cancelled.json.code]).toEqual([200, 'cancelled', 'cancelled'])
    const [row] = await api.database.sql`select cancel_at from commands where id = ${json.id}`
    expect(row!.cancel_at).toBeInstanceOf(Date)
    const again = await api.ask('DELETE', `/v1/commands/${json.id}`)
    expect([again.status, again.json]).toEqual([200, cancelled.json])
  })

  test('of what had ended otherwise is a conflict, also when the end comes first at the twin', async () => {
    const { json } = await twin.during(command({ name: 'unlock' }))
    const asked = api.ask('DELETE', `/v1/commands/${json.id}`)
    await until(async () => (await api.database.sql`select from twin_requests where kind = 'cancel' and seq is null`).length, 'the request')
    await api.database.sql`update twin_requests set seq = 0 where kind = 'cancel' and seq is null`
    await answered(twin, json.id, { status: 'succeeded', output: { locked: false } })
    await api.database.sql`update twin_requests set seq = null where kind = 'cancel' and answered_at is null`
    await twin.decide()
    for (const { status, json: problem } of [await asked, await api.ask('DELETE', `/v1/commands/${json.id}`)]) {
      expect([status, problem.code]).toEqual([409, 'conflict'])
      expect(problem.detail).toContain('succeeded')
    }
    expect((await show(json.id)).json.status).toBe('succeeded')
  })

  test('that is not decided in time is 202 with the command as it stands', async () => {
    const { json } = await twin.during(command({ name: 'lock' }))
    const { status, headers, json: shown } = await api.ask('DELETE', `/v1/commands/${json.id}`, { headers: { prefer: 'wait=0' } })
    expect([status, headers.get('location'), shown.status]).toEqual([202, `/v1/commands/${json.id}`, 'queued'])
    await twin.decide()
    expect((await show(json.id)).json.status).toBe('cancelled')
  })
})

describe('lists', () => {
  const ids = (items: Array<{ id: string }>) => items.map(({ id }) => id)
  let made: string[]

  beforeAll(async () => {
    const many = await testTwin(api, 'many', 'lock')
    made = []
    for (let n = 0; n < 25; n++) {
      const { json } = await many.during(command({ name: n % 5 ? 'diagnose' : 'lock' }, {}, 'many'))
      made.unshift(json.id)
    }
    for (const id of made.slice(0, 5)) await answered(many, id, { status: 'succeeded', output: { locked: true } })
    for (const id of made.slice(5, 8)) await answered(many, id, { status: 'failed', code: 'broken' })
    await sent(made[8]!)
  })

  test('are newest first and paged, whatever comes meanwhile', async () => {
    const seen = await allItems(api, '/v1/twins/many/commands?limit=7', async (page) => {
      if (page === 0) await command({ name: 'diagnose' }, { prefer: 'respond-async' }, 'many')
    })
    expect(ids(seen)).toEqual(made)
    const all = ids(await allItems(api, '/v1/commands?limit=50'))
    expect(all.filter((id) => made.includes(id))).toEqual(made)
    expect(new Set(all).size).toBe(all.length)
  })

  test('narrow by device, status, name and time, all of them by page', async () => {
    const list = async (query: string) => ids(await allItems(api, `/v1/commands?limit=2&${query}`))
    expect(await list('device=many&status=succeeded')).toEqual(made.slice(0, 5))
    expect(await list('device=many&status=failed,sent')).toEqual(made.slice(5, 9))
    const everywhere = await list('status=failed,sent')
    expect(everywhere.filter((id) => made.includes(id))).toEqual(made.slice(5, 9))
    expect(everywhere).toEqual(ids((await api.ask('GET', '/v1/commands?limit=200&status=sent,failed')).json.items))
    expect(await list('device=many&name=lock')).toEqual(made.filter((_, n) => (24 - n) % 5 === 0))
    expect(await list('device=absent')).toEqual([])
    const at = (n: number) => api.database.sql<[{ at: string }]>`select created_at::text as at from commands where id = ${made[n]!}`
    await api.database.sql`update commands set created_at = '2026-01-02T00:00:00.000001Z' where id = ${made[24]!}`
    await api.database.sql`update commands set created_at = '2026-01-02T00:00:00.000001Z' where id = ${made[23]!}`
    await api.database.sql`update commands set created_at = '2026-01-03T00:00:00Z' where id = ${made[22]!}`
    expect((await at(24))[0].at).toBe((await at(23))[0].at)
    expect(await list('from=2026-01-02T00:00:00Z&to=2026-01-03T00:00:00Z')).toEqual([made[23], made[24]])
    expect(await list('status=queued&from=2026-01-01T23:00:00%2B01:00&to=2026-01-04T00:00:00Z')).toEqual(made.slice(22))
  })

  test('are a tenant’s own', async () => {
    expect((await api.ask('GET', '/v1/commands?device=many', { key: OTHER_KEY })).json.items).toEqual([])
    expect((await api.ask('GET', '/v1/twins/many/commands', { key: OTHER_KEY })).status).toBe(404)
    expect((await show(made[0]!)).status).toBe(200)
    expect((await api.ask('GET', `/v1/commands/${made[0]}`, { key: OTHER_KEY })).status).toBe(404)
  })

  test.each(['status=done', 'status=', 'status=sent,,failed', 'from=yesterday', 'device=a/b', 'cursor=xx', 'sort=name'])(
    'refuse ?%s by name',
    async (query) => {
      const { status, json } = await api.ask('GET', `/v1/commands?${query}`)
      expect([status, json.errors[0].path]).toEqual([400, `query:${query.split('=')[0]}`])
    },
  )

  test('go by indexes, however they are narrowed', async () => {
    const { sql } = api.database
    await sql`
      insert into commands (id, tenant, incarnation, device, name, requested_by, repeatable, retry_ms, max_attempts, expires_at, created_at, status)
      select gen_random_uuid(), 'crowd', n % 500, 'x', 'diagnose', 'admin', true, 1000, 1, now(), now() - n * interval '1 second', 'succeeded'
      from generate_series(1, 20000) n`
    await sql`analyze commands`
    const plans = [
      sql`explain select * from commands c where c.tenant = 'crowd' order by c.created_at desc, c.number desc limit 50`,
      sql`explain select * from commands c where c.tenant = 'crowd' and c.status = 'queued' order by c.created_at desc, c.number desc limit 50`,
      sql`explain select * from commands c where c.incarnation = 7 order by c.created_at desc, c.number desc limit 50`,
    ]
    const texts = (await Promise.all(plans)).map((plan) => JSON.stringify(plan))
    expect(texts.map((text) => /using (commands_\w+)/.exec(text)?.[1])).toEqual(['commands_tenant', 'commands_status', 'commands_device'])
    for (const text of texts) expect(text).not.toContain('Sort')
  })

  test('forget what ended 30 days ago, and nothing else', async () => {
    const [old, fresh] = [made[0]!, made[1]!]
    await api.database.sql`update commands set ended_at = now() - interval '31 days' where id = ${old}`
    await api.database
      .sql`update commands set ended_at = now() - interval '29 days', created_at = now() - interval '90 days' where id = ${fresh}`
    expect(await forgetEndedCommands(api.database.sql)).toBe(1)
    expect([(await show(old)).status, (await show(fresh)).status]).toEqual([404, 200])
  })
})
