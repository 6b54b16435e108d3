/** Updates of single devices over REST: the core decides and Postgres keeps; the test plays lane, workflow, bridge and device. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDecisionStore } from '../../infra/postgres/decision-store.ts'
import type { Firmware, Health } from '../../twin-models/core/types.ts'
import { signJob } from '../support/director.ts'
import type { KeyPair } from '../support/signed-firmware.ts'
import { until } from '../support/wait.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { trustedKey, type Uploaded, uploaded } from './test-firmware.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

let api: TestApi
let key: KeyPair
let [old, next, newest]: Uploaded[] = []
beforeAll(async () => {
  api = await testApi({ twinWaitMs: 2_000 })
  key = await trustedKey(api)
  old = await uploaded(api, key, { version: '1.0.0', counter: 1, rollbackTo: [] })
  next = await uploaded(api, key, { version: '2.0.0', counter: 2, rollbackTo: ['1.0.0'] })
  newest = await uploaded(api, key, { version: '3.0.0', counter: 3, rollbackTo: ['2.0.0'] })
})
afterAll(() => api?.database.drop())

const ask = (body: object, headers: Record<string, string> = {}) => api.ask('POST', '/v1/updates', { body, headers })
const show = (id: string) => api.ask('GET', `/v1/updates/${id}`)
const cancel = (id: string, headers: Record<string, string> = {}) => api.ask('POST', `/v1/updates/${id}/cancel`, { headers })
const nowhere = '00000000-0000-4000-8000-000000000000'

let devices = 0
/** Online, with this firmware. */
async function device(runs: Firmware | undefined = old!.firmware, model?: string): Promise<{ id: string; twin: TestTwin }> {
  const id = `d-${++devices}`
  const twin = await testTwin(api, id, model)
  await hello(twin, runs)
  return { id, twin }
}

const hello = (twin: TestTwin, firmware: Firmware | undefined, health?: Health) =>
  twin.decide({ kind: 'hello', at: Date.now(), status: 'online', ...(firmware && { firmware }), ...(health && { health }) })

/** As a bridge leaves it. */
const sent = (id: string) => api.database.sql`update updates set status = 'notified', sends = 1, sent_at = now() where id = ${id}`

describe('one update', () => {
  test('it is scheduled once the twin has taken it, with what was asked for', async () => {
    const { id, twin } = await device()
    const before = Date.now()
    const window = { from: '00:00', to: '24:00' }
    const made = await twin.during(ask({ device: id, firmware: { version: '2.0.0' }, soak: '1m', offerFor: '2h', attempts: 5, window }))
    expect([made.status, made.headers.get('retry-after')]).toEqual([202, '1'])
    expect(made.headers.get('location')).toBe(`/v1/updates/${made.json.id}`)
    expect(made.json).toEqual({
      id: expect.any(String),
      device: id,
      kind: 'install',
      firmware: { id: next!.id, name: 'thermostat', ...next!.firmware },
      from: old!.firmware,
      status: 'scheduled',
      statusAt: expect.any(String),
      attempt: 1,
      requestedBy: 'admin',
      createdAt: expect.any(String),
      until: expect.any(String),
    })
    expect(twin.state.update).toMatchObject({
      id: made.json.id,
      kind: 'install',
      firmware: next!.firmware,
      soakMs: 60_000,
      installMs: 3_600_000,
      silenceMs: 3_600_000,
      retryMs: 60_000,
      attempts: 5,
      phase: 'released',
      by: 'admin',
    })
    const { precedence, offerUntil, windows } = twin.state.update!
    expect(precedence).toBeGreaterThanOrEqual(before)
    expect(offerUntil).toBe(precedence + 7_200_000)
    expect(windows!.length).toBeGreaterThan(0)
    expect((await show(made.json.id)).json).toEqual(made.json)
    const { json } = await api.ask('GET', `/v1/twins/${id}`)
    expect(json.update).toMatchObject({ id: made.json.id, status: 'scheduled', attempt: 1, firmware: next!.firmware })
  })

  test('its way and its end can be seen, and nothing that its device alone may know', async () => {
    const { id, twin } = await device()
    const { json } = await twin.during(ask({ device: id, firmware: { version: '2.0.0' }, soak: '0s' }))
    await sent(json.id)
    await api.database.sql`update updates set status = 'downloading', progress = '40', answered_at = now() where id = ${json.id}`
    const [{ link, job }] = await api.database.sql<[{ link: string; job: string }]>`select link, job from updates where id = ${json.id}`
    const underway = await show(json.id)
    expect(underway.json).toMatchObject({ status: 'downloading', progress: 40, sentAt: expect.any(String), answeredAt: expect.any(String) })
    expect(link.length).toBeGreaterThan(20)
    for (const secret of [link, JSON.parse(job).signatures[0].sig]) expect(underway.text).not.toContain(secret)
    await hello(twin, next!.firmware, { ok: true })
    expect((await show(json.id)).json).toMatchObject({ status: 'healthy', endedAt: expect.any(String) })
    expect((await api.ask('GET', `/v1/twins/${id}`)).json.update).toBeUndefined()
  })

  test('the zone of its device says when its window is', async () => {
    const { id, twin } = await device()
    await api.ask('PATCH', `/v1/devices/${id}`, { body: { attributes: { timeZone: 'Asia/Tokyo' } } })
    await twin.during(
      ask({ device: id, firmware: { version: '2.0.0' }, window: { from: '03:00', to: '04:00', timeZone: 'Europe/Berlin' } }),
    )
    const hours = twin.state.update!.windows!.map(([from]) => new Date(from).toISOString().slice(11, 16))
    expect(new Set(hours)).toEqual(new Set(['18:00']))
  })

  test('one that waits makes room for it, one under way does not', async () => {
    const { id, twin } = await device()
    const start = Date.now() + 3_600_000
    const hour = (at: number) => `${new Date(at).toISOString().slice(11, 13)}:00`
    const later = { from: hour(start + 3_600_000), to: hour(start + 7_200_000) }
    const first = await twin.during(ask({ device: id, firmware: { version: '2.0.0' }, window: later }))
    const second = await twin.during(ask({ device: id, firmware: { version: '3.0.0' } }))
    expect([second.status, second.json.status, twin.state.update?.id]).toEqual([202, 'scheduled', second.json.id])
    expect((await show(first.json.id)).json).toMatchObject({ status: 'cancelled', code: 'superseded' })
    const third = await twin.during(ask({ device: id, firmware: { version: '2.0.0' } }))
    expect([third.status, third.json.status, third.json.code]).toEqual([200, 'skipped', 'busy'])
  })

  test('of what runs already is skipped, and of a prerequisite that is not met', async () => {
    const { id, twin } = await device(next!.firmware)
    const same = await twin.during(ask({ device: id, firmware: { version: '2.0.0' } }))
    expect([same.status, same.json.status, same.json.code]).toEqual([200, 'skipped', 'already-installed'])
    await uploaded(api, key, { version: '4.0.0', counter: 4, prerequisites: { from: ['3.0.0'], minBattery: 30 } })
    const step = await twin.during(ask({ device: id, firmware: { version: '4.0.0' } }))
    expect([step.status, step.json.status, step.json.code]).toEqual([200, 'skipped', 'from-version'])
  })

  test('is waited for as the caller prefers', async () => {
    const { id, twin } = await device()
    const body = { device: id, firmware: { version: '2.0.0' }, soak: '0s' }
    const at = await ask(body, { prefer: 'respond-async' })
    expect([at.status, at.json.attempt, at.headers.get('preference-applied')]).toEqual([202, 0, 'respond-async'])
    await twin.decide()
    await twin.during(cancel(at.json.id))
    const asked = ask(body, { prefer: 'wait=10' })
    await until(async () => {
      await twin.decide()
      return twin.state.update
    }, 'the update')
    await hello(twin, next!.firmware, { ok: true })
    const ended = await asked
    expect([ended.status, ended.json.status, ended.headers.get('preference-applied')]).toEqual([200, 'healthy', 'wait=10'])
  })

  test('of a device that is removed stays to be read', async () => {
    const { id, twin } = await device()
    const { json } = await twin.during(ask({ device: id, firmware: { version: '2.0.0' } }))
    await api.ask('DELETE', `/v1/devices/${id}`)
    expect((await show(json.id)).json).toEqual(json)
    const gone = await ask({ device: id, firmware: { version: '2.0.0' } })
    expect([gone.status, gone.json.code]).toEqual([404, 'not-found'])
  })
})

describe('what a device must not get', () => {
  /** Refused with these words, and nothing was written. */
  async function refused(body: object, status: number, ...words: string[]): Promise<void> {
    const count = () => api.database.sql`select (select count(*) from updates) as updates, (select count(*) from twin_requests) as requests`
    const before = await count()
    const answer = await ask(body)
    expect([answer.status, answer.json.code]).toEqual([status, status === 400 ? 'invalid' : 'conflict'])
    for (const word of words) expect(answer.json.detail).toContain(word)
    expect(await count()).toEqual(before)
  }

  test.each([
    ['an unknown member', { sok: '5m' }, '/sok'],
    ['a soak that is none', { soak: 'long' }, '/soak'],
    ['no time to tell it', { offerFor: '0s' }, '/offerFor'],
    ['no attempts', { attempts: 0 }, '/attempts'],
    ['a window without an end', { window: { from: '22:00' } }, '/window/to'],
    ['another kind', { kind: 'downgrade' }, '/kind'],
    ['no version', { firmware: { name: 'thermostat' } }, '/firmware/version'],
    ['a version that there is not', { firmware: { version: '7.7.7' } }, '/firmware'],
    ['a name that there is not', { firmware: { name: 'kettle', version: '2.0.0' } }, '/firmware'],
    ['an id that is none', { device: 'a/b' }, '/device'],
  ])('%s is refused by name', async (_what, more, path) => {
    const { status, json } = await ask({ device: 'd-1', firmware: { version: '2.0.0' }, ...more })
    expect([status, json.errors[0].path]).toEqual([400, path])
  })

  test('firmware that nobody has signed, that was withdrawn, that has expired, or whose key was revoked', async () => {
    const { id } = await device()
    const body = (version: string) => ({ device: id, firmware: { version } })
    await uploaded(api, undefined, { version: '5.0.0', counter: 5 })
    await refused(body('5.0.0'), 409, 'Firmware thermostat 5.0.0 cannot be installed', 'Nobody has signed it')
    const withdrawn = await uploaded(api, key, { version: '5.0.1', counter: 51 })
    await api.ask('POST', `/v1/firmware/${withdrawn.id}/withdraw`)
    await refused(body('5.0.1'), 409, 'withdrawn')
    const expired = await uploaded(api, key, { version: '5.0.2', counter: 52, expires: '2100-01-01T00:00:00Z' })
    await api.database.sql`update firmware set expires_at = now() - interval '1 minute' where id = ${expired.id}`
    await refused(body('5.0.2'), 409, 'expired')
    const lost = await trustedKey(api)
    await uploaded(api, lost, { version: '5.0.3', counter: 53 })
    await api.ask('DELETE', `/v1/release-keys/${lost.id}`)
    await refused(body('5.0.3'), 409, 'revoked')
  })

  test('firmware of another model or for other hardware', async () => {
    const { id } = await device()
    await uploaded(api, key, { name: 'pump', model: 'pump', version: '6.0.0' })
    await refused({ device: id, firmware: { name: 'pump', version: '6.0.0' } }, 409, 'for the model pump', `${id} is a thermostat`)
    await refused({ device: id, firmware: { version: '6.0.0' } }, 400, 'No firmware of the model thermostat')
    await uploaded(api, key, { version: '6.0.1', counter: 6, hardware: ['rev-b', 'rev-c'] })
    const body = { device: id, firmware: { version: '6.0.1' } }
    await refused(body, 409, 'for the hardware rev-b, rev-c', 'has no attribute hardware')
    await api.ask('PATCH', `/v1/devices/${id}`, { body: { attributes: { hardware: 'rev-a' } } })
    await refused(body, 409, 'has the hardware "rev-a"')
    await api.ask('PATCH', `/v1/devices/${id}`, { body: { attributes: { hardware: 'rev-b' } } })
    expect((await ask(body, { prefer: 'respond-async' })).status).toBe(202)
  })

  test('a version that several of its model have, unless it says which', async () => {
    const { id } = await device()
    await uploaded(api, key, { name: 'thermostat', version: '6.1.0', counter: 7 })
    await uploaded(api, key, { name: 'thermostat-radio', version: '6.1.0', counter: 7 })
    await refused({ device: id, firmware: { version: '6.1.0' } }, 400, 'thermostat, thermostat-radio')
    const { status } = await ask({ device: id, firmware: { name: 'thermostat-radio', version: '6.1.0' } }, { prefer: 'respond-async' })
    expect(status).toBe(202)
  })

  test('another version than that which a group pins it to, whatever the kind; that one it may get', async () => {
    const { id, twin } = await device(next!.firmware)
    const pin = (filter: string, firmwarePin?: string) =>
      api.ask('PUT', '/v1/groups/field-test', { body: { filter, ...(firmwarePin && { firmwarePin }) } })
    await pin(`id = '${id}'`, '2.0.0')
    await refused({ device: id, firmware: { version: '3.0.0' } }, 409, `${id} is pinned to 2.0.0 by the group field-test`)
    await refused({ device: id, firmware: { version: '1.0.0' }, kind: 'rollback' }, 409, 'pinned to 2.0.0')
    await pin(`id = '${id}'`, '3.0.0')
    const taken = await twin.during(ask({ device: id, firmware: { version: '3.0.0' } }))
    expect(taken.status).toBe(202)
    await pin("id = 'another'", '2.0.0')
    const other = await device()
    expect((await ask({ device: other.id, firmware: { version: '3.0.0' } }, { prefer: 'respond-async' })).status).toBe(202)
    await api.ask('DELETE', '/v1/groups/field-test')
  })

  test('an older release, but by a rollback that the manifest of what it runs allows', async () => {
    const { id, twin } = await device(newest!.firmware)
    const back = (version: string) => ({ device: id, firmware: { version }, kind: 'rollback' })
    await refused({ device: id, firmware: { version: '2.0.0' } }, 409, 'counter 3', 'is not newer', 'ask for the kind rollback')
    await refused({ device: id, firmware: { version: '1.0.0' } }, 409, 'names no way back')
    await refused(back('1.0.0'), 409, 'does not name 1.0.0')
    const taken = await twin.during(ask(back('2.0.0')))
    expect([taken.status, taken.json.kind, taken.json.from]).toEqual([202, 'rollback', newest!.firmware])
    expect(twin.state.update).toMatchObject({ kind: 'rollback', fromVersions: ['3.0.0'] })
  })

  test('a rollback from what nobody knows, or nobody has signed', async () => {
    const mute = await testTwin(api, 'mute')
    expect(mute.state.firmware).toBeNull()
    await refused({ device: 'mute', firmware: { version: '1.0.0' }, kind: 'rollback' }, 409, 'has not said what it runs')
    const { id } = await device({ version: 'factory' })
    await refused({ device: id, firmware: { version: '1.0.0' }, kind: 'rollback' }, 409, 'runs factory', 'no signed manifest')
    const unsigned = await uploaded(api, undefined, { version: '6.2.0', counter: 8, rollbackTo: ['1.0.0'] })
    const other = await device(unsigned.firmware)
    await refused({ device: other.id, firmware: { version: '1.0.0' }, kind: 'rollback' }, 409, 'no signed manifest')
    expect((await mute.during(ask({ device: 'mute', firmware: { version: '1.0.0' } }))).status).toBe(202)
  })

  test('the version that it says it runs, over other content: that takes a newer release', async () => {
    const { id } = await device({ version: '2.0.0', sha256: 'f'.repeat(64) })
    await refused({ device: id, firmware: { version: '2.0.0' } }, 409, 'is not newer')
  })
})

describe('an Idempotency-Key', () => {
  const headers = { 'idempotency-key': '6a0f2b0e-1111-4222-8333-444455556666' }

  test('makes the same request one update, also for many at once, and also when it would be refused by now', async () => {
    const { id, twin } = await device()
    const body = { device: id, firmware: { version: '2.0.0' }, soak: '0s' }
    const answers = await twin.during(Promise.all([1, 2, 3].map(() => ask(body, headers))))
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202])
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1)
    expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(2)
    await hello(twin, newest!.firmware)
    const again = await ask(body, headers)
    expect([again.status, again.json.id]).toEqual([202, answers[0]!.json.id])
    const other = await ask({ ...body, soak: '1m' }, headers)
    expect([other.status, other.json.errors[0].path]).toEqual([409, 'header:Idempotency-Key'])
  })

  test('is free again after a refusal', async () => {
    const { id, twin } = await device(newest!.firmware)
    const free = { 'idempotency-key': 'free-free-free-free' }
    const body = { device: id, firmware: { version: '2.0.0' } }
    expect((await ask(body, free)).status).toBe(409)
    await hello(twin, old!.firmware)
    const taken = await twin.during(ask(body, free))
    expect([taken.status, taken.headers.get('idempotency-replayed')]).toEqual([202, null])
  })
})

describe('cancelling', () => {
  test('ends the update, tells a device that has it, and is the same again', async () => {
    const { id, twin } = await device()
    const { json } = await twin.during(ask({ device: id, firmware: { version: '2.0.0' } }))
    await sent(json.id)
    const cancelled = await twin.during(cancel(json.id))
    expect([cancelled.status, cancelled.json.status, cancelled.json.code]).toEqual([200, 'cancelled', 'cancelled'])
    expect(cancelled.json.message).toContain('admin')
    const [row] = await api.database.sql`select cancel_at, job from updates where id = ${json.id}`
    expect(row).toEqual({ cancel_at: expect.any(Date), job: null })
    expect((await cancel(json.id)).json).toEqual(cancelled.json)
  })

  test('of what had ended otherwise is a conflict', async () => {
    const { id, twin } = await device()
    const { json } = await twin.during(ask({ device: id, firmware: { version: '2.0.0' }, soak: '0s' }))
    await hello(twin, next!.firmware, { ok: true })
    const answer = await cancel(json.id)
    expect([answer.status, answer.json.detail]).toEqual([409, expect.stringContaining('healthy')])
  })

  test('that is not decided in time is 202 with the update as it stands', async () => {
    const { id, twin } = await device()
    const { json } = await twin.during(ask({ device: id, firmware: { version: '2.0.0' } }))
    const { status, headers, json: shown } = await cancel(json.id, { prefer: 'wait=0' })
    expect([status, headers.get('location'), shown.status]).toEqual([202, `/v1/updates/${json.id}`, 'scheduled'])
    await twin.decide()
    expect((await show(json.id)).json.status).toBe('cancelled')
  })
})

describe('lists', () => {
  const ids = (items: Array<{ id: string }>) => items.map(({ id }) => id)
  const rollout = '11111111-1111-4111-8111-111111111111'
  let made: string[]
  let on: string

  beforeAll(async () => {
    const { id, twin } = await device()
    on = id
    await api.database.sql`
      insert into updates (id, tenant, incarnation, device, firmware, kind, requested_by, status, ended_at, rollout)
      select gen_random_uuid(), 'demo', ${twin.incarnation}, ${id}, ${next!.id}, 'install', 'rollout', case when n <= 3 then 'failed' else 'healthy' end,
        now(), ${rollout}
      from generate_series(1, 7) n`
    const { json } = await twin.during(ask({ device: id, firmware: { version: '3.0.0' } }))
    const rows = await api.database.sql<Array<{ id: string }>>`select id from updates where rollout = ${rollout} order by number desc`
    made = [json.id, ...ids([...rows])]
  })

  test('are newest first, and narrow by device, rollout and status, page by page', async () => {
    const list = async (query: string) => ids(await allItems(api, `/v1/updates?limit=2&${query}`))
    expect(await list(`device=${on}`)).toEqual(made)
    expect(await list(`rollout=${rollout}`)).toEqual(made.slice(1))
    expect(await list(`rollout=${rollout}&status=failed`)).toEqual(made.slice(5))
    expect(await list(`device=${on}&status=scheduled,failed`)).toEqual([made[0], ...made.slice(5)])
    expect(await list('device=absent')).toEqual([])
    const all = ids(await allItems(api, '/v1/updates?limit=5'))
    expect(all.slice(0, 8)).toEqual(made)
    expect(new Set(all).size).toBe(all.length)
    const [first] = (await api.ask('GET', `/v1/updates?rollout=${rollout}`)).json.items
    expect(first).toMatchObject({ rollout, device: on, status: 'healthy', requestedBy: 'rollout' })
  })

  test('and what they hold are a tenant’s own', async () => {
    expect((await api.ask('GET', '/v1/updates', { key: OTHER_KEY })).json.items).toEqual([])
    expect((await api.ask('GET', `/v1/updates?rollout=${rollout}`, { key: OTHER_KEY })).json.items).toEqual([])
    expect((await api.ask('GET', `/v1/updates/${made[0]}`, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('POST', `/v1/updates/${made[0]}/cancel`, { key: OTHER_KEY })).status).toBe(404)
    const body = { device: on, firmware: { version: '3.0.0' } }
    expect((await api.ask('POST', '/v1/updates', { key: OTHER_KEY, body })).status).toBe(404)
    expect((await show(made[0]!)).json.status).toBe('scheduled')
  })

  test.each(['status=done', 'rollout=7', 'device=a/b', 'cursor=xx', 'firmware=2.0.0'])('refuse ?%s by name', async (query) => {
    const { status, json } = await api.ask('GET', `/v1/updates?${query}`)
    expect([status, json.errors[0].path]).toEqual([400, `query:${query.split('=')[0]}`])
  })

  test.each(['absent', nowhere])('there is no update %s', async (id) => {
    expect((await show(id)).status).toBe(404)
    expect((await cancel(id)).status).toBe(404)
  })
})

test('a twin is told why the firmware of its update goes to no device any more', async () => {
  const { id, twin } = await device()
  const withdrawn = await uploaded(api, key, { version: '9.0.0', counter: 9, rollbackTo: [] })
  const made = await twin.during(ask({ device: id, firmware: { version: '9.0.0' } }))
  const told = () =>
    createDecisionStore(api.database.sql, { signJob }).sentUpdate(
      { tenant: 'demo', device: id, incarnation: twin.incarnation },
      made.json.id,
    )
  expect(await told()).not.toHaveProperty('unusable')
  await api.ask('POST', `/v1/firmware/${withdrawn.id}/withdraw`)
  expect(await told()).toMatchObject({ sentAt: null, unusable: { code: 'withdrawn' } })
})
