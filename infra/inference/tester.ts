/** A model asked about a device, once and for a person who looks on: with what its server says of itself, and nothing stored. */
import { randomUUID } from 'node:crypto'
import type { PredictionTester } from '../../api/prediction-ports.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import type { Outbound } from '../http/outbound.ts'
import type { Sql } from '../postgres/connect.ts'
import { gatherFeatures } from '../postgres/prediction-features.ts'
import { servedModel } from '../postgres/prediction-models.ts'
import { createInference } from './client.ts'

export interface TesterOptions {
  sql: Sql
  outbound: Pick<Outbound, 'ask' | 'refusal'>
  models: (name: string) => DeviceModel | undefined
}

export function createPredictionTester({ sql, outbound, models }: TesterOptions): PredictionTester {
  const inference = createInference({ outbound })
  return {
    refusal: (url) => outbound.refusal(url),
    async test({ tenant, name, incarnation }) {
      const model = await servedModel(sql, tenant, name)
      if (!model) return undefined
      const features = await gatherFeatures(sql, { tenant, incarnation, settings: model.settings, models, now: Date.now() })
      const look = await inference.look(model)
      if ('problem' in features) return { ...look, features }
      return { ...look, features, answer: await inference.try(model, features.features, randomUUID()) }
    },
  }
}
