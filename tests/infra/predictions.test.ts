/** Predictions in Postgres: what a model is asked with, how many wait, whose turn it is, schedules, and what goes with time. */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { PredictionStore } from '../../activities/prediction-ports.ts'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { predictionStarted, unaskedPredictions } from '../../infra/postgres/prediction-asked.ts'
import { gatherFeatures } from '../../infra/postgres/prediction-features.ts'
import { createPredictionModels } from '../../infra/postgres/prediction-models.ts'
import { deleteOldPredictions, deletePredictionsBySize } from '../../infra/postgres/prediction-retention.ts'
import { askNextPage, expirePredictions } from '../../infra/postgres/prediction-schedule.ts'
import { createPredictionStore } from '../../infra/postgres/prediction-work.ts'
import { findPrediction, requestPrediction, setPredictionOutcome } from '../../infra/postgres/predictions.ts'
import { limitsFor, retain } from '../../infra/postgres/retention.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { EXPIRES_AFTER_MS, MOST_WAITING } from '../../twin-models/prediction/types.ts'
import { modelSettings } from '../support/model-servers.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { measured, predictionModel, pump } from '../support/predictions.ts'
import { until } from '../support/wait.ts'

const URL = 'https://models.example.com'
const HOUR = 3_600_000
const DAY = 24 * HOUR
const BY = { kind: 'rule', name: 'vibration-high' } as const

let database: TestDatabase
let store: PredictionStore
beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  store = createPredictionStore(sql, modelOf)
  await sql`insert into tenants (tenant) values ('demo'), ('other') on conflict do nothing`
  // Readings of yesterday have a place too.
  for (const ago of [DAY, 0]) await ensurePartitions(sql, new Date(Date.now() - ago))
})
afterAll(() => database?.drop())
beforeEach(async () => {
  await database.sql`truncate prediction_models, predictions, devices cascade`
})

const ask = (incarnation: number, device: string, model: string, tenant = 'demo') =>
  requestPrediction(database.sql, { tenant, incarnation, device, model, requestedBy: BY })
const stored = async (id: string) => (await findPrediction(database.sql, 'demo', id))!
const waiting = async () => (await database.sql`select from predictions where status = 'waiting'`).length

/** Rows, as they are when they wait or were answered. */
async function rows(count: number, { model = 'm', tenant = 'demo', status = 'waiting', agoMs = 0 } = {}): Promise<void> {
  await database.sql`
    insert into predictions (id, tenant, incarnation, device, model, requested_kind, requested_by, status, asked_at)
    select gen_random_uuid(), ${tenant}, 0, 'd', ${model}, 'rule', 'r', ${status}, now() - make_interval(secs => ${agoMs / 1000}) from generate_series(1, ${count}::int)`
}

describe('features', () => {
  const gather = (incarnation: number, inputs: object[]) =>
    gatherFeatures(database.sql, {
      ...{ tenant: 'demo', incarnation, models: modelOf, now: Date.now() },
      settings: modelSettings(URL, { inputs }),
    })
  const over = (take: string, time = '1h', more: object = {}) => ({
    name: take,
    path: 'telemetry.vibration.value',
    over: time,
    take,
    ...more,
  })

  test('are what the device measured in the time before now, and what else its twin knows', async () => {
    const incarnation = await pump(database.sql, 'p-1', { attributes: { age: 7 } })
    await measured(database.sql, incarnation, 'vibration', [
      [2 * HOUR, 100],
      [50 * 60_000, 2],
      [30 * 60_000, 5],
      [60_000, 4],
      [1_000, 3],
    ])
    await measured(database.sql, incarnation, 'running', [
      [40 * 60_000, true],
      [1_000, false],
    ])
    const found = await gather(incarnation, [
      ...['last', 'mean', 'min', 'max', 'stddev', 'count', 'change'].map((take) => over(take)),
      over('max', '1d', { name: 'maxOfDay' }),
      { name: 'now', path: 'telemetry.vibration.value' },
      { name: 'isRunning', path: 'telemetry.running.value' },
      { name: 'ran', path: 'telemetry.running.value', over: '1h', take: 'mean' },
      { name: 'age', path: 'attributes.age' },
      { name: 'isConnected', path: 'presence.connected' },
    ])
    expect(found).toEqual({
      features: {
        ...{ last: 3, mean: 3.5, min: 2, max: 5, stddev: expect.closeTo(1.118, 3), count: 4, change: 1, maxOfDay: 100 },
        ...{ now: 3, isRunning: 0, ran: 0.5, age: 7, isConnected: 0 },
      },
    })
  })

  test('of a prediction that is about what came since a repair leave out what was measured before it', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'wear', URL, { inputs: [over('max'), over('count'), over('change')] })
    await measured(database.sql, incarnation, 'vibration', [
      [120_000, 9],
      [50_000, 1.5],
      [1_000, 1.4],
    ])
    const asked = { tenant: 'demo', incarnation, device: 'p-1', model: 'wear', requestedBy: BY }
    const of = async (since?: number) => {
      const id = await requestPrediction(database.sql, { ...asked, ...(since !== undefined && { since }) })
      const { settings } = (await store.model(await stored(id)))!
      return store.features(await stored(id), settings)
    }
    expect(await of(Date.now() - 60_000)).toEqual({ features: { max: 1.5, count: 2, change: expect.closeTo(-0.1, 9) } })
    expect(await of()).toMatchObject({ features: { max: 9, count: 3 } })
    expect(await of(Date.now())).toEqual({ problem: expect.stringContaining('has no value') })
  })

  test('are of that device alone, and of numbers alone', async () => {
    const [incarnation, neighbour] = [await pump(database.sql, 'p-1'), await pump(database.sql, 'p-2')]
    await measured(database.sql, neighbour, 'vibration', [[1_000, 9]])
    await measured(database.sql, incarnation, 'vibration', [
      [2_000, 'broken'],
      [1_000, { x: 1 }],
    ])
    expect(await gather(incarnation, [over('count')])).toEqual({ features: { count: 0 } })
    expect(await gather(incarnation, [over('mean')])).toEqual({ problem: expect.stringContaining('has no value') })
    expect(await gather(incarnation, [over('mean', '1h', { path: 'telemetry.neverheard.value', default: 5 })])).toEqual({
      features: { mean: 5 },
    })
  })

  test('that Postgres cannot compute, and of a device that is gone, are a problem in words', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await measured(database.sql, incarnation, 'vibration', [
      [2_000, 1.7e308],
      [1_000, 1.7e308],
    ])
    expect(await gather(incarnation, [over('mean')])).toEqual({ problem: expect.stringContaining('out of range') })
    expect(await gather(incarnation + 1_000, [over('count')])).toEqual({ problem: 'The device was removed.' })
  })
})

describe('asking', () => {
  test('is a row, once for each id', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'wear', URL)
    const id = randomUUID()
    for (let n = 0; n < 2; n++)
      expect(
        await requestPrediction(database.sql, { tenant: 'demo', incarnation, device: 'p-1', model: 'wear', requestedBy: BY, id }),
      ).toBe(id)
    expect(await waiting()).toBe(1)
    expect(await stored(id)).toMatchObject({
      status: 'waiting',
      device: 'p-1',
      model: 'wear',
      requestedBy: BY,
      features: null,
      outcome: null,
    })
    const taken = requestPrediction(database.sql, {
      tenant: 'other',
      incarnation: await pump(database.sql, 'p-1', { tenant: 'other' }),
      device: 'p-1',
      model: 'wear',
      requestedBy: BY,
      id,
    })
    await expect(taken).rejects.toMatchObject({ code: 'invalid' })
  })

  test('of what is not there is refused, and leaves a transaction as it was', async () => {
    const { sql } = database
    const incarnation = await pump(sql, 'p-1')
    await predictionModel(sql, 'wear', URL)
    await predictionModel(sql, 'theirs', URL, {}, 'other')
    await sql.begin(async (tx) => {
      const asked = { tenant: 'demo', incarnation, device: 'p-1', model: 'wear', requestedBy: BY }
      await expect(requestPrediction(tx, { ...asked, model: 'theirs' })).rejects.toMatchObject({
        code: 'invalid',
        errors: [{ path: '/model' }],
      })
      await expect(requestPrediction(tx, { ...asked, incarnation: incarnation + 1 })).rejects.toMatchObject({
        errors: [{ path: '/device' }],
      })
      await expect(requestPrediction(tx, { ...asked, tenant: 'other' })).rejects.toMatchObject({ errors: [{ path: '/device' }] })
      await requestPrediction(tx, asked)
    })
    expect(await waiting()).toBe(1)
  })

  test('beyond what may wait of a tenant is refused aloud, until some are answered', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'wear', URL)
    await rows(MOST_WAITING, { tenant: 'other' })
    await rows(MOST_WAITING - 1)
    const last = await ask(incarnation, 'p-1', 'wear')
    await expect(ask(incarnation, 'p-1', 'wear')).rejects.toMatchObject({ code: 'too-many-requests', retryAfterSeconds: 10 })
    await store.settle(await stored(last), { features: null, threshold: null, answer: { kind: 'failed', ms: 0, error: 'e' } })
    await ask(incarnation, 'p-1', 'wear')
  })
})

describe('whose turn it is', () => {
  const turn = async () => (await unaskedPredictions(database.sql)).map(({ id }) => id)

  test('goes round the models, the oldest first, and no further than each may be asked at once', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'two', URL, { atOnce: 2 })
    await predictionModel(database.sql, 'one', URL, { atOnce: 1 })
    const two = [await ask(incarnation, 'p-1', 'two'), await ask(incarnation, 'p-1', 'two'), await ask(incarnation, 'p-1', 'two')]
    const one = [await ask(incarnation, 'p-1', 'one'), await ask(incarnation, 'p-1', 'one')]
    expect(await turn()).toEqual([two[0], one[0], two[1]])

    for (const id of [two[0]!, one[0]!]) await predictionStarted(database.sql, id, `prediction:demo:${id}`)
    expect(await turn()).toEqual([two[1]])
    await store.settle(await stored(two[0]!), { features: null, threshold: null, answer: { kind: 'failed', ms: 0, error: 'e' } })
    expect(await turn()).toEqual([two[1], two[2]])
  })

  test('is over when the model is removed: what waited has failed, what was answered stays', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'wear', URL)
    const [answered, waits] = [await ask(incarnation, 'p-1', 'wear'), await ask(incarnation, 'p-1', 'wear')]
    await store.settle(await stored(answered), { features: {}, threshold: 0.5, answer: answer(0.4) })
    expect(await createPredictionModels(database.sql).remove('demo', 'wear')).toBe(true)
    expect(await createPredictionModels(database.sql).remove('demo', 'wear')).toBe(false)
    expect(await turn()).toEqual([])
    expect(await stored(waits)).toMatchObject({ status: 'failed', error: expect.stringContaining('was removed') })
    expect(await stored(answered)).toMatchObject({ status: 'answered', probability: 0.4 })
  })

  test('is nobody’s after a quarter of an hour', async () => {
    await rows(3, { agoMs: EXPIRES_AFTER_MS + 1_000 })
    await rows(2, { agoMs: EXPIRES_AFTER_MS - 60_000 })
    expect([await expirePredictions(database.sql), await expirePredictions(database.sql), await waiting()]).toEqual([3, 0, 2])
    const [row] = await database.sql<[{ error: string }]>`select error from predictions where status = 'failed' limit 1`
    expect(row.error).toContain('not answered within 15 minutes')
  })
})

function answer(probability: number) {
  return { kind: 'answered' as const, ms: 12, probability, horizonMs: 2 * DAY, explanation: 'wear', modelVersion: '3' }
}

describe('an answer', () => {
  test('is written once, with what the model was asked with, and told by one event', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'wear', URL)
    const id = await ask(incarnation, 'p-1', 'wear')
    const before = await stored(id)
    const features = { vibration: 3.5, temperature: 58 }
    const settled = await store.settle(before, { features, threshold: 0.7, answer: answer(0.9) })
    expect(settled).toEqual({
      ...before,
      ...{ status: 'answered', answeredAt: expect.any(Number), features, probability: 0.9, threshold: 0.7, horizonMs: 2 * DAY },
      ...{ explanation: 'wear', modelVersion: '3', latencyMs: 12 },
    })
    expect(await store.settle(before, { features: null, threshold: 0.7, answer: { kind: 'failed', ms: 1, error: 'late' } })).toEqual(
      settled,
    )
    const events = await database.sql`select * from outbox where event::json ->> 'prediction' = ${id}`
    expect(events).toMatchObject([{ tenant: 'demo', incarnation, device: 'p-1', kind: 'prediction-made', revision: null }])
    expect(JSON.parse(events[0]!.event)).toEqual({
      ...{ at: settled.answeredAt, prediction: id, model: 'wear', probability: 0.9, threshold: 0.7, high: true, horizon: '2d' },
      ...{ explanation: 'wear', modelVersion: '3', requestedBy: BY },
    })
  })

  test('is worked on by one workflow', async () => {
    const incarnation = await pump(database.sql, 'p-1')
    await predictionModel(database.sql, 'wear', URL)
    const prediction = await stored(await ask(incarnation, 'p-1', 'wear'))
    for (let n = 0; n < 2; n++) await store.claim(prediction, 'prediction:demo:1')
    await expect(store.claim(prediction, 'another')).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('a schedule', () => {
  const schedule = (every = '1h', filter = "model = 'pump'") => ({ schedule: { every, filter } })
  const failures: unknown[] = []
  const page = () => askNextPage(database.sql, (_, error) => failures.push(error))
  const all = async () => {
    const pages = []
    for (let next = await page(); next; next = await page()) pages.push(next.asked)
    return pages
  }
  const nextAt = async (name: string) => (await createPredictionModels(database.sql).find('demo', name))!.nextAt!

  async function fleet(count: number): Promise<void> {
    await database.sql`
      insert into devices (tenant, device, model, model_version, attributes, token_hash)
      select 'demo', 'p-' || n, 'pump', '1.0.0', jsonb_build_object('site', n % 2), sha256(('f' || n)::bytea) from generate_series(1, ${count}::int) n`
  }

  test('asks about all devices of its filter, page by page, and again when its time has come', async () => {
    await fleet(250)
    await predictionModel(database.sql, 'wear', URL, schedule('1h', "model = 'pump' and attributes.site = 1"))
    const begun = Date.now()
    expect(await all()).toEqual([100, 25])
    const due = await nextAt('wear')
    expect(due - begun).toBeGreaterThan(HOUR - 60_000)
    expect(due - Date.now()).toBeLessThanOrEqual(HOUR)
    const asked = await database.sql`select requested_kind, requested_by, count(distinct incarnation)::int from predictions group by 1, 2`
    expect(asked).toEqual([{ requested_kind: 'schedule', requested_by: 'wear', count: 125 }])
    await database.sql`update predictions set status = 'answered'`
    await database.sql`update prediction_models set next_at = now()`
    expect(await all()).toEqual([100, 25])
  })

  test('leaves room for others, and goes on where it stood', async () => {
    await fleet(1_200)
    await predictionModel(database.sql, 'wear', URL, schedule())
    expect(await all()).toEqual([100, 100, 100, 100, 100])
    await database.sql`update predictions set status = 'answered' where number in (select number from predictions where status = 'waiting' limit 30)`
    expect(await all()).toEqual([30])
    for (let round = 0; round < 4; round++) {
      await database.sql`update predictions set status = 'answered'`
      await all()
    }
    const [row] = await database.sql`select count(*)::int as count, count(distinct incarnation)::int as devices from predictions`
    expect(row).toEqual({ count: 1_200, devices: 1_200 })
  })

  test('of one tenant that has no room holds up no other', async () => {
    await predictionModel(database.sql, 'full', URL, schedule())
    await predictionModel(database.sql, 'theirs', URL, schedule(), 'other')
    await database.sql`update prediction_models set next_at = now() - interval '1 minute' where name = 'full'`
    await rows(500)
    await pump(database.sql, 'p-1', { tenant: 'other' })
    expect(await page()).toEqual({ tenant: 'other', model: 'theirs', asked: 1 })
    expect(await page()).toBeUndefined()
  })

  test('passes by a device whose prediction still waits, and does not make up for missed rounds', async () => {
    await fleet(2)
    await predictionModel(database.sql, 'wear', URL, schedule())
    expect(await all()).toEqual([2])
    await database.sql`update predictions set status = 'answered' where device = 'p-1'`
    await database.sql`update prediction_models set next_at = now() - interval '5 hours 20 minutes'`
    expect(await all()).toEqual([1])
    const wait = (await nextAt('wear')) - Date.now()
    expect(wait / 60_000).toBeGreaterThan(39)
    expect(wait / 60_000).toBeLessThanOrEqual(40)
  })

  test('begins at once when it is made or changed, goes on when only the rest is, and ends when it is taken away', async () => {
    await fleet(1)
    await predictionModel(database.sql, 'wear', URL, schedule())
    expect(await all()).toEqual([1])
    const due = await nextAt('wear')
    await predictionModel(database.sql, 'wear', URL, { ...schedule(), threshold: 0.9 })
    expect(await nextAt('wear')).toBe(due)
    await predictionModel(database.sql, 'wear', URL, schedule('2h'))
    expect(await all()).toEqual([0])
    await predictionModel(database.sql, 'wear', URL)
    expect(await createPredictionModels(database.sql).find('demo', 'wear')).toMatchObject({ nextAt: null })
    expect(await page()).toBeUndefined()
  })

  test('whose filter no longer works waits for its next round, and the others go on', async () => {
    await fleet(1)
    await predictionModel(database.sql, 'broken', URL, schedule())
    await database.sql`update prediction_models set body = replace(body, 'model = ', 'model == ')`
    await predictionModel(database.sql, 'wear', URL, schedule())
    expect(await all()).toEqual([0, 1])
    expect(failures).toMatchObject([{ code: 'invalid' }])
    expect((await nextAt('broken')) - Date.now()).toBeGreaterThan(HOUR - 60_000)
  })

  test('is worked on by several at once without asking twice', async () => {
    await fleet(250)
    await predictionModel(database.sql, 'wear', URL, schedule())
    await Promise.all([all(), all(), all()])
    const [row] = await database.sql`select count(*)::int as count, count(distinct incarnation)::int as devices from predictions`
    expect(row).toEqual({ count: 250, devices: 250 })
  })
})

describe('what goes with time', () => {
  test('is what is older than 90 days, or two years where somebody said what became of it', async () => {
    await rows(3, { status: 'answered', agoMs: 91 * DAY })
    await rows(1, { status: 'answered', agoMs: 89 * DAY })
    const [kept] = await database.sql<[{ id: string }]>`select id from predictions order by asked_at limit 1`
    await setPredictionOutcome(database.sql, 'demo', kept.id, { outcome: 'failure', note: null, by: 'ann' })
    expect(await deleteOldPredictions(database.sql, new Date())).toBe(2)
    expect(await deleteOldPredictions(database.sql, new Date(Date.now() + 600 * DAY))).toBe(1)
    expect(await deleteOldPredictions(database.sql, new Date(Date.now() + 640 * DAY))).toBe(1)
  })

  test('is what is too much: the oldest first, those with an outcome and those that wait last', async () => {
    await rows(300, { status: 'answered' })
    const [known] = await database.sql<[{ id: string }]>`select id from predictions order by number limit 1`
    await setPredictionOutcome(database.sql, 'demo', known.id, { outcome: 'no-failure', note: null, by: 'ann' })
    await rows(10)
    await database.sql`analyze predictions`
    await until(async () => (await deletePredictionsBySize(database.sql, 100 * 500)) > 100, 'Postgres knows how many there are')
    const left = await database.sql`select status, outcome is not null as known, count(*)::int from predictions group by 1, 2 order by 1, 2`
    expect(left).toMatchObject([
      { status: 'answered', known: false },
      { status: 'answered', known: true, count: 1 },
      { status: 'waiting', count: 10 },
    ])
    expect(await deletePredictionsBySize(database.sql, 1e9)).toBe(0)
  })

  test('goes with the rest of retention', async () => {
    await rows(2, { status: 'answered', agoMs: 91 * DAY })
    const done = await retain({ sql: database.sql, log: pino({ level: 'silent' }), limits: limitsFor(), now: Date.now() })
    expect(done).toMatchObject({ predictions: 2 })
  })
})
