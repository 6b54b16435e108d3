/** Steering rollouts over REST: what is taken, what makes no sense and why, and who may approve. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { untoldRollouts } from '../../infra/postgres/rollout-asked.ts'
import type { RolloutState } from '../../twin-models/core/rollout-types.ts'
import { ANN_KEY, type RolloutApi, rolloutApi } from './test-rollouts.ts'

const ACTIONS = ['approve', 'pause', 'resume', 'advance', 'halt', 'rollback', 'cancel', 'pace', 'exclude']

let api: RolloutApi
beforeAll(async () => {
  api = await rolloutApi()
})
afterAll(() => api?.database.drop())

const askedOf = async (id: string) => (await api.show(id)).asked

describe('steering one', () => {
  test('approval begins it, and is the caller’s', async () => {
    const { json } = await api.draft()
    const approved = await api.act(json.id, 'approve', undefined, ANN_KEY)
    expect(approved.status).toBe(202)
    expect(approved.json).toMatchObject({ id: json.id, status: 'draft', answer: 'It is approved and begins.' })
    expect(approved.json.asked).toEqual([{ by: 'ann', action: 'approve' }])
    const untold = (await untoldRollouts(api.database.sql)).find(({ id }) => id === json.id)
    expect(untold?.asked).toEqual([{ id: expect.any(String), by: 'ann', ask: { action: 'approve', by: 'ann' } }])
  })

  test('four eyes: who asked for it does not approve it, and nobody says to be somebody else', async () => {
    const { json } = await api.draft({ approval: 'four-eyes' })
    const own = await api.act(json.id, 'approve')
    expect([own.status, own.json.detail]).toEqual([409, 'admin asked for it: somebody else has to approve it.'])
    const posing = await api.act(json.id, 'approve', { by: 'ann' })
    expect([posing.status, posing.json.errors[0].path]).toEqual([400, '/by'])
    expect(await askedOf(json.id)).toEqual([])
    expect((await api.act(json.id, 'approve', undefined, ANN_KEY)).status).toBe(202)
  })

  test('a key approves whose name its workflow takes, and another is refused in words', async () => {
    const { sql } = api.database
    const { json } = await api.draft()
    const approve = async (name: string) => {
      const key = `key-${randomUUID()}`
      await sql`insert into api_keys (key_hash, tenant, name) values (sha256(${key}::text::bytea), 'demo', ${name})`
      return api.act(json.id, 'approve', undefined, key)
    }
    for (const name of ['n'.repeat(201), 'two\nlines', '']) {
      const refused = await approve(name)
      expect([refused.status, refused.json.detail]).toEqual([409, expect.stringContaining('must have 1 to 200 characters in one line')])
    }
    expect(await askedOf(json.id)).toEqual([])
    expect((await approve('n'.repeat(200))).status).toBe(202)
    expect((await askedOf(json.id))[0]).toMatchObject({ by: 'n'.repeat(200) })
  })

  test('nothing to say is said by an empty body too, whatever its type', async () => {
    const { json } = await api.draft()
    const approved = await api.ask('POST', `/v1/rollouts/${json.id}/approve`, { body: '', headers: { 'content-type': 'application/json' } })
    expect([approved.status, approved.json.answer]).toEqual([202, 'It is approved and begins.'])
  })

  test('what was asked before counts, though its workflow is yet to be told', async () => {
    const { json } = await api.draft()
    expect((await api.act(json.id, 'pause')).json.detail).toBe('It is a draft: approve it or cancel it.')
    await api.act(json.id, 'approve')
    expect((await api.act(json.id, 'approve')).json.detail).toBe('Only a draft is approved: it is running.')
    expect((await api.act(json.id, 'pause')).status).toBe(202)
    expect((await api.act(json.id, 'pause')).json.detail).toBe('It is paused already.')
    expect((await api.act(json.id, 'resume')).status).toBe(202)
    expect((await askedOf(json.id)).map(({ action }: { action: string }) => action)).toEqual(['approve', 'pause', 'resume'])
  })

  test('the pace is shown as it is, beside what was asked for first', async () => {
    const { json } = await api.draft({ perSecond: 20 })
    expect(json).toMatchObject({ pace: { perSecond: 20, atOnce: 10_000 }, spec: { perSecond: 20 } })
    await api.stands(json.id, { status: 'running', chosen: true, pace: { perSecond: 2.5, atOnce: 100 } })
    expect(await api.show(json.id)).toMatchObject({ pace: { perSecond: 2.5, atOnce: 100 }, spec: { perSecond: 20 } })
  })

  test('each has its argument, and is told as it was asked', async () => {
    const id = await api.running()
    const asks: Array<[string, object | undefined, string]> = [
      ['pace', { perSecond: 2.5 }, 'at most 2.5 devices a second'],
      ['exclude', { device: 't-1' }, 't-1 is left out'],
      ['advance', undefined, 'It goes on to wave 2'],
      ['halt', { running: 'cancel' }, 'Updates under way are cancelled.'],
      ['resume', {}, 'It goes on.'],
      ['rollback', { which: 'failed' }, 'It rolls back.'],
      ['cancel', { running: 'continue' }, 'It ends'],
    ]
    for (const [action, body, answer] of asks) {
      const { status, json } = await api.act(id, action, body)
      expect([status, json.answer]).toEqual([202, expect.stringContaining(answer)])
    }
    expect(await askedOf(id)).toEqual(asks.map(([action, body]) => ({ by: 'admin', action, ...body })))
    const told = (await untoldRollouts(api.database.sql)).find((row) => row.id === id)!.asked
    expect(told.map(({ ask }) => ask)).toEqual(asks.map(([action, body]) => ({ action, ...body })))
  })

  test.each<[string, object, string]>([
    ['pace', {}, ''],
    ['pace', { perSecond: 0 }, '/perSecond'],
    ['pace', { atOnce: 0.5 }, '/atOnce'],
    ['halt', { running: 'stop' }, '/running'],
    ['rollback', { which: 'all' }, '/which'],
    ['exclude', {}, '/device'],
    ['exclude', { device: 'absent' }, '/device'],
    ['pause', { until: 'tomorrow' }, '/until'],
    ['advance', { wave: 3 }, '/wave'],
  ])('%s with %j is refused by name', async (action, body, path) => {
    const id = await api.running()
    const before = await askedOf(id)
    const { status, json } = await api.act(id, action, body)
    expect([status, json.errors[0].path]).toEqual([400, path])
    expect(await askedOf(id)).toEqual(before)
  })

  test.each<[string, Partial<RolloutState>, Record<string, string>]>([
    [
      'draft',
      {},
      {
        ...{ pause: 'It is a draft', resume: 'It is a draft', advance: 'It is a draft', halt: 'It is a draft' },
        rollback: 'It is a draft',
      },
    ],
    ['running', { status: 'running', chosen: true }, { approve: 'Only a draft', resume: 'It is neither paused nor halted' }],
    [
      'paused',
      { status: 'paused', chosen: true },
      { approve: 'Only a draft', pause: 'It is paused already.', advance: 'It is paused: resume it first.' },
    ],
    [
      'halted',
      { status: 'halted', chosen: true, reason: 'Too many failed.' },
      {
        ...{ approve: 'Only a draft', pause: 'It is halted', advance: 'It is halted: resume it first.', halt: 'It is halted already.' },
      },
    ],
    [
      'rolling-back',
      { status: 'rolling-back', direction: 'back', chosen: true },
      { approve: 'Only a draft', resume: 'neither', rollback: 'It rolls back already.' },
    ],
    [
      'completed',
      { status: 'completed', chosen: true },
      {
        ...Object.fromEntries(ACTIONS.map((action) => [action, 'It is completed'])),
        approve: 'Only a draft',
        rollback: '',
      },
    ],
    [
      'cancelled',
      { status: 'cancelled', chosen: true },
      {
        ...Object.fromEntries(ACTIONS.map((action) => [action, 'It is cancelled already.'])),
        approve: 'Only a draft',
        rollback: '',
      },
    ],
  ])('%s: what makes no sense is refused with a reason, and the rest is taken', async (status, state, refusals) => {
    const { json } = await api.draft()
    await api.stands(json.id, state)
    expect((await api.show(json.id)).status).toBe(status)
    const bodies: Record<string, object> = { pace: { perSecond: 1 }, exclude: { device: 't-1' } }
    for (const action of ACTIONS) {
      await api.database.sql`update rollouts set asked = null where id = ${json.id}`
      const answer = await api.act(json.id, action, bodies[action])
      const refusal = refusals[action]
      if (!refusal) expect([action, answer.status]).toEqual([action, 202])
      else expect([action, answer.status, answer.json.detail]).toEqual([action, 409, expect.stringContaining(refusal)])
      expect(await askedOf(json.id)).toHaveLength(refusal ? 0 : 1)
    }
  })

  test('one whose firmware must not go to further devices is not resumed, and says why', async () => {
    const id = await api.running()
    await api.stands(id, { status: 'halted', reason: 'Too many failed.' })
    const withdraw = (at: Date | null) => api.database.sql`update firmware set withdrawn_at = ${at} where id = ${api.next.id}`
    await withdraw(new Date())
    const { status, json } = await api.act(id, 'resume')
    expect([status, json.detail]).toEqual([409, expect.stringContaining('must not go to further devices. It was withdrawn.')])
    await withdraw(null)
    expect((await api.act(id, 'resume')).status).toBe(202)
  })

  test('while very much waits for its workflow no more is taken', async () => {
    const id = await api.running()
    const asked = Array.from({ length: 100 }, (_, i) => ({ id: `${i}`, by: 'admin', ask: { action: 'pace', perSecond: 1 } }))
    await api.database.sql`update rollouts set asked = ${JSON.stringify(asked)} where id = ${id}`
    const { status, headers } = await api.act(id, 'pause')
    expect([status, headers.get('retry-after')]).toEqual([503, '5'])
    await api.stands(id)
    expect((await api.act(id, 'pause')).status).toBe(202)
  })
})
