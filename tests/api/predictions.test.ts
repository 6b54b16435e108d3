/** Predictions over REST, on real Postgres: asking, looking, and the outcome. Models are played: their answers are written as an activity writes them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { PredictionStore } from '../../activities/prediction-ports.ts'
import { createPredictionStore } from '../../infra/postgres/prediction-work.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { MOST_WAITING } from '../../twin-models/prediction/types.ts'
import { predictionModel, pump } from '../support/predictions.ts'
import { until } from '../support/wait.ts'
import { allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'

let api: TestApi
let store: PredictionStore
beforeAll(async () => {
  api = await testApi({ twinWaitMs: 150 })
  const { sql } = api.database
  store = createPredictionStore(sql, modelOf)
  for (const device of ['p-1', 'p-2']) await pump(sql, device)
  await pump(sql, 'p-1', { tenant: 'other' })
  for (const name of ['wear', 'leak']) await predictionModel(sql, name, 'https://models.example.com')
})
afterAll(() => api?.database.drop())
beforeEach(() => api.database.sql`truncate predictions`)

const ask = (device: string, model = 'wear', headers: Record<string, string> = { prefer: 'respond-async' }) =>
  api.ask('POST', `/v1/twins/${device}/predictions`, { body: { model }, headers })
const get = (id: string, key?: string) => api.ask('GET', `/v1/predictions/${id}`, key ? { key } : {})

async function answer(id: string, probability: number): Promise<void> {
  const of = { probability, horizonMs: 172_800_000, explanation: 'vibration 3.9', modelVersion: '3' }
  await store.settle((await store.find('demo', id))!, {
    features: { vibration: 3.9 },
    threshold: 0.7,
    answer: { kind: 'answered', ms: 12, ...of },
  })
}

async function fail(id: string): Promise<void> {
  await store.settle((await store.find('demo', id))!, {
    features: null,
    threshold: 0.7,
    answer: { kind: 'failed', ms: 0, error: 'The device was removed.' },
  })
}

/** Asked for and answered. */
async function answered(device: string, model: string, probability = 0.9): Promise<string> {
  const { json } = await ask(device, model)
  await answer(json.id, probability)
  return json.id
}

describe('asking', () => {
  test('gives a prediction that waits, and where to look', async () => {
    const { status, json, headers } = await ask('p-1')
    expect([status, headers.get('location'), headers.get('retry-after'), headers.get('preference-applied')]).toEqual([
      ...[202, `/v1/predictions/${json.id}`, '1', 'respond-async'],
    ])
    expect(json).toEqual({
      id: json.id,
      device: 'p-1',
      model: 'wear',
      requestedBy: { kind: 'person', name: 'admin' },
      status: 'waiting',
      askedAt: expect.any(String),
    })
    expect((await get(json.id)).json).toEqual(json)
  })

  test('waits for the answer as long as the caller wants, or a little', async () => {
    const waiting = ask('p-1', 'wear', { prefer: 'wait=10' })
    const id = await until(async () => (await api.database.sql<Array<{ id: string }>>`select id from predictions`)[0]?.id, 'it is asked')
    await answer(id, 0.9)
    const { status, json, headers } = await waiting
    expect([status, headers.get('location'), headers.get('preference-applied')]).toEqual([200, `/v1/predictions/${id}`, 'wait=10'])
    expect(json).toMatchObject({
      ...{
        status: 'answered',
        probability: 0.9,
        threshold: 0.7,
        high: true,
        horizon: '2d',
        explanation: 'vibration 3.9',
        modelVersion: '3',
      },
      ...{ features: { vibration: 3.9 }, latencyMs: 12, answeredAt: expect.any(String) },
    })
    expect((await ask('p-1', 'wear', {})).status).toBe(202)
  })

  test('under an Idempotency-Key the same request is one prediction for 24 hours, also for many at once, as it stands by then', async () => {
    const key = { prefer: 'respond-async', 'idempotency-key': '6a0f2b0e-1111-4222-8333-444455556666' }
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask('p-1', 'wear', key)))
    const { id } = answers[0]!.json
    expect(answers.map(({ status, json }) => [status, json.id])).toEqual(Array(4).fill([202, id]))
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(3)
    await answer(id, 0.9)
    const again = await ask('p-1', 'wear', key)
    expect([again.status, again.json.id, again.json.status, again.headers.get('location')]).toEqual([
      200,
      id,
      'answered',
      `/v1/predictions/${id}`,
    ])
    for (const { status, json } of await Promise.all([ask('p-1', 'leak', key), ask('p-2', 'wear', key)]))
      expect([status, json.errors]).toEqual([409, [{ path: 'header:Idempotency-Key', detail: expect.any(String) }]])
    await api.database.sql`update idempotency_keys set created_at = now() - interval '25 hours'`
    const anew = await ask('p-1', 'wear', key)
    expect([anew.headers.get('idempotency-replayed'), anew.json.id === id]).toEqual([null, false])
  })

  test('that is refused leaves its Idempotency-Key free, and a short key is refused', async () => {
    const key = { prefer: 'respond-async', 'idempotency-key': '0123456789abcdef-prediction' }
    expect((await ask('p-1', 'unknown', key)).status).toBe(400)
    const { status, headers } = await ask('p-1', 'wear', key)
    expect([status, headers.get('idempotency-replayed')]).toEqual([202, null])
    const short = await ask('p-1', 'wear', { 'idempotency-key': 'short' })
    expect([short.status, short.json.errors[0].path]).toEqual([400, 'header:Idempotency-Key'])
  })

  test('that fails ends too, with why', async () => {
    const { json } = await ask('p-1')
    await fail(json.id)
    const { json: failed } = await get(json.id)
    expect(failed).toMatchObject({ status: 'failed', error: 'The device was removed.' })
    for (const absent of ['probability', 'high', 'features', 'latencyMs']) expect(failed).not.toHaveProperty(absent)
  })

  test.each<[string, string, unknown, number, object]>([
    ['a device that is not there', 'nobody', { model: 'wear' }, 404, { detail: 'There is no device nobody.' }],
    ['a model that is not there', 'p-1', { model: 'nothing' }, 400, { errors: [{ path: '/model', detail: 'is no prediction model' }] }],
    ['no model', 'p-1', {}, 400, { errors: [{ path: '/model' }] }],
    ['more', 'p-1', { model: 'wear', features: {} }, 400, { errors: [{ path: '/features' }] }],
  ])('about %s is refused', async (_, device, body, status, problem) => {
    const refused = await api.ask('POST', `/v1/twins/${device}/predictions`, { body })
    expect([refused.status, refused.json]).toMatchObject([status, problem])
  })

  test('beyond what may wait is refused aloud', async () => {
    await api.database.sql`
      insert into predictions (id, tenant, incarnation, device, model, requested_kind, requested_by)
      select gen_random_uuid(), 'demo', 0, 'd', 'wear', 'rule', 'r' from generate_series(1, ${MOST_WAITING}::int)`
    const { status, json, headers } = await ask('p-1')
    expect([status, headers.get('retry-after'), json.detail]).toEqual([
      429,
      '10',
      expect.stringContaining(`${MOST_WAITING} predictions wait`),
    ])
  })
})

describe('predictions', () => {
  const ids = async (query: string) => (await allItems(api, `/v1/predictions?limit=2${query}`)).map(({ id }) => id)

  test('are listed newest first, by device, model, status, outcome and time', async () => {
    const since = new Date(Date.now() - 1).toISOString()
    const [a, b, c] = [await answered('p-1', 'wear'), await answered('p-1', 'leak'), await answered('p-2', 'wear')]
    const waits = (await ask('p-2', 'leak')).json.id
    await api.ask('PUT', `/v1/predictions/${b}/outcome`, { body: { outcome: 'failure' } })
    expect(await ids('')).toEqual([waits, c, b, a])
    expect(await ids('&device=p-1')).toEqual([b, a])
    expect(await ids('&model=wear')).toEqual([c, a])
    expect(await ids('&device=p-2&model=leak')).toEqual([waits])
    expect(await ids('&status=waiting')).toEqual([waits])
    expect(await ids('&outcome=failure')).toEqual([b])
    expect(await ids('&outcome=no-failure')).toEqual([])
    expect(await ids('&outcome=none')).toEqual([c, a])
    expect(await ids(`&since=${since}`)).toEqual([waits, c, b, a])
    expect(await ids(`&since=${new Date(Date.now() + 60_000).toISOString()}`)).toEqual([])
  })

  test('of one moment come page by page without a gap', async () => {
    const all = [await answered('p-1', 'wear'), await answered('p-1', 'wear'), await answered('p-1', 'wear')]
    await api.database.sql`update predictions set asked_at = '2026-11-27T06:00:00.123Z'`
    expect(await ids('')).toEqual(all.toReversed())
  })

  test.each(['status=late', 'outcome=maybe', 'since=yesterday', 'device=', 'cursor=x', 'colour=red'])(
    'are not listed with %s',
    async (query) => {
      expect((await api.ask('GET', `/v1/predictions?${query}`)).status).toBe(400)
    },
  )

  test('are a tenant’s own', async () => {
    const id = await answered('p-1', 'wear')
    expect((await get(id, OTHER_KEY)).status).toBe(404)
    expect((await api.ask('GET', '/v1/predictions', { key: OTHER_KEY })).json.items).toEqual([])
    const outcome = await api.ask('PUT', `/v1/predictions/${id}/outcome`, { body: { outcome: 'failure' }, key: OTHER_KEY })
    expect(outcome.status).toBe(404)
    expect((await get('7a1d6a0e-0c51-4f5e-9d0b-6a2f0b1c4d11')).status).toBe(404)
    expect((await get('x')).status).toBe(404)
  })
})

describe('an outcome', () => {
  const say = (id: string, body: unknown) => api.ask('PUT', `/v1/predictions/${id}/outcome`, { body })

  test('stands with the prediction, with who said it and when; the newest counts, and null takes it back', async () => {
    const id = await answered('p-1', 'wear')
    const { status, json } = await say(id, { outcome: 'failure', note: 'The bearing was worn.' })
    expect([status, json.outcome]).toEqual([
      200,
      { outcome: 'failure', at: expect.any(String), by: 'admin', note: 'The bearing was worn.' },
    ])
    expect((await get(id)).json).toEqual(json)
    expect((await say(id, { outcome: 'no-failure' })).json.outcome).toEqual({ outcome: 'no-failure', at: expect.any(String), by: 'admin' })
    expect((await say(id, { outcome: null })).json).not.toHaveProperty('outcome')
  })

  test('of what was not answered is refused, and so is what is none', async () => {
    const { json } = await ask('p-1')
    expect((await say(json.id, { outcome: 'failure' })).status).toBe(409)
    await fail(json.id)
    expect((await say(json.id, { outcome: 'failure' })).status).toBe(409)
    expect((await say(json.id, { outcome: 'maybe' })).json.errors).toEqual([
      { path: '/outcome', detail: 'must be failure or no-failure, or null' },
    ])
    expect((await say(json.id, {})).status).toBe(400)
  })
})
