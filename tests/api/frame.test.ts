/** What holds for every request: credentials, methods, unknown paths, limits, trouble behind; and what needs no credential. */
import { readFile } from 'node:fs/promises'
import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ensureAdminKey } from '../../infra/postgres/api-keys.ts'
import { DEMO_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
let readiness: { ready: boolean; processes: Record<string, true | string> } = { ready: true, processes: { api: true } }
let now = 1_800_000_000_000

beforeAll(async () => {
  api = await testApi({
    now: () => now,
    limits: { requests: { name: 'requests', quota: 1000, windowSeconds: 1 } },
    status: { readyAll: async () => readiness, metricsAll: async () => '# TYPE castor_up gauge\ncastor_up 1\n' },
  })
})
afterAll(() => api?.database.drop())

describe('credentials', () => {
  test.each([
    ['none', undefined],
    ['another scheme', `Basic ${DEMO_KEY}`],
    ['a wrong key', 'Bearer nonsense'],
    ['an empty key', 'Bearer '],
    ['two keys', `Bearer ${DEMO_KEY} x`],
    ['a long key', `Bearer ${'x'.repeat(600)}`],
  ])('%s is 401, whether the path is there or not', async (_what, authorization) => {
    for (const path of ['/v1/devices', '/v1/twins/x', '/v1/models']) {
      const { status, json, headers } = await api.ask('GET', path, {
        key: null,
        headers: authorization === undefined ? {} : { authorization },
      })
      expect([status, json.code]).toEqual([401, 'unauthenticated'])
      expect(headers.get('www-authenticate')).toBe('Bearer realm="castor"')
    }
  })

  test('a device’s token is no API key', async () => {
    const { token } = await api.register('t-1')
    expect((await api.ask('GET', '/v1/devices', { key: token })).status).toBe(401)
  })

  test('a new admin key ends the former one within seconds, and an old one comes back without trace', async () => {
    await ensureAdminKey(api.database.sql, 'another-key-0123456789')
    now += 6_000
    expect((await api.ask('GET', '/v1/models', { key: DEMO_KEY })).status).toBe(401)
    expect((await api.ask('GET', '/v1/models', { key: 'another-key-0123456789' })).status).toBe(200)
    await ensureAdminKey(api.database.sql, DEMO_KEY)
    await ensureAdminKey(api.database.sql, DEMO_KEY)
    expect((await api.ask('GET', '/v1/models')).status).toBe(200)
    expect(await api.database.sql`select 1 from api_keys where tenant = 'demo'`).toHaveLength(1)
  })
})

describe('methods and paths', () => {
  test.each([
    ['PUT', '/v1/devices', 'POST, GET, HEAD'],
    ['PUT', '/v1/devices/x', 'GET, HEAD, PATCH, DELETE'],
    ['GET', '/v1/devices/x/token', 'POST'],
    ['POST', '/v1/twins', 'GET, HEAD'],
    ['DELETE', '/v1/twins/x', 'GET, HEAD'],
    ['POST', '/v1/twins/x/telemetry', 'GET, HEAD'],
    ['DELETE', '/v1/twins/x/desired', 'GET, HEAD, PATCH, PUT'],
    ['PUT', '/v1/twins/x/commands', 'POST, GET, HEAD'],
    ['PATCH', '/v1/commands/x', 'GET, HEAD, DELETE'],
    ['DELETE', '/v1/twins/x/history', 'GET, HEAD'],
    ['OPTIONS', '/v1/models', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
  ])('%s %s is 405 and names what is allowed', async (method, path, allow) => {
    const { status, json, headers } = await api.ask(method, path)
    expect([status, json.code, headers.get('allow')]).toEqual([405, 'method-not-allowed', allow])
  })

  test.each(['/', '/v1', '/v1/', '/v1/nothing', '/v2/devices', '/v1/devices/x/y', '/v1/devices/', '/docs/../secret', '/.env'])(
    'there is nothing at %s',
    async (path) => {
      const { status, json, headers } = await api.ask('GET', path)
      expect([status, json.code]).toEqual([404, 'not-found'])
      expect(headers.get('content-type')).toBe('application/problem+json')
    },
  )

  test('HEAD answers like GET without a body', async () => {
    const { status, text, headers } = await api.ask('HEAD', '/v1/models')
    expect([status, text, headers.get('content-type')]).toEqual([200, '', 'application/json'])
  })

  test('what takes no query refuses one', async () => {
    const { status, json } = await api.ask('GET', '/v1/devices/t-1?fields=id')
    expect([status, json.errors]).toEqual([400, [{ path: 'query:fields', detail: expect.any(String) }]])
  })
})

describe('every answer', () => {
  test('carries a request id: the caller’s own where it is harmless', async () => {
    expect((await api.ask('GET', '/v1/models', { headers: { 'x-request-id': 'abc-1' } })).headers.get('x-request-id')).toBe('abc-1')
    const made = await api.ask('GET', '/v1/nothing', { headers: { 'x-request-id': '<script>' } })
    expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(made.json.requestId).toBe(made.headers.get('x-request-id'))
  })

  test('says what is left of the rate limit, and beyond it is 429 until the window ends', async () => {
    now += 10_000
    const first = await api.ask('GET', '/v1/models')
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=1000;w=1')
    expect(first.headers.get('ratelimit')).toBe('"requests";r=999;t=1')
    for (let n = 0; n < 999; n++) await api.app.request('/v1/models', { headers: { authorization: `Bearer ${DEMO_KEY}` } })
    const beyond = await api.ask('GET', '/v1/models')
    expect([beyond.status, beyond.json.code, beyond.headers.get('retry-after')]).toEqual([429, 'too-many-requests', '1'])
    now += 1_000
    expect((await api.ask('GET', '/v1/models')).status).toBe(200)
  })

  test('hides what failed inside, and tells a database in trouble from a fault of ours', async () => {
    const failing = async (error: Error) => {
      const broken = await testApi({ twins: { find: () => Promise.reject(error), search: () => Promise.reject(error) } })
      try {
        return await broken.ask('GET', '/v1/twins/x')
      } finally {
        await broken.database.drop()
      }
    }
    const fault = await failing(new Error('secret: column "x" of table y'))
    expect([fault.status, fault.json.code]).toEqual([500, 'internal'])
    expect(fault.text).not.toContain('secret')
    const down = await failing(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))
    expect([down.status, down.json.code, down.headers.get('retry-after')]).toEqual([503, 'unavailable', '2'])
  })
})

describe('without a credential', () => {
  test('health, readiness and metrics answer', async () => {
    const ask = (path: string) => api.ask('GET', path, { key: null })
    expect((await ask('/healthz')).json).toEqual({ status: 'ok' })
    expect((await ask('/readyz')).json).toEqual({ status: 'ready', processes: { api: true } })
    readiness = { ready: false, processes: { api: true, worker: 'starting' } }
    const notReady = await ask('/readyz')
    expect([notReady.status, notReady.json]).toEqual([503, { status: 'not ready', processes: { api: true, worker: 'starting' } }])
    const metrics = await ask('/metrics')
    expect(metrics.text).toContain('castor_up 1')
    expect(metrics.headers.get('content-type')).toContain('text/plain')
  })

  test('the docs page and all that it loads come from here, under a policy that allows nothing else', async () => {
    const page = await api.ask('GET', '/docs', { key: null })
    expect(page.status).toBe(200)
    const policy = page.headers.get('content-security-policy')!
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/https?:|unsafe|\*/)
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!)
    expect(loaded.length).toBeGreaterThan(2)
    for (const path of loaded) {
      const { status, headers } = await api.ask('GET', path, { key: null })
      expect([path, status, headers.get('x-content-type-options')]).toEqual([path, 200, 'nosniff'])
    }
    expect(page.text).not.toMatch(/<script>|style=|onload/)
  })
})

describe('the OpenAPI document', () => {
  test('is valid OpenAPI 3.1, and every reference in it leads somewhere', async () => {
    const { json } = await api.ask('GET', '/openapi.json', { key: null })
    const validator = new Validator()
    expect(await validator.validate(json)).toEqual({ valid: true })
    expect(validator.version).toBe('3.1')
    const references = [...JSON.stringify(json).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]!)
    expect(references.length).toBeGreaterThan(10)
    for (const name of references) expect(json.components.schemas).toHaveProperty([name])
  })

  test('is the committed one; after a change of REST, write it anew: node infra/write-openapi.ts', async () => {
    const { json } = await api.ask('GET', '/openapi.json', { key: null })
    expect(json).toEqual(JSON.parse(await readFile('docs/openapi.json', 'utf8')))
  })
})
