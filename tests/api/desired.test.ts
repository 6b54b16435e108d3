/** /v1/twins/{id}/desired over REST: the core decides and Postgres keeps; the test plays lane and workflow. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { type Answer, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
})
afterAll(() => api?.database.drop())

type Headers = Record<string, string>
const patch = (id: string, body: unknown, headers: Headers = {}, query = '') =>
  api.ask('PATCH', `/v1/twins/${id}/desired${query}`, { body, headers: { 'content-type': 'application/merge-patch+json', ...headers } })
const put = (id: string, body: unknown, headers: Headers = {}) => api.ask('PUT', `/v1/twins/${id}/desired`, { body, headers })
const get = (id: string) => api.ask('GET', `/v1/twins/${id}/desired`)

describe('wishing', () => {
  let twin: TestTwin
  beforeAll(async () => {
    twin = await testTwin(api, 'w-1')
  })

  test('before anything was wished there is version 0, with its ETag', async () => {
    const { status, json, headers } = await get('w-1')
    expect([status, json, headers.get('etag')]).toEqual([200, { version: 0, state: {}, metadata: {}, delta: {} }, '"0"'])
    expect((await api.ask('GET', '/v1/twins/w-1')).json).not.toHaveProperty('desired')
  })

  test('a wish is answered with what the twin made of it: version, who, deadline, and what differs', async () => {
    const made = await twin.during(patch('w-1', { targetTemperature: 21.5 }, { 'if-match': '"0"' }, '?deadline=1h&retry=10s'))
    expect([made.status, made.headers.get('etag')]).toEqual([200, '"1"'])
    const at = made.json.metadata['/targetTemperature'].at
    expect(made.json).toEqual({
      version: 1,
      state: { targetTemperature: 21.5 },
      metadata: {
        '/targetTemperature': {
          version: 1,
          at,
          by: 'admin',
          status: 'pending',
          since: at,
          deadline: new Date(Date.parse(at) + 3_600_000).toISOString(),
        },
      },
      delta: { targetTemperature: 21.5 },
    })
    expect((await get('w-1')).json).toEqual(made.json)
    const [wish] = await api.database.sql`select version, body, retry_ms from wishes where incarnation = ${twin.incarnation}`
    expect(wish).toEqual({ version: 1, body: '{"version":1,"state":{"targetTemperature":21.5}}', retry_ms: 10_000 })
    const document = (await api.ask('GET', '/v1/twins/w-1')).json
    const { delta, ...desired } = made.json
    expect([document.desired, document.delta]).toEqual([desired, delta])
  })

  test('what was handed to a connection is sent, until the device answers it', async () => {
    const status = async () => [
      (await get('w-1')).json.metadata['/targetTemperature'].status,
      (await api.ask('GET', '/v1/twins/w-1')).json.desired.metadata['/targetTemperature'].status,
    ]
    await api.database.sql`update wishes set sent_version = 0 where incarnation = ${twin.incarnation}`
    expect(await status()).toEqual(['pending', 'pending'])
    await api.database.sql`update wishes set sent_version = 1, sent_at = now() where incarnation = ${twin.incarnation}`
    expect(await status()).toEqual(['sent', 'sent'])
    const at = Date.now()
    await twin.decide({ kind: 'reported', at, ts: at, version: 1, state: { targetTemperature: 20 } })
    expect(await status()).toEqual(['acknowledged', 'acknowledged'])
    await twin.decide({ kind: 'reported', at, ts: at, version: 1, state: { targetTemperature: 21.5 } })
    expect(await status()).toEqual(['converged', 'converged'])
    const { json } = await api.ask('GET', '/v1/twins/w-1')
    expect(json).toMatchObject({ delta: {}, reported: { state: { targetTemperature: 21.5 } } })
    expect(json.reported.metadata['/targetTemperature']).toEqual({ ts: new Date(at).toISOString() })
  })

  test('If-Match holds a writer to the version that it read: lists, * and weak tags as RFC 9110 has it', async () => {
    const { version } = (await get('w-1')).json
    for (const stale of [`"${version - 1}"`, `W/"${version}"`, '"x,y"', `"${version + 1}", "nothing"`]) {
      const { status, json } = await patch('w-1', { targetTemperature: 22 }, { 'if-match': stale })
      expect([stale, status, json.code, json.errors[0].path]).toEqual([stale, 412, 'precondition-failed', 'header:If-Match'])
    }
    for (const wrong of [String(version), '"1" "2"', '']) {
      const { status, json } = await patch('w-1', { targetTemperature: 22 }, { 'if-match': wrong })
      expect([wrong, status, json.errors?.[0].path]).toEqual([wrong, 400, 'header:If-Match'])
    }
    for (const [n, good] of ['*', 'current', `"nothing" , W/"x", current`].entries()) {
      const tag = (await get('w-1')).headers.get('etag')!
      const made = await twin.during(patch('w-1', { targetTemperature: 23 + n }, { 'if-match': good.replace('current', tag) }))
      expect([good, made.status, made.json.version]).toEqual([good, 200, version + 1 + n])
    }
  })

  test('of two that read the same version one wins, and the other is told the new one', async () => {
    const tag = (await get('w-1')).headers.get('etag')!
    const answers = await twin.during(
      Promise.all([10, 11].map((targetTemperature) => patch('w-1', { targetTemperature }, { 'if-match': tag }))),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412])
    const [won, lost] = answers[0]!.status === 200 ? answers : [answers[1], answers[0]]
    expect(lost!.json.detail).toContain(`It is ${won!.json.version} now`)
    expect((await get('w-1')).json.state).toEqual(won!.json.state)
  })

  test('null takes a wish back, PUT replaces all of them, and neither lowers the version', async () => {
    const before = (await get('w-1')).json.version
    const gone = await twin.during(patch('w-1', { targetTemperature: null }))
    expect(gone.json).toEqual({ version: before + 1, state: {}, metadata: {}, delta: {} })
    expect((await twin.during(put('w-1', { targetTemperature: 18 }))).json).toMatchObject({
      version: before + 2,
      state: { targetTemperature: 18 },
    })
    expect((await twin.during(put('w-1', {}))).json).toMatchObject({ version: before + 3, state: {} })
    const same = await twin.during(put('w-1', {}))
    expect([same.status, same.json.version]).toEqual([200, before + 3])
  })

  test('1,000 writers at once all wait for their answers and get them; those beyond are told at once where theirs will be', async () => {
    const before = (await get('w-1')).json.version
    const beyond: Answer[] = []
    const asked = Array.from({ length: 1_010 }, async (_, n) => {
      const answer = await patch('w-1', { targetTemperature: 5 + (n % 30) }, { prefer: 'wait=20' })
      if (answer.status === 202) beyond.push(answer)
      return answer
    })
    await until(() => beyond.length >= 10, 'those beyond')
    const answers = await twin.during(Promise.all(asked))
    const decided = answers.filter(({ status }) => status === 200)
    expect([decided.length, beyond.length]).toEqual([1_000, 10])
    for (const { json, headers } of decided) expect(headers.get('etag')).toBe(`"${json.version}"`)
    const versions: number[] = []
    for (const { headers } of beyond) {
      const { json } = await api.ask('GET', headers.get('location')!)
      expect(json).toMatchObject({ status: 'answered', answer: { version: expect.any(Number) } })
      versions.push(json.answer.version)
    }
    const { version } = (await get('w-1')).json
    expect(version).toBeGreaterThan(before + 29)
    expect(Math.max(...versions)).toBeLessThanOrEqual(version)
  })
})

describe('waiting', () => {
  test('what is not decided in time is 202 and can be looked up; so is what wants no waiting', async () => {
    const twin = await testTwin(api, 'slow')
    const preferences: Array<[prefer: string, applied: string]> = [
      ['wait=0', 'wait=0'],
      ['respond-async', 'respond-async'],
      ['handling=lenient, Wait="1"', 'wait=1'],
    ]
    for (const [prefer, applied] of preferences) {
      const { status, headers, json } = await patch('slow', { targetTemperature: 20 }, { prefer })
      expect([prefer, status, headers.get('preference-applied')]).toEqual([prefer, 202, applied])
      expect(headers.get('retry-after')).toBe('1')
      const place = headers.get('location')!
      expect(place).toBe(`/v1/requests/${json.id}`)
      expect(json).toMatchObject({ device: 'slow', kind: 'wish', status: 'waiting' })
      expect((await api.ask('GET', place)).json).toEqual(json)
      await twin.decide()
      expect((await api.ask('GET', place)).json).toMatchObject({ status: 'answered', answer: { version: 1, revision: expect.any(Number) } })
    }
  })

  test('what cannot be preferred is ignored', async () => {
    const twin = await testTwin(api, 'strange')
    for (const prefer of ['wait=-1', 'wait', 'return=minimal', ';;,,', 'wait=1e9']) {
      const { status, headers } = await twin.during(patch('strange', { targetTemperature: 20 }, { prefer }))
      expect([prefer, status, headers.get('preference-applied')]).toEqual([prefer, 200, null])
    }
  })

  test('a device that is removed meanwhile is not there', async () => {
    const twin = await testTwin(api, 'going')
    const asked = patch('going', { targetTemperature: 20 })
    await until(async () => (await api.database.sql`select from twin_requests where incarnation = ${twin.incarnation}`).length, 'a request')
    await api.ask('DELETE', '/v1/devices/going')
    await api.database
      .sql`update twin_requests set answered_at = now(), answer = '{"removed":true}' where incarnation = ${twin.incarnation}`
    expect((await asked).status).toBe(404)
    for (const method of ['GET', 'PUT', 'PATCH']) {
      expect((await api.ask(method, '/v1/twins/going/desired', method === 'GET' ? {} : { body: {} })).status).toBe(404)
    }
  })

  test('of another tenant’s device nothing can be wished or seen', async () => {
    await testTwin(api, 'ours')
    for (const method of ['GET', 'PUT', 'PATCH']) {
      const body = method === 'GET' ? {} : { body: { targetTemperature: 20 } }
      expect((await api.ask(method, '/v1/twins/ours/desired', { key: OTHER_KEY, ...body })).status).toBe(404)
    }
    expect(await api.database.sql`select from twin_requests where tenant = 'other'`).toHaveLength(0)
  })
})

describe('what is not taken', () => {
  beforeAll(async () => {
    await testTwin(api, 'bad')
  })

  const deep = (levels: number) => `${'{"targetTemperature":'.repeat(levels)}1${'}'.repeat(levels)}`
  const cases: Array<[what: string, body: unknown, status: number, path?: string]> = [
    ['a property that only reports', { temperature: 20 }, 400, '/temperature'],
    ['a property that the model has not', { 'a/b': 20 }, 400, '/a~1b'],
    ['a property of every object', { constructor: 1 }, 400, '/constructor'],
    ['a wrong type', { targetTemperature: 'warm' }, 400, '/targetTemperature'],
    ['a value out of its bounds', { targetTemperature: 99 }, 400, '/targetTemperature'],
    ['an object for a number', { targetTemperature: { value: 20 } }, 400, '/targetTemperature'],
    ['null for what was never wished and cannot be', { temperature: null }, 400, '/temperature'],
    ['a list', [], 400],
    ['a number', '3', 400],
    ['too many levels', deep(12), 400],
    ['more levels than any body may have', deep(40), 400],
    ['too much', { targetTemperature: 'x'.repeat(70_000) }, 413],
  ]
  test.each(cases)('%s is refused by name, and nothing is asked of the twin', async (_what, body, status, path) => {
    for (const method of ['PATCH', 'PUT']) {
      const answer = await api.ask(method, '/v1/twins/bad/desired', { body })
      expect([method, answer.status]).toEqual([method, status])
      if (path) expect(answer.json.errors[0]).toEqual({ path, detail: expect.any(String) })
    }
    expect(await api.database.sql`select from twin_requests r join devices d using (incarnation) where d.device = 'bad'`).toHaveLength(0)
  })

  test('PUT has no null: it would never be reported', async () => {
    const { status, json } = await put('bad', { targetTemperature: null })
    expect([status, json.errors[0].path]).toEqual([400, '/targetTemperature'])
  })

  test.each(['deadline=0s', 'deadline=367d', 'deadline=soon', 'retry=1', 'retry=2d', 'retry=', 'wait=3'])(
    'the query ?%s is refused by name',
    async (query) => {
      const { status, json } = await patch('bad', { targetTemperature: 20 }, {}, `?${query}`)
      expect([status, json.errors[0].path]).toEqual([400, `query:${query.split('=')[0]}`])
    },
  )

  test('PUT takes no merge patch, and the answer says what it takes', async () => {
    const { status, json } = await put('bad', {}, { 'content-type': 'application/merge-patch+json' })
    expect([status, json.code]).toEqual([415, 'unsupported-media-type'])
  })

  test('what is no longer writable after a change of the model can still be taken back', async () => {
    const twin = await testTwin(api, 'remodelled')
    await twin.during(patch('remodelled', { targetTemperature: 20 }))
    await api.database.sql`update devices set model = 'pump' where incarnation = ${twin.incarnation}`
    expect((await patch('remodelled', { targetTemperature: 21 })).status).toBe(400)
    expect((await twin.during(patch('remodelled', { targetTemperature: null }))).json.state).toEqual({})
  })

  test('wishes for a model that is not there any more are refused, and can be read', async () => {
    const twin = await testTwin(api, 'forgotten')
    await twin.during(patch('forgotten', { targetTemperature: 20 }))
    await api.database.sql`update devices set model = 'toaster' where incarnation = ${twin.incarnation}`
    const { status, json } = await patch('forgotten', { targetTemperature: 21 })
    expect([status, json.code]).toEqual([409, 'conflict'])
    expect((await get('forgotten')).json.version).toBe(1)
  })
})

describe('search', () => {
  test('filters reach desired, reported and delta, by pointers, too', async () => {
    const twin = await testTwin(api, 'found')
    await twin.during(patch('found', { targetTemperature: 30.5 }))
    const found = async (filter: string) => {
      const { json } = await api.ask('GET', `/v1/twins?filter=${encodeURIComponent(`id = 'found' and ${filter}`)}`)
      return json.items.length
    }
    expect(await found('desired.state.targetTemperature > 30')).toBe(1)
    expect(await found('exists delta.targetTemperature')).toBe(1)
    expect(await found(`desired.metadata."/targetTemperature".status = 'pending'`)).toBe(1)
    expect(await found('exists reported')).toBe(0)
    const at = Date.now()
    await twin.decide({ kind: 'reported', at, ts: at, version: 1, state: { targetTemperature: 30.5 } })
    expect(await found('reported.state.targetTemperature = 30.5 and not exists delta.targetTemperature')).toBe(1)
    expect(await found('desired.version = 1')).toBe(1)
  })
})
