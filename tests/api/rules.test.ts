/** /v1/rules over REST, on real Postgres: versions, what is refused and told, and what is left for the owners of the lanes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { liveRules, ruleChange } from '../../infra/postgres/lane-rules.ts'
import { RULE_LIMITS } from '../../twin-models/rules/language.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
  await api.register('door', {}, undefined, 'lock')
  await api.register('theirs', {}, OTHER_KEY, 'lock')
})
afterAll(() => api?.database.drop())
beforeEach(() => api.database.sql`truncate rules, rule_versions, rule_scopes`)

const RULE = { model: 'pump', when: 'telemetry.vibration.value > 8', severity: 'major', text: 'Vibration is {telemetry.vibration.value}' }
const DEFAULTS = { status: 'draft', for: '0s', clearFor: '0s', lateAfter: '5m', worse: [], onChange: 'keep', actions: [], description: '' }
const put = (name: string, body: object = {}, options: { key?: string; headers?: Record<string, string> } = {}) =>
  api.ask('PUT', `/v1/rules/${name}`, { body: { ...RULE, ...body }, ...options })
const get = (path: string, key?: string) => api.ask('GET', `/v1/rules${path}`, key ? { key } : {})
const scopes = async () => {
  const rows = await api.database.sql`select tenant, model, change from rule_scopes order by tenant, model`
  return Object.fromEntries(rows.map(({ tenant, model, change }) => [`${tenant} ${model}`, change]))
}

describe('one rule', () => {
  test('is made as it was written, with the defaults', async () => {
    const made = await put('vibration')
    expect([made.status, made.headers.get('location'), made.headers.get('etag')]).toEqual([201, '/v1/rules/vibration', '"1"'])
    const { createdAt } = made.json
    const rule = { ...DEFAULTS, ...RULE }
    expect(made.json).toEqual({
      name: 'vibration',
      version: 1,
      status: 'draft',
      rule,
      createdAt,
      createdBy: 'admin',
      changedAt: createdAt,
      warnings: [],
    })
    const { warnings: _none, ...shown } = made.json
    const found = await get('/vibration')
    expect([found.json, found.headers.get('etag')]).toEqual([shown, '"1"'])
    // What is shown can be written again, and is the same.
    expect((await put('vibration', found.json.rule)).json.version).toBe(1)
  })

  test('gets a version with each change, and none without', async () => {
    await put('r')
    const same = await put('r', { for: '0s', worse: [], status: 'draft' })
    expect([same.status, same.json.version, same.headers.get('etag'), same.headers.get('location')]).toEqual([200, 1, '"1"', null])
    const changed = await put('r', { status: 'live', for: '5m' })
    expect([changed.status, changed.json.version, changed.json.status, changed.headers.get('etag')]).toEqual([200, 2, 'live', '"2"'])
    expect([changed.json.createdAt <= changed.json.changedAt, changed.json.rule.for]).toEqual([true, '5m'])

    const versions = await allItems(api, '/v1/rules/r/versions?limit=1')
    expect(versions.map(({ version, rule, createdBy }) => [version, rule.for, createdBy])).toEqual([
      [2, '5m', 'admin'],
      [1, '0s', 'admin'],
    ])
    expect((await get('/r/versions/1')).json).toEqual(versions[1])
    for (const path of ['/r/versions/3', '/r/versions/x', '/q/versions', '/q/versions/1', '/q']) expect((await get(path)).status).toBe(404)
  })

  test('keeps its versions when it is removed, and goes on counting when it comes back', async () => {
    await put('r', { status: 'live' })
    expect((await api.ask('DELETE', '/v1/rules/r')).status).toBe(204)
    for (const method of ['DELETE', 'GET']) expect((await api.ask(method, '/v1/rules/r')).status).toBe(404)
    expect((await get('/r/versions/1')).json.rule).toEqual({ ...DEFAULTS, ...RULE, status: 'live' })
    expect((await get('/r/versions')).json.items).toHaveLength(1)
    const again = await put('r', { status: 'live' })
    expect([again.status, again.json.version]).toEqual([201, 2])
  })

  test('is written only over the version that If-Match names', async () => {
    const with_ = (tag: string) => ({ headers: { 'if-match': tag } })
    const absent = await put('r', {}, with_('"1"'))
    expect([absent.status, absent.json.errors]).toEqual([412, [{ path: 'header:If-Match', detail: 'does not match' }]])
    expect((await put('r', {}, with_('*'))).status).toBe(412)
    await put('r')
    expect((await put('r', { for: '1s' }, with_('"1"'))).json.version).toBe(2)
    const stale = await put('r', { for: '2s' }, with_('"1"'))
    expect([stale.status, stale.json.detail]).toEqual([
      412,
      expect.stringContaining('The rule has not the version that If-Match names. It is 2 now.'),
    ])
    expect((await put('r', { for: '2s' }, with_('W/"2"'))).status).toBe(412)
    expect((await put('r', { for: '2s' }, with_('"9", "2"'))).json.version).toBe(3)
    expect((await put('r', { for: '3s' }, with_('*'))).json.version).toBe(4)
    expect((await put('r', { for: '3s' }, with_('nonsense'))).status).toBe(400)
  })

  test('is written by one of two that both saw the same version', async () => {
    await put('r')
    const both = await Promise.all(['1s', '2s'].map((span) => put('r', { for: span }, { headers: { 'if-match': '"1"' } })))
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412])
    expect((await get('/r')).json.version).toBe(2)
  })
})

describe('what is not taken', () => {
  test.each<[what: string, body: object, path: string, detail: string]>([
    ['no condition', { when: undefined }, '/when', 'must be a condition'],
    ['a condition that breaks', { when: 'telemetry.vibration.value >' }, '/when', 'at character 28: expected a value'],
    ['an unknown member', { sevrity: 'major' }, '/sevrity', 'is not known here'],
    ['a duration that is none', { for: 'long' }, '/for', 'must be a duration'],
    [
      'a property that the model has not',
      { clear: 'telemetry.speed.value < 1' },
      '/clear',
      "at character 1: the model pump has no property 'speed'",
    ],
    ['a clear that overlaps', { clear: 'telemetry.vibration.value < 9' }, '/clear', 'at character 1: overlaps when'],
    [
      'a device that is not there',
      { actions: [{ kind: 'command', name: 'lock', device: 'gone' }] },
      '/actions/0/device',
      'There is no device gone.',
    ],
    [
      'another tenant’s device',
      { actions: [{ kind: 'command', name: 'lock', device: 'theirs' }] },
      '/actions/0/device',
      'There is no device theirs.',
    ],
    [
      'a command that the other device has not',
      { actions: [{ kind: 'command', name: 'open', device: 'door' }] },
      '/actions/0/name',
      'of the model lock',
    ],
  ])('%s is refused with its place, and nothing is written', async (_what, body, path, detail) => {
    const { status, json } = await put('refused', { status: 'live', ...body })
    expect([status, json.errors]).toEqual([400, [{ path, detail: expect.stringContaining(detail) }]])
    expect([(await get('/refused')).status, await scopes()]).toEqual([404, {}])
  })

  test('that tells or asks whom nobody knows', async () => {
    const actions = [
      { kind: 'notify', target: 'nobody' },
      { kind: 'predict', model: 'no-model' },
      { kind: 'ticket', title: 'Look', onCall: ['no-one'] },
    ]
    const refused = await put('r', { actions })
    expect(refused.status).toBe(400)
    expect(refused.json.errors).toEqual([
      { path: '/actions/0/target', detail: 'there is no target nobody: make it with PUT /v1/targets/nobody' },
      { path: '/actions/1/model', detail: 'there is no prediction model no-model: make it with PUT /v1/prediction-models/no-model' },
      { path: '/actions/2/onCall/0', detail: 'there is no target no-one: make it with PUT /v1/targets/no-one' },
    ])
  })

  test('a name that breaks the grammar of ids is nowhere', async () => {
    expect((await put('no%20name')).status).toBe(404)
  })

  test('more than a tenant may have: what is there can be changed', async () => {
    const { sql } = api.database
    await put('r')
    await sql`
      insert into rules (tenant, name, version, status, model, body, created_by)
      select 'demo', 'more-' || n, 1, 'draft', 'pump', '{}', 'x' from generate_series(2, ${RULE_LIMITS.rules}) n`
    const refused = await put('one-more')
    expect([refused.status, refused.json.detail]).toEqual([409, expect.stringContaining(`${RULE_LIMITS.rules} rules already`)])
    expect((await put('r', { for: '1s' })).status).toBe(200)
    expect((await put('r', {}, { key: OTHER_KEY })).status).toBe(201)
    await sql`insert into rule_versions (tenant, name, version, body, created_by) values ('demo', 'r', ${RULE_LIMITS.versions}, '{}', 'x')`
    const worn = await put('r', { for: '2s' })
    expect([worn.status, worn.json.detail]).toEqual([409, expect.stringContaining(`${RULE_LIMITS.versions} versions already`)])
  })

  test('more live rules than a device may have, those of any model included', async () => {
    const { sql } = api.database
    const fill = (model: string | null, count: number) => sql`
      insert into rules (tenant, name, version, status, model, body, created_by)
      select 'demo', ${model ?? 'any'} || '-' || n, 1, 'live', ${model}, '{}', 'x' from generate_series(1, ${count}::int) n`
    await fill('pump', RULE_LIMITS.live - 2)
    await fill(null, 1)
    const live = { status: 'live' }
    const any = { ...live, model: undefined, filter: 'exists id' }
    expect((await put('r', live)).status).toBe(201)
    const refused = await put('s', live)
    expect([refused.status, refused.json.detail]).toEqual([409, expect.stringContaining(`${RULE_LIMITS.live} live rules`)])
    expect((await put('s', any)).status).toBe(409)
    // A draft, one of another model and the one that is there are no more of them.
    expect((await put('s')).status).toBe(201)
    expect((await put('t', { ...live, model: 'lock', when: 'telemetry.battery.value < 9', text: 'x' })).status).toBe(201)
    expect((await put('r', { ...live, for: '1s' })).status).toBe(200)
    await put('r')
    expect((await put('s', any)).status).toBe(200)
  })
})

describe('what is doubtful is told', () => {
  test('a property that no model names', async () => {
    const { json } = await put('r', { model: 'thermostat', when: 'telemetry.co2.value > 1000', text: 'Stale air' })
    expect(json.warnings).toEqual([{ path: '/when', position: 1, detail: expect.stringContaining("'co2'") }])
  })

  test('a loop among the live rules of the tenant', async () => {
    const sets = (name: string) => ({ actions: [{ kind: 'wish', desired: { [name]: 20 } }] })
    const heat = {
      model: 'thermostat',
      when: 'telemetry.temperature.value < 15',
      text: 'Cold',
      ...sets('targetTemperature'),
      status: 'live',
    }
    expect((await put('heat', heat)).json.warnings).toEqual([])
    const cool = { ...heat, when: 'reported.state.targetTemperature > 30', text: 'Hot' }
    const told = [{ path: '/actions', detail: 'sets itself off again: cool → targetTemperature → cool' }]
    expect((await put('cool', cool)).json.warnings).toEqual(told)
    expect((await put('heat', { ...heat, status: 'draft', when: 'desired.state.targetTemperature < 5' })).json.warnings).toEqual([
      { path: '/actions', detail: 'sets itself off again: heat → targetTemperature → heat' },
    ])
  })
})

describe('a change of live rules', () => {
  const battery = { model: 'lock', when: 'telemetry.battery.value < 9', text: 'x' }

  test('is numbered, for the models that it concerns and those that it concerned; drafts leave no trace', async () => {
    const { sql } = api.database
    await put('a')
    expect(await scopes()).toEqual({})
    await put('a', { status: 'live' })
    const first = (await scopes())['demo pump']
    expect(await ruleChange(sql)).toEqual({ change: first, devices: false })
    await put('a', { status: 'live' })
    expect(await scopes()).toEqual({ 'demo pump': first })
    // Now of another model, then of any, then a draft, then live again, then gone.
    const steps: Array<[body: object | undefined, concerned: string[]]> = [
      [{ ...battery, status: 'live' }, ['lock', 'pump']],
      [{ ...battery, model: undefined, filter: "model = 'lock'", status: 'live' }, ['', 'lock']],
      [{ status: 'draft' }, ['']],
      [{ status: 'live' }, ['pump']],
      [undefined, ['pump']],
    ]
    let before = first
    for (const [body, concerned] of steps) {
      if (body) await put('a', body)
      else await api.ask('DELETE', '/v1/rules/a')
      const after = await ruleChange(sql)
      expect(after.change).toBeGreaterThan(before)
      const touched = Object.entries(await scopes()).filter(([, change]) => change === after.change)
      expect(touched.map(([scope]) => scope)).toEqual(concerned.map((model) => `demo ${model}`))
      before = after.change
    }
  })

  test('is seen in the order of its number by whoever reads the newest', async () => {
    const { sql } = api.database
    let newest = 0
    let isWriting = true
    const seen: number[] = []
    const reader = (async () => {
      while (isWriting) {
        const rows = await sql<Array<{ change: number }>>`select change from rule_scopes`
        // Whatever is new now is above all that was there before.
        const fresh = rows.map(({ change }) => change).filter((change) => !seen.includes(change))
        expect(fresh.filter((change) => change < newest)).toEqual([])
        seen.push(...fresh)
        newest = Math.max(newest, ...fresh)
      }
    })()
    const write = (n: number) => put(`r-${n}`, { ...(n % 2 === 0 && battery), status: 'live' }, n % 4 < 2 ? {} : { key: OTHER_KEY })
    for (let round = 0; round < 5; round++) {
      const written = await Promise.all(Array.from({ length: 8 }, (_, n) => write(round * 8 + n)))
      expect(written.map(({ status }) => status)).toEqual(Array(8).fill(201))
    }
    isWriting = false
    await reader
    expect(seen.length).toBeGreaterThan(4)
  })

  test('shows the owners of the lanes what is live, with when its version was written', async () => {
    await put('b', { status: 'live' })
    await put('c')
    const made = await put('b', { status: 'live', for: '1m' })
    await put('a', { ...battery, status: 'live' }, { key: OTHER_KEY })
    const rows = await liveRules(api.database.sql)
    expect(rows.map(({ tenant, name, version, model, filter }) => [tenant, name, version, model, filter])).toEqual([
      ['demo', 'b', 2, 'pump', null],
      ['other', 'a', 1, 'lock', null],
    ])
    expect(JSON.parse(rows[0]!.body)).toEqual(made.json.rule)
    expect(new Date(rows[0]!.createdAt).toISOString()).toBe(made.json.changedAt)
  })
})

describe('rules', () => {
  test('are listed by name, page by page, by status and model', async () => {
    await put('c')
    await put('a', { status: 'live' })
    await put('b', { model: 'lock', when: 'telemetry.battery.value < 9', text: 'x' })
    const names = async (query: string) => (await allItems(api, `/v1/rules?limit=1${query}`)).map(({ name }) => name)
    expect(await names('')).toEqual(['a', 'b', 'c'])
    expect(await names('&status=draft')).toEqual(['b', 'c'])
    expect(await names('&status=live&model=pump')).toEqual(['a'])
    expect(await names('&model=car')).toEqual([])
    for (const query of ['status=on', 'cursor=x', 'name=a']) expect((await get(`?${query}`)).status).toBe(400)
  })

  test('are a tenant’s own', async () => {
    await put('r')
    expect((await get('/r', OTHER_KEY)).status).toBe(404)
    expect((await get('/r/versions/1', OTHER_KEY)).status).toBe(404)
    expect((await api.ask('DELETE', '/v1/rules/r', { key: OTHER_KEY })).status).toBe(404)
    expect((await put('r', { for: '1m' }, { key: OTHER_KEY })).json.version).toBe(1)
    expect((await get('/r')).json.rule.for).toBe('0s')
  })
})
