/** /v1/twins over REST, on real Postgres; the lane owner and the workflow are played by the test. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TwinWorkflows } from '../../api/ports.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { until } from '../support/wait.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

const workflows: { query: TwinWorkflows['query'] } = { query: async () => undefined }
let api: TestApi
let now = Date.parse('2026-11-21T08:00:00.000Z')

beforeAll(async () => {
  api = await testApi({
    workflows: { query: (twin) => workflows.query(twin) },
    now: () => now,
    twinWaitMs: 400,
    limits: { strong: { name: 'strong', quota: 5, windowSeconds: 10 } },
  })
})
afterAll(() => api?.database.drop())

async function speak(
  incarnation: number,
  latest: object,
  more: { lastSeen?: number; connection?: string; telemetry?: object; clock?: string } = {},
) {
  const { sql } = api.database
  await sql`
    insert into twin_inbox (incarnation, lane, last_seen, connection, latest, clock)
    values (${incarnation}, ${incarnation % 16}, ${more.lastSeen ?? 0}, ${more.connection ?? null}, ${JSON.stringify(latest)}, ${more.clock ?? null})
    on conflict (incarnation) do update set latest = excluded.latest, last_seen = excluded.last_seen, connection = excluded.connection`
  await sql`update devices set telemetry = ${JSON.stringify(more.telemetry ?? {})}::text::jsonb where incarnation = ${incarnation}`
}

describe('one twin', () => {
  test('a device that never spoke is there at once, as registered', async () => {
    await api.register('new', { site: 'north' })
    const { status, json } = await api.ask('GET', '/v1/twins/new')
    expect(status).toBe(200)
    expect(json).toEqual({
      id: 'new',
      tenant: 'demo',
      model: 'thermostat',
      modelVersion: '1.0.0',
      revision: 0,
      status: 'active',
      attributes: { site: 'north' },
      presence: { status: 'never', connected: false },
      telemetry: {},
      alarms: [],
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updatedAt: json.createdAt,
    })
  })

  test('it joins what was decided with the latest values, with units, times and staleness', async () => {
    const { incarnation } = await api.register('full')
    const at = Date.parse('2026-11-21T07:59:30.120Z')
    await speak(
      incarnation,
      { temperature: [21.5, at - 100, at, 'm-1'], humidity: [40, at - 100_000, at - 90_000], door: [{ open: true }, at, at] },
      { lastSeen: at, connection: '[7, 1]', clock: '{"status":"ahead","driftMs":120000}' },
    )
    const decided = {
      presence: { status: 'online', since: '2026-11-21T07:00:00.000Z', reason: 'message' },
      firmware: { version: '1.2.0' },
      ranges: { temperature: { status: 'normal', since: '2026-11-21T07:00:00.000Z', value: 21, ts: '2026-11-21T07:00:00.000Z' } },
    }
    await api.database.sql`
      update devices set revision = 3, decided = ${JSON.stringify(decided)}::text::jsonb, decided_at = '2126-01-01T00:00:00.9999Z'
      where incarnation = ${incarnation}`
    const { json } = await api.ask('GET', '/v1/twins/full')
    expect(json).toMatchObject({
      revision: 3,
      presence: { ...decided.presence, lastSeenAt: '2026-11-21T07:59:30.120Z', connected: true },
      firmware: decided.firmware,
      ranges: decided.ranges,
      clock: { status: 'ahead', driftMs: 120_000 },
      updatedAt: '2126-01-01T00:00:00.999Z',
    })
    expect(json.telemetry).toEqual({
      temperature: {
        value: 21.5,
        unit: 'Cel',
        ts: '2026-11-21T07:59:30.020Z',
        receivedAt: '2026-11-21T07:59:30.120Z',
        messageId: 'm-1',
        stale: false,
      },
      humidity: { value: 40, unit: '%', ts: '2026-11-21T07:57:50.120Z', receivedAt: '2026-11-21T07:58:00.120Z', stale: true },
      door: { value: { open: true }, ts: '2026-11-21T07:59:30.120Z', receivedAt: '2026-11-21T07:59:30.120Z', stale: false },
    })
  })

  test('the weak ETag spares an unchanged answer', async () => {
    const { headers } = await api.ask('GET', '/v1/twins/full')
    const etag = headers.get('etag')!
    expect(etag).toMatch(/^W\/"[^"]+"$/)
    for (const value of [etag, `"x", ${etag}`, etag.slice(2), '*']) {
      const again = await api.ask('GET', '/v1/twins/full', { headers: { 'if-none-match': value } })
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag])
    }
    await api.ask('PATCH', '/v1/devices/full', { body: { attributes: { a: 1 } } })
    expect((await api.ask('GET', '/v1/twins/full', { headers: { 'if-none-match': etag } })).status).toBe(200)
  })

  test.each(['absent', 'a%2Fb', 'a%00', '%zz', 'a+b%23', '%', 'x'.repeat(200)])('there is no twin %s', async (id) => {
    const { status, json } = await api.ask('GET', `/v1/twins/${id}`)
    expect([status, json.code]).toEqual([404, 'not-found'])
  })

  test('other tenants’ twins are not there', async () => {
    for (const path of ['/v1/twins/full', '/v1/twins/full?consistency=strong', '/v1/twins/full/telemetry', '/v1/devices/full']) {
      expect((await api.ask('GET', path, { key: OTHER_KEY })).status).toBe(404)
    }
    expect((await api.ask('DELETE', '/v1/devices/full', { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', '/v1/twins', { key: OTHER_KEY })).json).toEqual({ items: [], next: null })
    const filter = encodeURIComponent("tenant = 'demo' or tenant != 'demo'")
    expect((await api.ask('GET', `/v1/twins?filter=${filter}`, { key: OTHER_KEY })).json.items).toEqual([])
  })
})

describe('strong reads', () => {
  test('it waits for the answer to its request and shows what the workflow says', async () => {
    const { incarnation } = await api.register('strong')
    workflows.query = async (twin) => {
      expect(twin).toEqual({ tenant: 'demo', device: 'strong', incarnation })
      return { revision: 9, decided: { presence: { status: 'online', since: '2026-11-21T07:00:00.000Z', reason: 'message' } } }
    }
    const reading = Promise.all([1, 2].map(() => api.ask('GET', '/v1/twins/strong?consistency=strong')))
    const rows = await until(async () => {
      const found = await api.database.sql`select id, kind, lane, seq from twin_requests where incarnation = ${incarnation}`
      return found.length === 2 ? found : undefined
    }, 'two requests')
    expect(rows[0]).toMatchObject({ kind: 'deliver', lane: incarnation % 16, seq: null })
    await api.database.sql`update twin_requests set seq = 1, answered_at = now(), answer = '{}' where incarnation = ${incarnation}`
    for (const { status, json, headers } of await reading) {
      expect(status).toBe(200)
      expect(json).toMatchObject({ revision: 9, presence: { status: 'online', connected: false } })
      expect(headers.get('ratelimit-policy')).toBe('"strong";q=5;w=10')
      expect(headers.get('ratelimit')).toMatch(/^"strong";r=\d;t=\d+$/)
    }
  })

  test('a twin that does not answer in time is 503 with Retry-After, and so is a Temporal that does not', async () => {
    now += 20_000
    const late = await api.ask('GET', '/v1/twins/strong?consistency=strong')
    expect([late.status, late.json.code, late.headers.get('retry-after')]).toEqual([503, 'unavailable', '5'])

    await api.database.sql`delete from twin_requests`
    workflows.query = async () => {
      throw new CastorError('unavailable', 'The workflow did not answer.', { retryAfterSeconds: 5 })
    }
    const asked = api.ask('GET', '/v1/twins/strong?consistency=strong')
    await answerAll()
    expect((await asked).status).toBe(503)
  })

  test('where no workflow is, what Postgres has is all there is', async () => {
    now += 20_000
    workflows.query = async () => undefined
    const asked = api.ask('GET', '/v1/twins/new?consistency=strong')
    await answerAll()
    expect((await asked).json).toMatchObject({ id: 'new', revision: 0, presence: { status: 'never' } })
  })

  test('they are limited, a tenant at a time, and the answer says for how long', async () => {
    now += 20_000
    workflows.query = async () => undefined
    const answers = Promise.all(Array.from({ length: 6 }, () => api.ask('GET', '/v1/twins/absent?consistency=strong')))
    expect((await answers).map(({ status }) => status).sort()).toEqual([404, 404, 404, 404, 404, 429])
    const refused = (await answers).find(({ status }) => status === 429)!
    expect(refused.headers.get('retry-after')).toBe('10')
    expect(refused.headers.get('ratelimit')).toBe('"strong";r=0;t=10')
    expect((await api.ask('GET', '/v1/twins/absent?consistency=strong', { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', '/v1/twins/full')).status).toBe(200)
    now += 10_000
    expect((await api.ask('GET', '/v1/twins/absent?consistency=strong')).status).toBe(404)
  })

  async function answerAll() {
    await until(async () => {
      const { count } = await api.database.sql`update twin_requests set answered_at = now(), answer = '{}' where answered_at is null`
      return count > 0
    }, 'a request to answer')
  }
})

describe('search', () => {
  beforeAll(async () => {
    for (let n = 0; n < 30; n++) {
      const { incarnation } = await api.register(`s-${String(n).padStart(2, '0')}`, {
        search: true,
        site: n % 3 ? 'north' : 'süd',
        floor: n,
      })
      const temperature = { value: 15 + n, unit: 'Cel', ts: '2026-11-21T07:00:00.000Z', receivedAt: '2026-11-21T07:00:00.000Z' }
      await speak(incarnation, { temperature: [15 + n, 1_795_244_400_000, 1_795_244_400_000] }, { telemetry: { temperature } })
    }
  })

  const found = async (filter: string) => {
    const { status, json, text } = await api.ask('GET', `/v1/twins?limit=200&filter=${encodeURIComponent(filter)}`)
    if (status !== 200) throw new Error(text)
    return json.items.map((twin: { id: string }) => twin.id)
  }

  test('filters reach attributes, telemetry, presence and plain fields', async () => {
    expect(await found("attributes.site = 'north' and telemetry.temperature.value > 40")).toEqual(['s-26', 's-28', 's-29'])
    expect(
      await found("attributes.search = true and (attributes.floor in (3, 5) or id like 's-1_') and not attributes.site = 'süd'"),
    ).toEqual(['s-05', 's-10', 's-11', 's-13', 's-14', 's-16', 's-17', 's-19'])
    expect(await found("exists firmware.version and presence.status != 'offline'")).toEqual(['full'])
    expect(await found("presence.connected = true and createdAt > '2026'")).toEqual(['full'])
    expect(await found("alarms = 'x' or desired.state.a > 1")).toEqual([])
  })

  test('items are whole twin documents, page by page, while devices come', async () => {
    const filter = encodeURIComponent('attributes.search = true')
    const twins = await allItems(api, `/v1/twins?limit=4&filter=${filter}`, async (page) => {
      await api.register(`s-0x${page}`, { search: true })
    })
    const ids = twins.map((twin) => twin.id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.filter((id) => /^s-\d\d$/.test(id))).toHaveLength(30)
    expect(twins.find((twin) => twin.id === 's-07')).toEqual((await api.ask('GET', '/v1/twins/s-07')).json)
  })

  test.each([
    ['attributes.site = north', 19, "expected a value: 'text', a number, true or false, found 'north'"],
    ["attributes.site = 'north", 19, "this text has no closing '"],
    ["site = 'north'", 1, "the twin document has no part 'site'"],
    ["attributes.site == 'north'", 18, 'expected a value'],
    ['telemetry.temperature.value > true', 31, 'true and false have no order'],
    ['telemetry.temperature.stale = true', 1, "'stale' is worked out on reading"],
    ['(id = 1', 8, "expected ')', found the end"],
    ['id = 1)', 7, "expected 'and', 'or' or the end, found ')'"],
    ['id in ()', 8, 'expected a value'],
    ["id like 'a\\'", 9, 'a pattern cannot end with a single \\'],
    ['id = 1e999', 6, 'too large'],
    [`${'not '.repeat(40)}id = 1`, 69, 'at most 16 levels'],
    [`id in (${'1,'.repeat(70)}1)`, 136, 'at most 64 values'],
  ])('the filter %j is refused at character %i', async (filter, position, detail) => {
    const { status, json } = await api.ask('GET', `/v1/twins?filter=${encodeURIComponent(filter)}`)
    expect(status).toBe(400)
    expect(json.errors[0].path).toBe('query:filter')
    expect(json.detail).toContain(`at character ${position}: `)
    expect(json.detail).toContain(detail)
  })

  test('a filter with U+0000 is refused, as in any query', async () => {
    const { status, json } = await api.ask('GET', `/v1/twins?filter=${encodeURIComponent("id = '\u0000'")}`)
    expect([status, json.errors[0].path, json.detail]).toEqual([400, 'query:filter', expect.stringContaining('U+0000')])
  })

  test('a filter over 2 kB is refused', async () => {
    const { status } = await api.ask('GET', `/v1/twins?filter=${encodeURIComponent(`id = '${'x'.repeat(2100)}'`)}`)
    expect(status).toBe(400)
  })
})
