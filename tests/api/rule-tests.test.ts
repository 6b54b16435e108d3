/** POST /v1/rules/test: a rule tried on readings and decisions as they are stored, on real Postgres. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TRY_LIMITS } from '../../api/http/rule-try.ts'
import type { RuleHistory } from '../../api/rule-ports.ts'
import { createRuleHistory } from '../../infra/postgres/rule-history.ts'
import { DEMO_KEY, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const LIMITS = { ruleTests: { name: 'rule-tests', quota: 10_000, windowSeconds: 10 } }

let api: TestApi
let pump: TestTwin
/** When all begins: whole minutes are counted from there. */
let begin: number

beforeAll(async () => {
  api = await testApi({ limits: LIMITS })
  begin = Date.now() - 3 * HOUR_MS
  pump = await testTwin(api, 'p-1', 'pump')
  await api.register('p-2', { site: 'south', limit: 20 }, undefined, 'pump')
  await api.register('door', {}, undefined, 'lock')
  // One a minute; the sixth came two hours late, and is history.
  await readings(pump.incarnation, 'vibration', [2, 9, 9, 13, 9, 5, 5, 5])
  await readings(pump.incarnation, 'flow', [30, 30])
  await readings(pump.incarnation, 'vibration', [99], { from: 8, lateMinutes: 100 })
  await api.database.sql`update devices set attributes = '{"site": "north", "limit": 8}' where device = 'p-1'`
  await registeredAt(0)
})
afterAll(() => api?.database.drop())

async function readings(incarnation: number, name: string, values: number[], { from = 0, lateMinutes = 0 } = {}): Promise<void> {
  const { sql } = api.database
  await sql`insert into properties (tenant, name) values ('demo', ${name}) on conflict do nothing`
  const iso = (ms: number) => new Date(ms).toISOString()
  for (const [n, value] of values.entries()) {
    const ts = begin + (from + n) * MINUTE_MS
    await sql`
      insert into telemetry (incarnation, property, ts, received_at, number)
      select ${incarnation}, property, ${iso(ts)}::text::timestamptz, ${iso(ts + lateMinutes * MINUTE_MS)}::text::timestamptz, ${value}
      from properties where tenant = 'demo' and name = ${name}`
  }
}

/** All of them, so many minutes after the beginning. */
async function registeredAt(minutes: number): Promise<void> {
  await api.database.sql`update devices set created_at = ${at(minutes)}::text::timestamptz`
}

const RULE = {
  model: 'pump',
  when: 'telemetry.vibration.value > 8',
  clear: 'telemetry.vibration.value < 6',
  severity: 'major',
  worse: [{ when: 'telemetry.vibration.value > 12', severity: 'critical' }],
  text: 'Vibration is {telemetry.vibration.value} mm/s',
}
const at = (minutes: number) => new Date(begin + minutes * MINUTE_MS).toISOString()
const tested = (rule: object, more: object = {}, key = DEMO_KEY) =>
  api.ask('POST', '/v1/rules/test', { key, body: { rule: { ...RULE, ...rule }, device: 'p-1', from: at(0), to: at(60), ...more } })

describe('a rule that is tried', () => {
  test('says when alarms would have been raised and cleared, and what they would have said', async () => {
    const { status, json } = await tested({ for: '1m' })
    expect([status, json]).toEqual([
      200,
      {
        from: at(0),
        to: at(60),
        readings: 8,
        devices: [
          {
            device: 'p-1',
            applies: true,
            readings: 8,
            alarms: [
              {
                since: at(1),
                raisedAt: at(2),
                severity: 'critical',
                text: 'Vibration is 9 mm/s',
                values: { vibration: 9 },
                count: 1,
                worse: [{ at: at(3), severity: 'critical', text: 'Vibration is 13 mm/s' }],
                cleared: { at: at(5), values: { vibration: 5 } },
              },
            ],
          },
        ],
        more: false,
        warnings: [],
      },
    ])
  })

  test('reads the functions of readings, and the attributes of the device', async () => {
    const when = "change(telemetry.vibration.value, '10m') > attributes.limit"
    const { json } = await tested({ when, clear: undefined, worse: undefined, text: 'At {attributes.site}' })
    expect(json.devices[0].alarms.map(({ text, raisedAt, cleared }: never) => [text, raisedAt, (cleared as { at: string }).at])).toEqual([
      ['At north', at(3), at(4)],
    ])
  })

  test('knows what was measured last before, and does not know what was received after', async () => {
    const held = { clear: undefined, worse: undefined, for: '2m' }
    const found = await tested(held, { from: at(4.5), to: at(4.9) })
    expect([found.json.readings, found.json.devices[0].alarms]).toEqual([0, []])
    const later = await tested({ ...held, for: '0s' }, { from: at(4.5), to: at(4.9) })
    expect(later.json.devices[0].alarms.map(({ raisedAt }: { raisedAt: string }) => raisedAt)).toEqual([at(4.5)])
    // What came late raises nothing, also where it is looked at.
    const all = await tested({ worse: undefined, when: 'telemetry.vibration.value > 50', clear: undefined }, { to: at(120) })
    expect([all.json.readings, all.json.devices[0].alarms]).toEqual([9, []])
  })

  test('goes by what the twin decided', async () => {
    const ms = (minutes: number) => begin + minutes * MINUTE_MS
    await pump.decide({ kind: 'life', at: ms(10) })
    await pump.decide({ kind: 'hello', at: ms(20), status: 'offline' }, { kind: 'event', at: ms(21), name: 'leak', ts: ms(21), data: null })
    await pump.decide({ kind: 'event', at: ms(22), name: 'leak', ts: ms(22), data: null }, { kind: 'hello', at: ms(30), status: 'online' })
    await pump.decide({ kind: 'reported', at: ms(31), ts: ms(31), state: { mode: { level: 4 } } })
    await pump.decide({ kind: 'reported', at: ms(33), ts: ms(33), state: { mode: { level: 1 } } })
    const plain = { clear: undefined, worse: undefined, text: 'It is so' }
    const when = async (text: string, more: object = {}) => {
      const { json, status } = await tested({ ...plain, when: text }, more)
      expect([status, json.warnings]).toEqual([200, []])
      return json.devices[0].alarms.map(({ raisedAt, cleared }: never) => [raisedAt, (cleared as { at: string } | undefined)?.at])
    }
    expect(await when("presence.status = 'offline'")).toEqual([[at(20), at(30)]])
    // How it was when the time begins follows from what was decided since, and before.
    expect(await when("presence.status = 'offline'", { from: at(25) })).toEqual([[at(25), at(30)]])
    expect(await when("presence.status = 'online'", { from: at(35) })).toEqual([[at(35), undefined]])
    expect(await when("presence.reason = 'hello'", { from: at(35) })).toEqual([[at(35), undefined]])
    expect(await when("presence.reason = 'goodbye'", { from: at(25) })).toEqual([[at(25), at(30)]])
    expect(await when("count(events.leak, '5m') >= 2")).toEqual([[at(22), at(26)]])
    expect(await when("not exists firmware.version and presence.status = 'online'")).toEqual([
      [at(10), at(20)],
      [at(30), undefined],
    ])
    // The model has no such property, so the rule is for devices of any model here.
    const any = { model: undefined, filter: "id = 'p-1' or model = 'thermostat'", ...plain, when: 'reported.state.mode.level >= 3' }
    const { json } = await tested(any)
    expect(json.devices[0].alarms).toEqual([
      expect.objectContaining({ raisedAt: at(31), cleared: expect.objectContaining({ at: at(33) }) }),
    ])
  })

  test('raises nothing of the time before its device was registered', async () => {
    const gone = { when: "missing(telemetry.pressure, '10m')", clear: undefined, worse: undefined, text: 'Nothing comes' }
    const raised = async (more: object = {}) =>
      (await tested(gone, more)).json.devices[0].alarms.map((alarm: { raisedAt: string }) => alarm.raisedAt)
    await registeredAt(30)
    expect(await raised()).toEqual([at(40)])
    expect(await raised({ to: at(20) })).toEqual([])
    await registeredAt(0)
    expect(await raised()).toEqual([at(10)])
  })

  test('is tried on the devices of a filter, and says for which of them it is', async () => {
    const many = (filter: string, more: object = {}) =>
      tested({ filter: "attributes.site = 'north'" }, { device: undefined, filter, ...more })
    const told = async (answer: ReturnType<typeof many>) =>
      (await answer).json.devices.map(({ device, applies, alarms }: never) => [device, applies, (alarms as []).length])
    expect(await told(many('exists id'))).toEqual([
      ['door', false, 0],
      ['p-1', true, 1],
      ['p-2', false, 0],
    ])
    expect(await told(many("model = 'pump'", { limit: 1 }))).toEqual([['p-1', true, 1]])
    expect(await told(many("id = 'nobody'"))).toEqual([])
  })

  test('tells what is doubtful, and what is not stored', async () => {
    const { json } = await tested({ when: 'health.battery < 10', clear: undefined, worse: undefined, text: 'Low' })
    expect(json.warnings).toEqual([{ path: '/rule', detail: expect.stringContaining('health.battery') }])
  })

  test('is looked at for the last day, where nothing else is said', async () => {
    const before = Date.now()
    const { json } = await tested({}, { from: undefined, to: undefined })
    expect(Date.parse(json.to) - Date.parse(json.from)).toBe(24 * HOUR_MS)
    expect(Date.parse(json.to)).toBeGreaterThanOrEqual(before)
    expect(json.devices[0].alarms).toHaveLength(1)
  })

  test('leaves nothing behind', async () => {
    const { sql } = api.database
    const counts = () => sql`select (select count(*) from twin_history) as history, (select count(*) from rules) as rules`
    const before = [...(await counts())]
    await tested({})
    expect([...(await counts())]).toEqual(before)
  })
})

describe('what is not tried', () => {
  test.each<[what: string, rule: object, more: object, status: number, path: string]>([
    ['a rule that is refused', { when: 'telemetry.speed.value > 1' }, {}, 400, '/rule/when'],
    ['a rule that breaks the schema', { severity: 'bad' }, {}, 400, '/rule/severity'],
    ['on no device', {}, { device: undefined }, 400, '/device'],
    ['on a device and a filter', {}, { filter: 'exists id' }, 400, '/device'],
    ['on too many devices', {}, { device: undefined, filter: 'exists id', limit: 21 }, 400, '/limit'],
    ['with a filter that breaks', {}, { device: undefined, filter: 'site =' }, 400, '/filter'],
    ['the future', {}, { from: new Date().toISOString(), to: new Date(Date.now() + HOUR_MS).toISOString() }, 400, '/to'],
    ['no time', {}, { from: new Date(0).toISOString(), to: new Date(0).toISOString() }, 400, '/from'],
    ['more than a week', {}, { from: new Date(0).toISOString(), to: new Date(8 * 24 * HOUR_MS).toISOString() }, 400, '/from'],
    ['a time that is none', {}, { from: 'yesterday' }, 400, '/from'],
  ])('%s', async (_what, rule, more, status, path) => {
    const answer = await tested(rule, more)
    expect([answer.status, answer.json.errors[0].path]).toEqual([status, path])
  })

  test('a device that is not there, or another tenant’s', async () => {
    expect((await tested({}, { device: 'nobody' })).status).toBe(404)
    expect((await tested({}, {}, OTHER_KEY)).status).toBe(404)
  })

  test('more readings than are looked at, where a shorter time is tried in slices, between which others are answered', async () => {
    const { sql } = api.database
    const { incarnation } = await api.register('many', {}, undefined, 'pump')
    await sql`
      insert into telemetry (incarnation, property, ts, received_at, number)
      select ${incarnation}, property, ts, ts, n % 100 from properties, generate_series(0, ${TRY_LIMITS.readings}::int) n,
        lateral (select ${at(0)}::text::timestamptz + n * interval '10 ms' as ts) as time
      where tenant = 'demo' and name = 'vibration'`
    // Raised with every hundredth reading, and cleared with the next: the fourth time it flaps, and stays.
    const rule = { when: 'telemetry.vibration.value > 98', clear: 'telemetry.vibration.value < 5', worse: undefined }
    const refused = await tested(rule, { device: 'many' })
    expect([refused.status, refused.json.errors[0].path]).toEqual([413, '/from'])
    expect((await tested(rule, { device: undefined, filter: "id in ('many', 'p-1')" })).status).toBe(413)

    let isUnder = true
    const done = tested(rule, { device: 'many', to: at(5) }).finally(() => {
      isUnder = false
    })
    let answered = 0
    for (; isUnder; answered++) expect((await api.ask('GET', '/v1/rules/none')).status).toBe(404)
    const { status, json } = await done
    const { alarms } = json.devices[0]
    expect([status, json.readings, alarms.length, json.more]).toEqual([200, 30_000, 4, false])
    expect([alarms[2].flapping, alarms[3].flapping, alarms[2].cleared !== undefined, alarms[3].cleared]).toEqual([
      undefined,
      true,
      true,
      undefined,
    ])
    expect(answered).toBeGreaterThan(10)
  })

  test('more than two at once: the next is told to wait, and finds a place once one is done', async () => {
    const stored = createRuleHistory(api.database.sql)
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let waiting = 0
    const ruleHistory: RuleHistory = {
      ...stored,
      readings: async (query) => {
        waiting++
        await gate
        return stored.readings(query)
      },
    }
    const app = api.with({ ruleHistory })
    const ask = () =>
      app.request('/v1/rules/test', {
        method: 'POST',
        headers: { authorization: `Bearer ${DEMO_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ rule: RULE, device: 'p-1' }),
      })
    const two = [ask(), ask()]
    await expect.poll(() => waiting).toBe(2)
    const third = await ask()
    expect([third.status, third.headers.get('retry-after')]).toEqual([429, '5'])
    open()
    expect((await Promise.all(two)).map(({ status }) => status)).toEqual([200, 200])
    expect((await ask()).status).toBe(200)
  })

  test('more often than is allowed', async () => {
    const app = api.with({ limits: { ruleTests: { name: 'rule-tests', quota: 1, windowSeconds: 60 } } })
    const ask = () =>
      app.request('/v1/rules/test', {
        method: 'POST',
        headers: { authorization: `Bearer ${DEMO_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ rule: RULE, device: 'p-1' }),
      })
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 429])
  })
})
