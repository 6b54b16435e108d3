/** Rollouts over REST, their workflow played by the store that it uses: a fleet at the site `north`, and artifacts for it. */
import { hash } from 'node:crypto'
import { rolloutStarted, rolloutTold, untoldRollouts } from '../../infra/postgres/rollout-asked.ts'
import { createRolloutStore } from '../../infra/postgres/rollouts.ts'
import { initialRollout } from '../../twin-models/core/rollout.ts'
import type { RolloutState } from '../../twin-models/core/rollout-types.ts'
import { type Answer, type TestApi, testApi } from './test-api.ts'
import { trustedKey, type Uploaded, uploaded } from './test-firmware.ts'

/** Of the tenant demo, too. */
export const ANN_KEY = 'ann-key-0123456789'

export const WANTED = {
  name: 'To 2.0.0',
  firmware: { name: 'thermostat', version: '2.0.0' },
  filter: "attributes.site = 'north'",
  waves: [{ percent: 25 }, { percent: 100 }],
}
/** Of its twelve devices four have no part in that. */
export const LEFT_OUT = [
  { reason: 'already-installed', devices: 1, sample: ['has-it'] },
  { reason: 'model', devices: 1, sample: ['is-pump'] },
  { reason: 'older', devices: 1, sample: ['is-newer'] },
  { reason: 'pinned', devices: 1, sample: ['is-pinned'] },
]

export interface RolloutApi extends TestApi {
  old: Uploaded
  next: Uploaded
  draft(more?: object, headers?: Record<string, string>): Promise<Answer>
  show(id: string): Promise<Answer['json']>
  act(id: string, action: string, body?: object, key?: string): Promise<Answer>
  /** Its workflow: what was asked until now is done, and then it stands like this. */
  stands(id: string, more?: Partial<RolloutState>): Promise<void>
  /** One that runs, with its devices in their waves. */
  running(more?: object): Promise<string>
}

export async function rolloutApi(): Promise<RolloutApi> {
  const api = await testApi()
  const { sql } = api.database
  await sql`insert into api_keys (key_hash, tenant, name) values (${hash('sha256', ANN_KEY, 'buffer')}, 'demo', 'ann')`
  const key = await trustedKey(api)
  const old = await uploaded(api, key, { version: '1.0.0', counter: 1, rollbackTo: [] })
  const next = await uploaded(api, key, { version: '2.0.0', counter: 2, rollbackTo: ['1.0.0'] })
  const newest = await uploaded(api, key, { version: '3.0.0', counter: 3, rollbackTo: ['2.0.0'] })
  for (let n = 1; n <= 8; n++) await device(`t-${n}`, old)
  await device('has-it', next)
  await device('is-newer', newest)
  await device('is-pump', old, 'pump')
  await device('is-pinned', old)
  await api.ask('PUT', '/v1/groups/museum', { body: { filter: "id = 'is-pinned'", firmwarePin: '1.0.0' } })
  await api.ask('PUT', '/v1/groups/pilots', { body: { filter: "id in ('t-7', 't-8')" } })

  async function device(id: string, runs: Uploaded, model?: string): Promise<void> {
    await api.register(id, { site: 'north' }, undefined, model)
    const decided = { presence: { status: 'online' }, firmware: runs.firmware }
    await sql`update devices set decided = ${JSON.stringify(decided)}::text::jsonb where tenant = 'demo' and device = ${id}`
  }

  const draft: RolloutApi['draft'] = (more = {}, headers = {}) => api.ask('POST', '/v1/rollouts', { body: { ...WANTED, ...more }, headers })
  const act: RolloutApi['act'] = (id, action, body, key) =>
    api.ask('POST', `/v1/rollouts/${id}/${action}`, { ...(body && { body }), ...(key !== undefined && { key }) })

  const stands: RolloutApi['stands'] = async (id, more = {}) => {
    const store = createRolloutStore(sql, sql)
    const rollout = (await store.find('demo', id))!
    const before = rollout.carried ?? { n: 0, state: initialRollout({ ...rollout.spec, by: rollout.by }), heard: [] }
    const state = { ...before.state, ...more }
    await rolloutStarted(sql, id, 'w')
    const asked = (await untoldRollouts(sql)).find((row) => row.id === id)?.asked ?? []
    if (asked.length > 0) await rolloutTold(sql, id, asked)
    if (state.chosen) await store.choose(rollout, state.direction)
    const { status } = state
    const isEnd = status === 'completed' || status === 'cancelled'
    await store.step(rollout, {
      n: before.n + 1,
      state,
      heard: before.heard,
      detailed: false,
      ...(isEnd && { step: { kind: 'done', status } }),
    })
  }

  return {
    ...{ ...api, old, next, draft, act, stands },
    show: async (id) => (await api.ask('GET', `/v1/rollouts/${id}`)).json,
    async running(more) {
      const { json } = await draft(more)
      await act(json.id, 'approve')
      await stands(json.id, { status: 'running', approvedBy: 'admin', chosen: true })
      return json.id
    },
  }
}
