/** Alarms over REST: the core decides and Postgres keeps; the test plays lane, workflow and device. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newWork } from '../../api/ingest/work.ts'
import { postgresLaneStore } from '../../infra/postgres/lane-store.ts'
import { claimLanes } from '../../infra/postgres/leases.ts'
import type { TwinInput } from '../../twin-models/core/types.ts'
import { alarmRow, clearedAt, hotRule, insertAlarms, rulesFor } from '../support/alarms.ts'
import { until } from '../support/wait.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi({ twinWaitMs: 2_000 })
})
afterAll(() => api?.database.drop())

const reading = (value: number): TwinInput => ({ kind: 'reading', at: Date.now(), name: 'temperature', value, ts: Date.now() })
const show = (id: string) => api.ask('GET', `/v1/alarms/${id}`)
const act = (id: string, action: string, body?: unknown, headers: Record<string, string> = {}) =>
  api.ask('POST', `/v1/alarms/${id}/${action}`, { body, headers })
const kindsOf = (events: Array<{ kind: string }>) => events.map(({ kind }) => kind)

/** A device whose twin has just raised an alarm. Each has its own: the fourth within ten minutes would be flapping. */
async function hotTwin(device: string): Promise<{ twin: TestTwin; id: string }> {
  const twin = await testTwin(api, device)
  await twin.decide(rulesFor(hotRule()), reading(50))
  return { twin, id: openAlarm(twin) }
}

function openAlarm({ incarnation, state }: TestTwin): string {
  return `${incarnation}-${state.alarms.hot!.n}`
}

describe('one alarm', () => {
  let twin: TestTwin
  let id: string
  beforeAll(async () => {
    ;({ twin, id } = await hotTwin('d-1'))
  })

  test('is shown as its twin decided it, and on the twin', async () => {
    const { status, json } = await show(id)
    expect(status).toBe(200)
    expect(json).toEqual({
      id,
      device: 'd-1',
      rule: 'hot',
      version: 1,
      severity: 'major',
      status: 'raised',
      text: 'It has 50 °C',
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      raisedAt: json.since,
      updatedAt: json.since,
      count: 1,
      flapping: false,
      muted: false,
      values: { temperature: 50 },
    })
    const { json: shown } = await api.ask('GET', '/v1/twins/d-1')
    const [alarm] = shown.alarms
    expect(alarm).toEqual({
      ...{ id, n: 1, rule: 'hot', version: 1, severity: 'major', status: 'raised', text: 'It has 50 °C', since: json.since },
      ...{ raisedAt: json.raisedAt, count: 1, values: { temperature: 50 } },
    })
  })

  test('goes the way of its life, and all of it stands in its history', async () => {
    const acknowledged = await twin.during(act(id, 'acknowledge', { note: 'On my way' }))
    expect([acknowledged.status, acknowledged.json.status]).toEqual([200, 'acknowledged'])
    expect(acknowledged.json.acknowledged).toEqual({ at: expect.any(String), by: 'admin', note: 'On my way' })
    const assigned = await twin.during(act(id, 'assign', { assignee: 'bob' }))
    expect(assigned.json.assignee).toBe('bob')
    expect((await twin.during(act(id, 'assign', { assignee: null }))).json.assignee).toBeUndefined()
    const shelved = await twin.during(act(id, 'shelve', { for: '1h', note: 'A part is on order' }))
    expect(Date.parse(shelved.json.shelvedUntil)).toBeGreaterThan(Date.now() + 3_590_000)
    expect((await twin.during(act(id, 'unshelve'))).json.shelvedUntil).toBeUndefined()
    expect((await twin.during(act(id, 'comment', { note: 'It smells' }))).status).toBe(200)
    await twin.decide(reading(70))
    expect((await show(id)).json).toMatchObject({ severity: 'critical', text: 'It has 70 °C', status: 'acknowledged' })
    await twin.decide(reading(20))
    expect((await show(id)).json).toMatchObject({
      status: 'cleared',
      severity: 'critical',
      cleared: { at: expect.any(String), reason: 'rule' },
      values: { temperature: 20 },
    })
    expect((await api.ask('GET', '/v1/twins/d-1')).json.alarms).toEqual([])

    const history = await allItems(api, `/v1/alarms/${id}/history?limit=2`)
    expect(kindsOf(history)).toEqual([
      'alarm-raised',
      'alarm-acknowledged',
      'alarm-assigned',
      'alarm-assigned',
      'alarm-shelved',
      'alarm-shelved',
      'alarm-commented',
      'alarm-updated',
      'alarm-cleared',
    ])
    expect(history[1]).toMatchObject({ by: 'admin', note: 'On my way', cause: { by: 'request', who: 'admin' } })
    expect(history[5]).toMatchObject({ until: null })
  })

  test('has no history of others of its device, nor of those whose readings are named as its number', async () => {
    const other = await testTwin(api, 'd-named')
    const above: TwinInput = rulesFor(
      hotRule(),
      hotRule({ id: 'n', when: { kind: 'compare', path: ['telemetry', 'n', 'value'], comparison: '>', value: 0 } }),
    )
    await other.decide(above)
    const at = Date.now()
    for (const value of [1, 2, 3]) {
      await other.decide(reading(50), { kind: 'reading', at: at + value, name: 'n', value: 2, ts: at + value })
      await other.decide(reading(20), { kind: 'reading', at: Date.now(), name: 'n', value: 0, ts: Date.now() })
    }
    const { items } = (await api.ask('GET', `/v1/alarms/${other.incarnation}-2/history`)).json
    expect(items.map(({ kind, n, alarm }: { kind: string; n?: number; alarm?: { n: number } }) => [kind, n ?? alarm?.n])).toEqual([
      ['alarm-raised', 2],
      ['alarm-cleared', 2],
    ])
  })

  test.each(['1-2', '9999-1', '0-1', 'x', '7', '99999999999-1', '2147483648-1', '7-2147483648'])('there is no alarm %s', async (id) => {
    for (const path of ['', '/history']) expect((await api.ask('GET', `/v1/alarms/${id}${path}`)).status).toBe(404)
    expect((await act(id, 'acknowledge')).status).toBe(404)
  })

  test('of another tenant is not there', async () => {
    for (const path of ['', '/history']) expect((await api.ask('GET', `/v1/alarms/${id}${path}`, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('POST', `/v1/alarms/${id}/clear`, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', '/v1/alarms', { key: OTHER_KEY })).json.items).toEqual([])
    expect((await api.ask('GET', '/v1/alarms/counts', { key: OTHER_KEY })).json.open).toBe(0)
  })
})

describe('what is asked of an alarm', () => {
  test('and is so already changes nothing', async () => {
    const { twin, id } = await hotTwin('d-2')
    const until = new Date(Date.now() + 3_600_000).toISOString()
    const asks: Array<[action: string, body: object]> = [
      ['acknowledge', { note: 'a' }],
      ['shelve', { until }],
      ['unshelve', {}],
      ['assign', { assignee: 'bob' }],
    ]
    for (const [action, body] of asks) {
      const first = await twin.during(act(id, action, body))
      const again = await twin.during(act(id, action, body))
      expect([first.status, again.status, again.json]).toEqual([200, 200, first.json])
    }
    const cleared = await twin.during(act(id, 'clear', { note: 'done' }))
    expect(cleared.json).toMatchObject({ status: 'cleared', cleared: { reason: 'person', by: 'admin', note: 'done' } })
    expect((await act(id, 'clear')).json).toEqual(cleared.json)
    const kinds = kindsOf(await allItems(api, `/v1/alarms/${id}/history`))
    expect(kinds).toEqual(['alarm-raised', 'alarm-acknowledged', 'alarm-shelved', 'alarm-shelved', 'alarm-assigned', 'alarm-cleared'])
  })

  test('that is over is refused, and not done to the one that came after it', async () => {
    const { twin, id: before } = await hotTwin('d-3')
    await twin.decide(reading(20))
    await twin.decide(reading(50))
    for (const [action, body] of [
      ['acknowledge'],
      ['unshelve'],
      ['shelve', { for: '1h' }],
      ['assign', { assignee: 'x' }],
      ['comment', { note: 'x' }],
    ] as const) {
      const { status, json } = await act(before, action, body)
      expect([status, json.code]).toEqual([409, 'conflict'])
      expect(json.detail).toMatch(/is over: it was cleared at .* \(rule\)\.$/)
    }
    // It ends, and another is raised, between the request and the decision.
    const asked = act(openAlarm(twin), 'acknowledge')
    await until(async () => (await api.database.sql`select from twin_requests where kind = 'alarm' and seq is null`).length, 'the request')
    const [request] = await api.database.sql`
      update twin_requests set seq = 0 where kind = 'alarm' and seq is null returning id, body`
    await twin.decide(reading(20))
    await twin.decide(reading(50))
    await twin.decide({ ...JSON.parse(request!.body), kind: 'alarm', at: Date.now(), request: request!.id })
    expect((await asked).status).toBe(409)
    expect(twin.state.alarms.hot).not.toHaveProperty('acknowledged')
  })

  test('waits as long as Prefer says, and is answered with where to look', async () => {
    const { twin, id } = await hotTwin('d-4')
    const { status, headers, json } = await act(id, 'acknowledge', {}, { prefer: 'respond-async' })
    expect([status, headers.get('location'), headers.get('retry-after')]).toEqual([202, `/v1/requests/${json.id}`, '1'])
    expect(json).toMatchObject({ kind: 'alarm', status: 'waiting', device: 'd-4' })
    await twin.decide()
    expect((await show(id)).json.status).toBe('acknowledged')
    const { n } = twin.state.alarms.hot!
    expect((await api.ask('GET', `/v1/requests/${json.id}`)).json).toMatchObject({ status: 'answered', answer: { n } })
  })

  test('of a device that was removed is refused', async () => {
    const { twin: gone, id } = await hotTwin('d-gone')
    await api.ask('DELETE', '/v1/devices/d-gone')
    const { status, json } = await act(id, 'acknowledge')
    expect([status, json.detail]).toEqual([409, `The alarm ${id} is over: its device was removed.`])
    const many = await api.ask('POST', '/v1/alarms/acknowledge', { body: { ids: [id] } })
    expect(many.json.items).toMatchObject([{ id, outcome: 'cleared' }])

    const { sql } = api.database
    const lane = (await claimLanes(sql, 'p', 16)).find((candidate) => candidate.lane === gone.incarnation % 16)!
    await postgresLaneStore(sql).commit({ ...newWork([lane]).changes, removed: [gone.incarnation] })
    const cleared = await show(id)
    expect(cleared.json).toMatchObject({ status: 'cleared', cleared: { reason: 'removed' } })
    const [event] =
      await sql`select tenant, device, revision, event, cause from outbox where incarnation = ${gone.incarnation} and kind = 'alarm-cleared'`
    const { n, rule, severity, text, values } = { n: 1, rule: 'hot', severity: 'major', text: 'It has 50 °C', values: { temperature: 50 } }
    const at = Date.parse(cleared.json.cleared.at)
    expect(JSON.parse(event!.event)).toEqual({ at, n, rule, severity, text, reason: 'removed', values })
    expect([event!.tenant, event!.device, event!.revision, event!.cause]).toEqual(['demo', 'd-gone', 2, '{"by":"lane"}'])
  })

  const cases: Array<[what: string, action: string, body: unknown, path: string]> = [
    ['a note of 1,001 characters', 'acknowledge', { note: 'x'.repeat(1_001) }, '/note'],
    ['an empty note', 'clear', { note: '' }, '/note'],
    ['an unknown member', 'acknowledge', { by: 'ann' }, '/by'],
    ['shelving without an end', 'shelve', {}, '/until'],
    ['shelving for two ends', 'shelve', { for: '1h', until: '2126-01-01T00:00:00Z' }, '/for'],
    ['shelving into the past', 'shelve', { until: '2020-01-01T00:00:00Z' }, '/until'],
    ['shelving for 366 days', 'shelve', { for: '366d' }, '/for'],
    ['shelving for a hundred years', 'shelve', { until: '2126-01-01T00:00:00Z' }, '/until'],
    ['assigning nobody and nothing', 'assign', {}, '/assignee'],
    ['an assignee of 129 characters', 'assign', { assignee: 'x'.repeat(129) }, '/assignee'],
    ['a comment without words', 'comment', {}, '/note'],
  ]
  test.each(cases)('%s is refused by name', async (_what, action, body, path) => {
    const [alarm] = (await api.ask('GET', '/v1/alarms?status=open&limit=1')).json.items
    const { status, json } = await act(alarm.id, action, body)
    expect([status, json.errors?.[0]?.path]).toEqual([400, path])
  })
})

describe('several at once', () => {
  const acknowledge = (body: unknown, headers: Record<string, string> = {}) => api.ask('POST', '/v1/alarms/acknowledge', { body, headers })

  test('are acknowledged each by its twin, and told of each', async () => {
    const { twin, id: over } = await hotTwin('d-5')
    await twin.decide(reading(20))
    await twin.decide(reading(50))
    const open = openAlarm(twin)
    const { twin: silent, id: waiting } = await hotTwin('d-silent')
    const { status, json } = await twin.during(acknowledge({ ids: [over, open, '1-99', waiting, open], note: 'all' }, { prefer: 'wait=1' }))
    expect(status).toBe(200)
    expect(json.items.map(({ id, outcome }: { id: string; outcome: string }) => [id, outcome])).toEqual([
      [over, 'cleared'],
      [open, 'acknowledged'],
      ['1-99', 'not-found'],
      [waiting, 'waiting'],
    ])
    expect(json.items[1].alarm.acknowledged).toMatchObject({ by: 'admin', note: 'all' })
    expect((await api.ask('GET', json.items[3].request)).json).toMatchObject({ kind: 'alarm', status: 'waiting' })
    await silent.decide()
    expect((await acknowledge({ ids: [waiting, open] })).json.items).toMatchObject([
      { outcome: 'acknowledged' },
      { outcome: 'acknowledged' },
    ])
  })

  test.each([
    ['none', { ids: [] }, '/ids'],
    ['101', { ids: Array.from({ length: 101 }, (_, i) => `1-${i + 1}`) }, '/ids'],
    ['what is no id', { ids: ['1-1', 'x'] }, '/ids/1'],
  ])('%s is refused', async (_what, body, path) => {
    const { status, json } = await acknowledge(body)
    expect([status, json.errors[0].path]).toEqual([400, path])
  })
})

describe('the list', () => {
  const found = async (query: string) => (await allItems(api, `/v1/alarms?${query}`)).map(({ id }) => id)
  const base = Date.now() - 86_400_000
  const at = (minutes: number) => new Date(base + minutes * 60_000).toISOString()

  beforeAll(async () => {
    const { sql } = api.database
    await sql`delete from alarms`
    const devices = [await api.register('l-1'), await api.register('l-2')]
    for (const [d, { incarnation }] of devices.entries()) {
      const alarm = (n: number, more: Parameters<typeof alarmRow>[0]) => alarmRow({ n, raisedAt: base + (n * 2 + d) * 60_000, ...more })
      await insertAlarms(
        sql,
        { tenant: 'demo', device: `l-${d + 1}`, incarnation },
        alarm(1, { severity: 'warning', rule: 'cold', ...clearedAt(base + 3_600_000) }),
        alarm(2, { severity: 'critical', assignee: 'bob' }),
        alarm(3, { severity: 'minor', status: 'acknowledged', acknowledgedAt: base, acknowledgedBy: 'ann' }),
        alarm(4, { severity: 'major', rule: 'cold' }),
      )
    }
    ids = devices.map(
      ({ incarnation }) =>
        (n: number) =>
          `${incarnation}-${n}`,
    )
  })
  let ids: Array<(n: number) => string>

  test('is newest first, page by page', async () => {
    const all = [4, 3, 2, 1].flatMap((n) => [ids[1]!(n), ids[0]!(n)])
    expect(await found('limit=3')).toEqual(all)
    expect(await found('limit=200')).toEqual(all)
  })

  const cases: Array<[query: string, expected: Array<[device: number, n: number]>]> = [
    [
      'status=cleared',
      [
        [1, 1],
        [0, 1],
      ],
    ],
    [
      'status=acknowledged',
      [
        [1, 3],
        [0, 3],
      ],
    ],
    [
      'status=open&device=l-1',
      [
        [0, 4],
        [0, 3],
        [0, 2],
      ],
    ],
    [
      'status=cleared,raised&device=l-1',
      [
        [0, 4],
        [0, 2],
        [0, 1],
      ],
    ],
    [
      'severity=major',
      [
        [1, 4],
        [0, 4],
        [1, 2],
        [0, 2],
      ],
    ],
    [
      'severity=critical&status=raised',
      [
        [1, 2],
        [0, 2],
      ],
    ],
    [
      'severity=warning&rule=cold',
      [
        [1, 4],
        [0, 4],
        [1, 1],
        [0, 1],
      ],
    ],
    ['assignee=bob&device=l-2', [[1, 2]]],
    ['assignee=nobody', []],
    [
      `from=${at(4)}&to=${at(6)}`,
      [
        [1, 2],
        [0, 2],
      ],
    ],
    ['device=absent', []],
  ]
  test.each(cases)('narrowed by %s', async (query, expected) => {
    expect(await found(query)).toEqual(expected.map(([device, n]) => ids[device]!(n)))
  })

  test('refuses what it does not know', async () => {
    const wrong = {
      'status=gone': 'status',
      'severity=bad': 'severity',
      'rule=': 'rule',
      'x=1': 'x',
      'from=yesterday': 'from',
      'limit=201': 'limit',
    }
    for (const [query, name] of Object.entries(wrong)) {
      const { status, json } = await api.ask('GET', `/v1/alarms?${query}`)
      expect([status, json.errors[0].path]).toEqual([400, `query:${name}`])
    }
    expect((await api.ask('GET', '/v1/alarms?cursor=x')).status).toBe(400)
  })

  test('is counted by severity and status, and by rule', async () => {
    expect((await api.ask('GET', '/v1/alarms/counts')).json).toEqual({
      open: 6,
      severities: {
        critical: { raised: 2, acknowledged: 0 },
        major: { raised: 2, acknowledged: 0 },
        minor: { raised: 0, acknowledged: 2 },
        warning: { raised: 0, acknowledged: 0 },
      },
      rules: [
        { rule: 'hot', severity: 'critical', raised: 2, acknowledged: 2 },
        { rule: 'cold', severity: 'major', raised: 2, acknowledged: 0 },
      ],
    })
  })

  test('knows other methods as such', async () => {
    for (const [method, path] of [
      ['POST', '/v1/alarms'],
      ['PUT', '/v1/alarms/1-1'],
      ['GET', '/v1/alarms/1-1/clear'],
    ] as const)
      expect((await api.ask(method, path, { body: method === 'GET' ? undefined : {} })).status).toBe(405)
  })
})
