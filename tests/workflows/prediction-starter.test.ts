/** Predictions that were asked for, in a namespace of their own: workers start their workflows, of each model no more at once than it may have. */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { requestPrediction } from '../../infra/postgres/predictions.ts'
import { startPredictionStarter } from '../../infra/temporal/prediction-starter.ts'
import { INFERENCE_QUEUE } from '../../workflows/task-queues.ts'
import { inference, type PlayedServer, playedServer } from '../support/model-servers.ts'
import { predictionModel, pump } from '../support/predictions.ts'
import { until } from '../support/wait.ts'
import { startPredictionWorker } from './predictions.ts'
import { setting } from './setting.ts'

const INPUTS = { inputs: [{ name: 'age', path: 'attributes.age', default: 1 }], output: { probability: 'probability' } }

const here = setting((place) => startPredictionWorker({ ...place, taskQueue: INFERENCE_QUEUE, maxCachedWorkflows: 100 }), {
  ownNamespace: true,
})
let server: PlayedServer
let starter: { stop(): Promise<void> }
const begin = () => startPredictionStarter({ ...here, log: pino({ level: 'silent' }) })
beforeAll(async () => {
  server = await playedServer()
  starter = begin()
})
afterAll(async () => {
  await starter?.stop()
  await server?.stop()
})

async function asked(model: string, count: number): Promise<string[]> {
  const device = `p-${randomUUID()}`
  const incarnation = await pump(here.sql, device)
  const ids: string[] = []
  for (let n = 0; n < count; n++)
    ids.push(await requestPrediction(here.sql, { tenant: 'demo', incarnation, device, model, requestedBy: { kind: 'rule', name: 'r' } }))
  return ids
}

const standing = (ids: string[]) => here.sql<Array<{ status: string; workflow: string | null }>>`
  select status, workflow from predictions where id = any(${ids}::uuid[])`

test('one that is asked for is answered within a second or two, under its id', async () => {
  await predictionModel(here.sql, 'quick', server.url, INPUTS)
  const [id] = await asked('quick', 1)
  await until(async () => (await standing([id!]))[0]!.status === 'answered', 'it is answered')
  expect((await standing([id!]))[0]!.workflow).toBe(`prediction:demo:${id}`)
  expect((await here.worker.client.workflow.getHandle(`prediction:demo:${id}`).describe()).taskQueue).toBe(INFERENCE_QUEUE)
})

test('a slow model is asked no more at once than it may be, and keeps no other waiting', async () => {
  let [open, most] = [0, 0]
  const answers: Array<() => void> = []
  server.answer = (_request, response) => {
    most = Math.max(most, ++open)
    answers.push(() => {
      open--
      response.end(inference(0.2))
    })
  }
  const other = await playedServer()
  await predictionModel(here.sql, 'slow', server.url, { ...INPUTS, atOnce: 2, timeout: '30s' })
  await predictionModel(here.sql, 'brisk', other.url, INPUTS)
  const slow = await asked('slow', 5)
  await until(() => answers.length === 2, 'two are under way')
  const brisk = await asked('brisk', 3)
  await until(async () => (await standing(brisk)).every(({ status }) => status === 'answered'), 'the other model has answered')
  expect((await standing(slow)).filter(({ workflow }) => workflow !== null)).toHaveLength(2)
  await until(async () => {
    for (const answer of answers.splice(0)) answer()
    return (await standing(slow)).every(({ status }) => status === 'answered')
  }, 'all are answered')
  expect(most).toBe(2)
  server.answer = (_request, response) => response.end(inference(0.9))
  await other.stop()
})

test('one that Temporal has forgotten is asked again', async () => {
  await starter.stop()
  const [id] = await asked('quick', 1)
  await here.sql`update predictions set workflow = ${`prediction:demo:${id}`}, asked_at = now() - interval '1 minute' where id = ${id!}`
  starter = begin()
  await until(async () => (await standing([id!]))[0]!.status === 'answered', 'it is answered')
})

test('one whose workflow is ended by an operator has failed, and its place is free', async () => {
  const answers: Array<() => void> = []
  server.answer = (_request, response) => answers.push(() => response.end(inference(0.2)))
  await predictionModel(here.sql, 'single', server.url, { ...INPUTS, atOnce: 1, timeout: '30s' })
  const [first, second] = await asked('single', 2)
  await until(() => answers.length === 1, 'the first is under way')
  await here.worker.client.workflow.getHandle(`prediction:demo:${first}`).terminate('no longer wanted')
  await starter.stop()
  await here.sql`update predictions set asked_at = now() - interval '1 minute' where id = ${first!}`
  starter = begin()
  await until(() => answers.length === 2, 'the second is under way')
  for (const answer of answers) answer()
  await until(async () => (await standing([second!]))[0]!.status === 'answered', 'the second is answered')
  const [row] = await here.sql`select status, error from predictions where id = ${first!}`
  expect(row).toEqual({ status: 'failed', error: 'Its workflow was ended before it had an answer.' })
})
