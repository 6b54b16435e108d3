/** Predictions, asked for by a rule and by an operator: one is answered, one fails. Each leaves a workflow behind. */
import { randomUUID } from 'node:crypto'
import { requestPrediction } from '../../infra/postgres/predictions.ts'
import { referenceServer } from '../support/model-servers.ts'
import { measured, predictionModel, pump } from '../support/predictions.ts'
import type { Scenes } from './recordings.ts'

export const predictionScenes: Scenes = {
  'a prediction is answered': async ({ sql, predictions }) => {
    const server = await referenceServer()
    const [device, model] = [`p-${randomUUID()}`, `wear-${randomUUID()}`]
    await predictionModel(sql, model, server.url)
    const incarnation = await pump(sql, device)
    await measured(sql, incarnation, 'vibration', [[1_000, 3.9]])
    const id = await requestPrediction(sql, {
      tenant: 'demo',
      incarnation,
      device,
      model,
      requestedBy: { kind: 'rule', name: 'vibration-high' },
    })
    const handle = await predictions.start({ tenant: 'demo', id })
    await handle.result()
    await server.stop()
    return handle
  },
  'a prediction fails': async ({ sql, predictions }) => {
    const [device, model] = [`p-${randomUUID()}`, `wear-${randomUUID()}`]
    await predictionModel(sql, model, 'https://models.example.com')
    await pump(sql, device)
    const handle = await predictions.start({ tenant: 'demo', device, model })
    await handle.result()
    return handle
  },
}
