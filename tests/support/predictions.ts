/** Prediction models and readings as those who write them leave them, for tests of what comes after. */
import type { Sql } from '../../infra/postgres/connect.ts'
import { createPredictionModels } from '../../infra/postgres/prediction-models.ts'
import type { Value } from '../../twin-models/core/types.ts'
import { modelSettings } from './model-servers.ts'

export async function predictionModel(sql: Sql, name: string, url: string, more: object = {}, tenant = 'demo'): Promise<void> {
  const put = await createPredictionModels(sql).put(tenant, name, modelSettings(url, more), 'test')
  if (typeof put === 'string') throw new Error(put)
}

export async function pump(sql: Sql, device: string, { tenant = 'demo', attributes = {} } = {}): Promise<number> {
  const [row] = await sql<[{ incarnation: number }]>`
    insert into devices (tenant, device, model, model_version, attributes, token_hash)
    values (${tenant}, ${device}, 'pump', '1.0.0', ${JSON.stringify(attributes)}::text::jsonb, sha256(${`${tenant} ${device}`}::text::bytea))
    returning incarnation`
  return row.incarnation
}

/** As the processor stores them: `agoMs` before now, with the newest of each name as its latest value. */
export async function measured(
  sql: Sql,
  incarnation: number,
  name: string,
  readings: Array<[agoMs: number, value: Value]>,
  tenant = 'demo',
): Promise<void> {
  const now = Date.now()
  await sql`insert into properties (tenant, name) values (${tenant}, ${name}) on conflict do nothing`
  for (const [ago, value] of readings) {
    const at = new Date(now - ago)
    await sql`
      insert into telemetry (incarnation, property, ts, received_at, number, other)
      select ${incarnation}, property, ${at}, ${at}, ${typeof value === 'number' ? value : null}, ${typeof value === 'number' ? null : JSON.stringify(value)}
      from properties where tenant = ${tenant} and name = ${name}`
  }
  const [ago, value] = readings.reduce((newest, reading) => (reading[0] < newest[0] ? reading : newest))
  const latest = JSON.stringify({ [name]: [value, now - ago, now - ago] })
  await sql`
    insert into twin_inbox (incarnation, lane, latest) values (${incarnation}, 0, ${latest})
    on conflict (incarnation) do update set latest = (twin_inbox.latest::jsonb || excluded.latest::jsonb)::text`
}
