/** Predictions on a real Temporal, a real Postgres and real model servers: with every task from the cache, and with none. */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ensurePartitions } from '../../infra/postgres/partitions.ts'
import { requestPrediction } from '../../infra/postgres/predictions.ts'
import { inference, type ModelServer, type PlayedServer, playedServer, referenceServer } from '../support/model-servers.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { measured, predictionModel, pump } from '../support/predictions.ts'
import { testTemporal } from '../support/temporal.ts'
import { type PredictionWorker, startPredictionWorker } from './predictions.ts'
import { details, messages } from './told.ts'

const BY = { kind: 'rule', name: 'vibration-high' } as const

let database: TestDatabase
let reference: ModelServer
let played: PlayedServer
beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  await ensurePartitions(sql, new Date())
  reference = await referenceServer()
  played = await playedServer()
  await predictionModel(sql, 'reference', reference.url)
  await predictionModel(sql, 'played', played.url, { output: { probability: 'probability' } })
}, 180_000)
afterAll(async () => {
  await Promise.all([reference?.stop(), played?.stop()])
  await database?.drop()
})

describe.each([
  ['without a cache', 0],
  ['with a cache', 100],
])('%s', (_, maxCachedWorkflows) => {
  let worker: PredictionWorker
  beforeAll(async () => {
    const { address } = await testTemporal()
    worker = await startPredictionWorker({ sql: database.sql, address, maxCachedWorkflows })
  }, 180_000)
  afterAll(() => worker?.stop())
  afterEach(() => {
    for (const name of Object.keys(worker.instead)) delete worker.instead[name as keyof typeof worker.instead]
    played.answer = (_request, response) => response.end(inference(0.9))
    played.requests.length = 0
  })

  /** A pump that vibrates, and a prediction that waits. */
  async function asked(model: string) {
    const device = `p-${randomUUID()}`
    const incarnation = await pump(database.sql, device)
    await measured(database.sql, incarnation, 'vibration', [
      [2_000, 3.6],
      [1_000, 3.9],
    ])
    const id = await requestPrediction(database.sql, { tenant: 'demo', incarnation, device, model, requestedBy: BY })
    return { id, device, incarnation }
  }

  test('one that was asked for is answered, with what the model was asked with', async () => {
    const { id, device } = await asked('reference')
    const handle = await worker.start({ tenant: 'demo', id })
    const end = await handle.result()
    expect(end).toMatchObject({
      ...{ id, device, status: 'answered', requestedBy: BY, horizonMs: 172_800_000, threshold: 0.7, modelVersion: '1', error: null },
      probability: expect.closeTo(0.632, 3),
      features: { vibration: 3.9, vibrationChange: expect.closeTo(0.3, 6), temperature: 42 },
    })
    expect(await worker.store.find('demo', id)).toEqual(end)
    expect(await eventsOf(id)).toHaveLength(1)
  })

  test('an operator starts one in the UI under any id, with one JSON object, and reads what came of it', async () => {
    const { device } = await asked('reference')
    const handle = await worker.start({ tenant: 'demo', device, model: 'reference' })
    const end = await handle.result()
    expect(end).toMatchObject({ status: 'answered', requestedBy: { kind: 'person', name: 'operator' } })
    expect(await worker.store.find('demo', end.id)).toEqual(end)
    const text = await details(handle)
    for (const part of [
      '### Prediction answered: 63.2 % within 2d; the risk is low, since high begins at 70 %',
      `Model \`reference\`, version \`1\`, about \`${device}\`. Asked by \`operator\` on 20`,
      '**Why, as the model says**\n\n`vibration 3.9 mm/s (+4.8)`',
      '**Asked with**\n\n- `vibration`: 3.9\n',
    ])
      expect(text).toContain(part)
    const { searchAttributes } = await handle.describe()
    expect(searchAttributes).toMatchObject({ Tenant: ['demo'], CurrentStatus: ['answered'] })
  })

  test('what the model does not answer is stored as failed, and the operator reads why', async () => {
    played.answer = (_request, response) => response.writeHead(404).end('{"error":"no such model"}')
    const { id } = await asked('played')
    const handle = await worker.start({ tenant: 'demo', id })
    expect(await handle.result()).toMatchObject({
      status: 'failed',
      error: 'The server answered 404: no such model.',
      features: { vibration: 3.9 },
    })
    expect(await details(handle)).toContain('### Prediction failed')
    expect(await details(handle)).toContain('**`The server answered 404: no such model.`**')
    expect(await eventsOf(id)).toEqual([])
  })

  test('without what the model is to be asked with, nothing is asked', async () => {
    const device = `p-${randomUUID()}`
    await pump(database.sql, device)
    const handle = await worker.start({ tenant: 'demo', device, model: 'played' })
    expect(await handle.result()).toMatchObject({
      status: 'failed',
      features: null,
      latencyMs: null,
      error: expect.stringContaining('The input vibration'),
    })
    expect(played.requests).toEqual([])
  })

  test.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /no prediction .* of tenant/],
    ['a tenant that is not there', { tenant: 'nobody', device: 'p', model: 'played' }, /There is no device p of tenant "nobody"/],
    ['a model that is not there', { tenant: 'demo', device: 'known', model: 'nothing' }, /There is no prediction model nothing/],
    ['no model', { tenant: 'demo', device: 'known' }, /must be the name of a prediction model/],
    ['more', { tenant: 'demo', device: 'known', model: 'played', colour: 'red' }, /colour/],
    ['an id that is none', { tenant: 'demo', id: 'x' }, /x is no id of a prediction/],
    ['an id that nobody has', { tenant: 'demo', id: randomUUID() }, /There is no prediction/],
    ['U+0000', { tenant: 'demo', device: 'a\0b', model: 'played' }, /cannot be taken: \/device holds U\+0000/],
  ])('%s as its input fails it at once, in words', async (_what, input, words) => {
    await database.sql`
      insert into devices (tenant, device, model, model_version, token_hash) values ('demo', 'known', 'pump', '1.0.0', '\\x01') on conflict do nothing`
    const error = await (await worker.start(input as never)).result().catch((failure: Error) => failure)
    expect(messages(error)).toMatch(words)
  })

  test('two workflows do not ask the same: what another works on is left to it, and what has ended is shown', async () => {
    const { id } = await asked('played')
    await database.sql`update predictions set workflow = 'another' where id = ${id}`
    const error = await (await worker.start({ tenant: 'demo', id })).result().catch((failure: Error) => failure)
    expect(messages(error)).toContain('The workflow another works on this prediction already')
    await database.sql`update predictions set status = 'failed', answered_at = now(), error = 'late' where id = ${id}`
    expect(await (await worker.start({ tenant: 'demo', id })).result()).toMatchObject({ status: 'failed', error: 'late' })
    expect(played.requests).toEqual([])
  })

  test('when Postgres is away after the model has answered, it is asked again, and the answer is written once', async () => {
    const { id } = await asked('played')
    let failures = 1
    worker.instead.settle = async (...args) => {
      if (failures-- > 0) throw new Error('connection lost')
      return worker.store.settle(...args)
    }
    expect(await (await worker.start({ tenant: 'demo', id })).result()).toMatchObject({ status: 'answered' })
    expect(played.requests).toHaveLength(2)
    expect(await eventsOf(id)).toHaveLength(1)
  })

  test('when the answer was written and its activity failed all the same, the model is not asked again', async () => {
    const { id } = await asked('played')
    let failures = 1
    worker.instead.settle = async (...args) => {
      const settled = await worker.store.settle(...args)
      if (failures-- > 0) throw new Error('connection lost')
      return settled
    }
    expect(await (await worker.start({ tenant: 'demo', id })).result()).toMatchObject({ status: 'answered' })
    expect(played.requests).toHaveLength(1)
    expect(await eventsOf(id)).toHaveLength(1)
  })

  test('a worker that stops while the model thinks leaves the question to the next one', async () => {
    const answers: Array<() => void> = []
    played.answer = (_request, response) => answers.push(() => response.end(inference(0.3)))
    const { id } = await asked('played')
    const handle = await worker.start({ tenant: 'demo', id })
    await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(1)
    await worker.restart()
    await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(2)
    answers[1]!()
    expect(await handle.result()).toMatchObject({ status: 'answered', probability: 0.3 })
    expect(await eventsOf(id)).toHaveLength(1)
  })

  test('it has few events', async () => {
    const { id } = await asked('played')
    const handle = await worker.start({ tenant: 'demo', id })
    await handle.result()
    const { events = [] } = await handle.fetchHistory()
    expect(events?.length).toBeLessThanOrEqual(12)
  })
})

async function eventsOf(id: string): Promise<object[]> {
  return database.sql`select kind from outbox where kind = 'prediction-made' and event::json ->> 'prediction' = ${id}`
}
