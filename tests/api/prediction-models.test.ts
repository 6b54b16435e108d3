/** /v1/prediction-models over REST, on real Postgres and with a real model server. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MOST_PREDICTION_MODELS } from '../../api/prediction-ports.ts'
import { createOutbound, type Outbound } from '../../infra/http/outbound.ts'
import { createPredictionTester } from '../../infra/inference/tester.ts'
import { scorePump } from '../../infra/simulator/inference/pump-model.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { type ModelServer, modelBody, type PlayedServer, playedServer, referenceServer } from '../support/model-servers.ts'
import { measured, pump } from '../support/predictions.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

const URL = 'https://models.example.com'

let api: TestApi
beforeAll(async () => {
  api = await testApi()
})
afterAll(() => api?.database.drop())

const put = (name: string, body: unknown, key?: string) => api.ask('PUT', `/v1/prediction-models/${name}`, { body, ...(key && { key }) })
const get = (name: string, key?: string) => api.ask('GET', `/v1/prediction-models/${name}`, key ? { key } : {})
const stored = async (name: string) =>
  (
    await api.database.sql<
      [{ body: string; auth: string | null }]
    >`select body, auth from prediction_models where name = ${name} and tenant = 'demo'`
  )[0]

describe('a prediction model', () => {
  test('is made and changed as a whole, and shown as it is, with its defaults', async () => {
    const made = await put('wear', modelBody(`${URL}/`, { schedule: { every: '1h', filter: "model = 'pump'" }, description: 'Bearings' }))
    expect([made.status, made.headers.get('location')]).toEqual([201, '/v1/prediction-models/wear'])
    const time = expect.any(String)
    expect(made.json).toEqual({
      ...modelBody(URL),
      ...{ name: 'wear', description: 'Bearings', datatype: 'FP64', timeout: '5s', atOnce: 4, waiting: 0, createdBy: 'admin' },
      inputs: [
        { name: 'vibration', path: 'telemetry.vibration.value', take: 'last' },
        { name: 'vibrationChange', path: 'telemetry.vibration.value', over: '1d', take: 'change' },
        { name: 'temperature', path: 'telemetry.temperature.value', take: 'last', default: 42 },
      ],
      schedule: { every: '1h', filter: "model = 'pump'", nextAt: time },
      ...{ createdAt: time, changedAt: time },
    })
    expect((await get('wear')).json).toEqual(made.json)
    const changed = await put('wear', modelBody(URL, { threshold: 0.9 }))
    expect([changed.status, changed.json.threshold, changed.json.schedule, changed.json.description]).toEqual([200, 0.9, undefined, ''])
    expect(changed.json.createdAt).toBe(made.json.createdAt)
  })

  test('keeps its credential until it is told otherwise, shows it to nobody, and does not take it along to another server', async () => {
    const made = await put('secret', modelBody(URL, { auth: { bearer: 'very-secret' } }))
    expect(made.json.auth).toEqual({ kind: 'bearer' })
    for (const { text } of [made, await get('secret'), await api.ask('GET', '/v1/prediction-models')])
      expect(text).not.toContain('very-secret')
    expect((await stored('secret'))!.body).not.toContain('very-secret')
    expect((await put('secret', modelBody(`${URL}/other`))).json.auth).toEqual({ kind: 'bearer' })

    const moved = await put('secret', modelBody('https://elsewhere.example.com'))
    expect([moved.status, moved.json.errors]).toEqual([400, [{ path: '/auth', detail: 'is needed with the url of another server' }]])
    expect((await get('secret')).json.url).toBe(`${URL}/other`)
    const without = await put('secret', modelBody('https://elsewhere.example.com', { auth: null }))
    expect([without.status, without.json.auth, (await stored('secret'))!.auth]).toEqual([200, undefined, null])
    expect((await put('secret', modelBody('https://third.example.com'))).status).toBe(200)
    expect((await put('secret', modelBody(URL, { auth: { bearer: 'new' } }))).json.auth).toEqual({ kind: 'bearer' })
  })

  test('is removed once', async () => {
    await put('short', modelBody(URL))
    expect((await api.ask('DELETE', '/v1/prediction-models/short')).status).toBe(204)
    for (const method of ['DELETE', 'GET']) expect((await api.ask(method, '/v1/prediction-models/short')).status).toBe(404)
  })

  test('that a live rule asks, or its tickets, is not removed', async () => {
    await put('asked', modelBody(URL))
    const rule = (name: string, status: string, action: object) => api.database.sql`
      insert into rules (tenant, name, version, status, body, created_by)
      values ('demo', ${name}, 1, ${status}, ${JSON.stringify({ actions: [action] })}, 'test')`
    await rule('asks', 'live', { kind: 'predict', model: 'asked' })
    await rule('opens', 'live', { kind: 'ticket', title: 'Look', predict: 'asked' })
    await rule('drafted', 'draft', { kind: 'predict', model: 'asked' })
    const refused = await api.ask('DELETE', '/v1/prediction-models/asked')
    expect([refused.status, refused.json.detail]).toEqual([409, 'Live rules ask it: asks, opens. Let them ask another model first.'])
    await api.database.sql`delete from rules where name in ('asks', 'opens')`
    expect((await api.ask('DELETE', '/v1/prediction-models/asked')).status).toBe(204)
  })

  test('of another tenant is not there, and its name is free', async () => {
    await put('wear', modelBody(URL))
    expect((await get('wear', OTHER_KEY)).status).toBe(404)
    expect((await api.ask('DELETE', '/v1/prediction-models/wear', { key: OTHER_KEY })).status).toBe(404)
    expect((await put('wear', modelBody(URL), OTHER_KEY)).status).toBe(201)
  })

  test('is listed by name, page by page', async () => {
    for (const name of ['list-b', 'list-a']) await put(name, modelBody(URL))
    const names = (await allItems(api, '/v1/prediction-models?limit=1')).map(({ name }) => name)
    expect(names).toEqual(names.toSorted())
    expect(names).toEqual(expect.arrayContaining(['list-a', 'list-b']))
  })

  test.each<[string, unknown, string]>([
    ['without a URL', { ...modelBody(URL), url: undefined }, '/url'],
    ['with a path to nothing', modelBody(URL, { inputs: [{ name: 'x', path: 'colour' }] }), '/inputs/0/path'],
    ['with a filter that breaks', modelBody(URL, { schedule: { every: '1h', filter: 'model =' } }), '/schedule/filter'],
    ['with what is not known', modelBody(URL, { colour: 'red' }), '/colour'],
    ['with its own answer as its credential', modelBody(URL, { auth: { kind: 'bearer' } }), '/auth/bearer'],
  ])('is refused %s', async (_, body, path) => {
    const { status, json } = await put('refused', body)
    expect([status, json.errors[0].path]).toEqual([400, path])
    expect((await get('refused')).status).toBe(404)
  })

  test('is refused where its server must not be asked', async () => {
    const strict = createOutbound({ process: 'api', what: 'requests for predictions', allowPrivate: false, allowNetworks: [] })
    const predictionTester = createPredictionTester({ sql: api.database.sql, outbound: strict, models: modelOf })
    const app = api.with({ predictionTester })
    for (const [url, words] of [
      ['http://models.example.com', /^Requests for predictions go over https only/],
      [`https://${'10.0.0.7'}`, /10\.0\.0\.7 is in a private network: requests for predictions do not go there/],
      [`https://${'169.254.169.254'}`, /metadata/],
      ['https://models.example.com:8000', /Port 8000/],
    ] as const) {
      const response = await app.request('/v1/prediction-models/inner', {
        method: 'PUT',
        body: JSON.stringify(modelBody(url)),
        headers: { authorization: 'Bearer demo-key-0123456789', 'content-type': 'application/json' },
      })
      const body = (await response.json()) as { errors: Array<{ path: string; detail: string }> }
      expect([response.status, body.errors]).toEqual([400, [{ path: '/url', detail: expect.stringMatching(words) }]])
    }
    strict.close()
  })

  test('beyond the most that a tenant may have is refused; those that are there can be changed', async () => {
    const { sql } = api.database
    await sql`
      insert into prediction_models (tenant, name, body, at_once, created_by)
      select 'demo', 'many-' || n, body, 1, 'test' from prediction_models, generate_series(1, ${MOST_PREDICTION_MODELS}::int) n
      where tenant = 'demo' and name = 'wear' limit ${MOST_PREDICTION_MODELS} - (select count(*) from prediction_models where tenant = 'demo')`
    const refused = await put('one-more', modelBody(URL))
    expect([refused.status, refused.json.detail]).toEqual([409, expect.stringContaining(`${MOST_PREDICTION_MODELS} prediction models`)])
    expect((await put('many-1', modelBody(URL))).status).toBe(200)
    await sql`delete from prediction_models where name like 'many-%'`
  })

  test('as docs/prediction.md shows one is taken, and answers as it says', async () => {
    const page = await readFile('docs/prediction.md', 'utf8')
    const examples = [...page.matchAll(/```json\n(\{\s*"url"[\s\S]*?)```/g)].map(([, json]) => JSON.parse(json!))
    expect(examples.length).toBeGreaterThan(0)
    for (const example of examples) expect((await put('documented', example)).status).toBeLessThan(300)
    const answer = JSON.parse(/```json\n(\{"id"[\s\S]*?)```/.exec(page)![1]!)
    const { probability, explanation } = scorePump(Object.values(answer.features))
    expect(answer).toMatchObject({ probability: expect.closeTo(probability, 4), explanation, high: true })
  })
})

describe('a test of one', () => {
  let reference: ModelServer
  let played: PlayedServer
  let outbound: Outbound
  let app: ReturnType<TestApi['with']>
  beforeAll(async () => {
    reference = await referenceServer()
    played = await playedServer()
    outbound = createOutbound({ process: 'api', allowPrivate: true, allowNetworks: [] })
    const { sql } = api.database
    app = api.with({
      predictionTester: createPredictionTester({ sql, outbound, models: modelOf }),
      limits: { predictionTests: { name: 'prediction-tests', quota: 12, windowSeconds: 60 } },
    })
    const incarnation = await pump(sql, 'p-1')
    await measured(sql, incarnation, 'vibration', [
      [60_000, 3.5],
      [1_000, 3.9],
    ])
    await pump(sql, 'silent')
    await put('reference', modelBody(reference.url))
    await put('played', modelBody(played.url, { auth: { bearer: 'very-secret' } }))
  })
  afterAll(async () => {
    outbound?.close()
    await Promise.all([reference?.stop(), played?.stop()])
  })

  // biome-ignore lint/suspicious/noExplicitAny: every use is an assertion
  async function ask(name: string, device: string): Promise<{ status: number; json: any; text: string }> {
    const response = await app.request(`/v1/prediction-models/${name}/test`, {
      method: 'POST',
      body: JSON.stringify({ device }),
      headers: { authorization: 'Bearer demo-key-0123456789', 'content-type': 'application/json' },
    })
    const text = await response.text()
    return { status: response.status, json: JSON.parse(text), text }
  }

  test('shows what it was asked with, what it answered, and what the server says of itself', async () => {
    const { status, json } = await ask('reference', 'p-1')
    expect([status, json]).toEqual([
      200,
      {
        ...{ device: 'p-1', ready: true, metadata: expect.objectContaining({ name: 'pump-failure', versions: ['1'] }) },
        features: { vibration: 3.9, vibrationChange: expect.closeTo(0.4, 6), temperature: 42 },
        ...{ probability: expect.closeTo(0.65, 2), high: false, explanation: 'vibration 3.9 mm/s (+4.8)', modelVersion: '1' },
        latencyMs: expect.any(Number),
      },
    ])
    expect(await api.database.sql`select from predictions`).toHaveLength(0)
  })

  test('says what is wrong, and asks once', async () => {
    played.answer = (_request, response) => response.writeHead(500).end('{"error":"out of memory"}')
    const { status, json, text } = await ask('played', 'p-1')
    expect([status, json]).toEqual([
      200,
      {
        ...{ device: 'p-1', ready: false, readyProblem: 'The server answered 500: out of memory' },
        metadata: { problem: 'The server answered 500: out of memory' },
        ...{ features: expect.any(Object), error: 'The server answered 500: out of memory.', latencyMs: expect.any(Number) },
      },
    ])
    expect(text).not.toContain('very-secret')
    expect(played.requests.map(({ method }) => method).toSorted()).toEqual(['GET', 'GET', 'POST'])
  })

  test('of a device that has measured nothing says which input lacks', async () => {
    const { json } = await ask('reference', 'silent')
    expect(json).toMatchObject({
      ready: true,
      error: expect.stringMatching(/^The input vibration \(telemetry\.vibration\.value\) has no value/),
    })
    expect(json.features).toBeUndefined()
  })

  test('needs a device and a model that are there', async () => {
    expect((await ask('reference', 'nobody')).json.detail).toBe('There is no device nobody.')
    expect((await ask('nothing', 'p-1')).json.detail).toBe('There is no prediction model nothing.')
  })

  test('is limited, since each is a request to somewhere else', async () => {
    const statuses = new Set<number>()
    for (let n = 0; n < 12; n++) statuses.add((await ask('nothing', 'p-1')).status)
    expect([...statuses]).toEqual([404, 429])
  })
})
