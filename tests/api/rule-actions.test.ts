/** What rules do when their alarms are raised and cleared, each kind on real Postgres, and how REST shows it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { actionId, uuidOf } from '../../api/alarms/action-id.ts'
import { createCarryOut } from '../../api/alarms/carry-out.ts'
import { planActions } from '../../api/alarms/plan-actions.ts'
import type { PredictionAsk, TicketAsk } from '../../api/alarms/ports.ts'
import { webhookEvent } from '../../api/webhooks/body.ts'
import { deleteEndedActions } from '../../infra/postgres/rule-actions.ts'
import { modelOf } from '../../twin-models/devices/index.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { until } from '../support/wait.ts'
import { ActionKit } from './action-kit.ts'
import { allItems, OTHER_KEY } from './test-api.ts'

const tickets: TicketAsk[] = []
const predictions: PredictionAsk[] = []
/** Set for a while: tickets cannot be opened. */
let trouble: Error | undefined

let kit: ActionKit
beforeAll(async () => {
  kit = await ActionKit.start({
    openTicket: async (sql, ticket) => {
      tickets.push(ticket)
      if (trouble) throw trouble
      if (ticket.title === 'Nobody there') return undefined
      const [row] = await sql<[{ id: string }]>`select 'ticket-' || ${ticket.n}::text as id`
      return row.id
    },
    requestPrediction: async (_sql, prediction) => {
      predictions.push(prediction)
      return 'prediction-1'
    },
  })
})
afterAll(() => kit?.stop())

const register = async (id: string, model = 'thermostat') => (await kit.api.register(id, {}, undefined, model)).incarnation

describe('an action', () => {
  test('`command` writes a command with its request to the twin, under an id that is always the same', async () => {
    const incarnation = await register('c-1', 'lock')
    await kit.rule('c', [
      { kind: 'notify', target: 'ops' },
      { kind: 'command', name: 'lock' },
    ])
    await kit.happens([{ incarnation, rule: 'c', n: 1 }])
    await kit.worksOff()
    const id = actionId({ incarnation, n: 1, turn: 'raised', place: 1 })
    expect(await kit.actions(incarnation)).toMatchObject([{ id, place: 1, kind: 'command', state: 'done', result: id, depth: 0 }])
    const { json } = await kit.api.ask('GET', `/v1/commands/${id}`)
    expect(json).toMatchObject({ device: 'c-1', name: 'lock', status: 'queued', requestedBy: 'rule c' })
    const requests = await kit.sql`select kind, body from twin_requests where incarnation = ${incarnation}`
    expect(requests.map(({ kind, body }) => [kind, JSON.parse(body)])).toMatchObject([['command', { id, name: 'lock', by: 'rule c' }]])
  })

  test('`command` goes to another device of the tenant where it names one, and to none of another tenant', async () => {
    const incarnation = await register('c-2')
    const other = await register('c-3', 'lock')
    await kit.api.register('foreign', {}, OTHER_KEY, 'lock')
    await kit.rule('across', [
      { kind: 'command', name: 'lock', device: 'c-3' },
      { kind: 'command', name: 'lock', device: 'foreign' },
    ])
    await kit.happens([{ incarnation, rule: 'across', n: 1 }])
    await kit.worksOff()
    const [one, two] = await kit.actions(incarnation)
    expect([one!.state, two!.state, two!.error]).toEqual(['done', 'failed', 'There is no device foreign.'])
    const commands = await kit.sql`select incarnation from commands where requested_by = 'rule across'`
    expect(commands).toEqual([{ incarnation: other }])
  })

  test('that does not fit the model of the device is failed, with the reason', async () => {
    const incarnation = await register('c-4')
    await kit.rule('wrong', [
      { kind: 'command', name: 'fly' },
      { kind: 'command', name: 'identify', input: { times: 3 } },
      { kind: 'wish', desired: { targetTemperature: 'warm' } },
      { kind: 'wish', desired: { temperature: 20 } },
      { kind: 'sing', text: 'la' },
      { kind: 'command', name: 'identify' },
    ])
    await kit.happens([{ incarnation, rule: 'wrong', n: 1 }])
    await kit.worksOff()
    const actions = await kit.actions(incarnation)
    expect(actions.map(({ kind, state }) => [kind, state])).toEqual([
      ['command', 'failed'],
      ['command', 'failed'],
      ['wish', 'failed'],
      ['wish', 'failed'],
      ['sing', 'failed'],
      ['command', 'done'],
    ])
    expect(actions.map(({ error }) => error)).toEqual([
      expect.stringMatching(/\/name is no action of the model thermostat/),
      expect.stringMatching(/\/input must be left out/),
      expect.stringMatching(/\/targetTemperature must be a number/),
      expect.stringMatching(/\/temperature is no writable property/),
      'This is no action that this version of Castor knows.',
      null,
    ])
    expect(await kit.sql`select 1 as one from twin_requests where incarnation = ${incarnation}`).toHaveLength(1)
  })

  test('`wish` asks the twin for a merge patch of its desired state', async () => {
    const incarnation = await register('w-1')
    await kit.rule('w', [{ kind: 'wish', desired: { targetTemperature: 17 } }])
    await kit.happens([{ incarnation, rule: 'w', n: 4 }])
    await kit.worksOff()
    const [action] = await kit.actions(incarnation)
    const { json } = await kit.api.ask('GET', `/v1/requests/${action!.result}`)
    expect(json).toMatchObject({ device: 'w-1', kind: 'wish', status: 'waiting' })
    const [row] = await kit.sql`select body from twin_requests where id = ${action!.id}`
    expect(JSON.parse(row!.body)).toEqual({ patch: { targetTemperature: 17 }, by: 'rule w' })
  })

  test('`event` is an event of its own, with what the alarm said at that turn', async () => {
    const incarnation = await register('e-1')
    await kit.rule('e', [
      { kind: 'event', name: 'trouble', data: { line: 4 } },
      { kind: 'event', name: 'over', on: 'cleared' },
    ])
    const at = Date.now() - 1_500
    await kit.happens([
      { incarnation, rule: 'e', n: 7, at },
      { incarnation, rule: 'e', n: 7, turn: 'cleared' },
    ])
    await kit.worksOff()
    const alarm = { rule: 'e', version: 1, n: 7, severity: 'major', text: 'Alarm 7 of e', values: { temperature: 7 } }
    expect((await kit.told('rule-event')).filter(({ device }) => device === 'e-1')).toEqual([
      { device: 'e-1', event: { at, name: 'trouble', data: { line: 4 }, on: 'raised', ...alarm }, cause: { by: 'rule', who: 'e' } },
      { device: 'e-1', event: expect.objectContaining({ name: 'over', on: 'cleared', ...alarm }), cause: { by: 'rule', who: 'e' } },
    ])
    const [row] = await kit.sql`
      select 1 as position, ${at}::float8 as at, tenant, device, revision, kind, event, cause from outbox where kind = 'rule-event' and device = 'e-1'`
    expect(webhookEvent(row as never)).toMatchObject({ type: 'rule.event', tenant: 'demo', device: 'e-1' })
  })

  test('`ticket` and `predict` ask who opens tickets and who predicts, with all that the rule says', async () => {
    const incarnation = await register('p-1', 'pump')
    const ticket = { kind: 'ticket', title: 'Look at the bearing', onCall: ['ann', 'bob'], predict: 'pump-failure' }
    await kit.rule('p', [ticket, { kind: 'predict', model: 'pump-failure' }], { verifyFor: '30m' })
    await kit.happens([{ incarnation, rule: 'p', n: 2 }])
    await kit.worksOff()
    const whose = { tenant: 'demo', incarnation, device: 'p-1' }
    const { kind: _, ...asked } = ticket
    const idOf = (place: number) => actionId({ incarnation, n: 2, turn: 'raised', place })
    expect(tickets.at(-1)).toEqual({
      id: idOf(0),
      ...{ ...whose, ...asked, rule: 'p', ruleVersion: 1, n: 2, severity: 'major', text: 'Alarm 2 of p' },
      verifyForMs: 1_800_000,
    })
    expect(predictions).toEqual([{ id: idOf(1), ...whose, model: 'pump-failure', requestedBy: { kind: 'rule', name: 'p' } }])
    expect((await kit.actions(incarnation)).map(({ state, result }) => [state, result])).toEqual([
      ['done', 'ticket-2'],
      ['done', 'prediction-1'],
    ])
    await kit.rule('p-2', [{ kind: 'ticket', title: 'Nobody there' }])
    await kit.happens([{ incarnation, rule: 'p-2', n: 3 }])
    await kit.worksOff()
    expect((await kit.actions(incarnation)).at(-1)).toMatchObject({ state: 'failed', error: 'There is no device p-1.' })
    expect(tickets.at(-1)!.verifyForMs).toBeUndefined()
  })

  test('that cannot be done here says so', async () => {
    const bare = await ActionKit.start()
    const { incarnation } = await bare.api.register('p-1', {}, undefined, 'pump')
    await bare.rule('p', [
      { kind: 'ticket', title: 'Look' },
      { kind: 'predict', model: 'pump-failure' },
    ])
    await bare.happens([{ incarnation, rule: 'p', n: 1 }])
    await bare.worksOff()
    expect((await bare.actions()).map(({ state, error }) => [state, error])).toEqual([
      ['failed', 'Tickets are not available.'],
      ['failed', 'Predictions are not available.'],
    ])
    await bare.stop()
  })

  test('is of the version of the rule that raised the alarm, whatever the rule has become', async () => {
    const incarnation = await register('v-1')
    await kit.rule('v', [{ kind: 'event', name: 'first', on: 'cleared' }])
    await kit.rule('v', [{ kind: 'event', name: 'second', on: 'cleared' }])
    await kit.happens([
      { incarnation, rule: 'v', n: 1 },
      { incarnation, rule: 'v', n: 1, turn: 'cleared' },
    ])
    await kit.worksOff()
    expect((await kit.told('rule-event')).filter(({ device }) => device === 'v-1').map(({ event }) => event.name)).toEqual(['first'])
  })

  test('fails where its device is gone, also if another one has its name by now', async () => {
    const incarnation = await register('g-1')
    await kit.rule('g', [{ kind: 'command', name: 'identify' }])
    await kit.happens([{ incarnation, rule: 'g', n: 1 }])
    await kit.api.ask('DELETE', '/v1/devices/g-1')
    await register('g-1')
    await kit.worksOff()
    expect((await kit.actions(incarnation)).map(({ state, error }) => [state, error])).toEqual([['failed', 'There is no device g-1.']])
  })
})

test('in maintenance an alarm sets off its events, but no commands, wishes or tickets, nor when it is cleared', async () => {
  const incarnation = await register('m-1')
  await kit.rule('m', [
    { kind: 'event', name: 'seen' },
    { kind: 'command', name: 'identify' },
    { kind: 'wish', desired: { targetTemperature: 17 } },
    { kind: 'ticket', title: 'Look' },
    { kind: 'command', name: 'identify', on: 'cleared' },
  ])
  await kit.happens([{ incarnation, rule: 'm', n: 1, muted: true }])
  await kit.worksOff()
  await kit.sql`update alarms set muted = false where incarnation = ${incarnation}`
  await kit.happens([{ incarnation, rule: 'm', n: 1, turn: 'cleared' }])
  await kit.worksOff()
  expect((await kit.actions(incarnation)).map(({ kind, state, cutBy }) => [kind, state, cutBy])).toEqual([
    ['event', 'done', null],
    ['command', 'cut', 'maintenance'],
    ['wish', 'cut', 'maintenance'],
    ['ticket', 'cut', 'maintenance'],
    ['command', 'cut', 'maintenance'],
  ])
  expect(await kit.told('rule-cut')).toEqual([])
})

describe('of an alarm that is still there when its maintenance ends', () => {
  const ACTIONS = [
    { kind: 'event', name: 'seen' },
    { kind: 'command', name: 'identify' },
    { kind: 'wish', desired: { targetTemperature: 17 } },
    { kind: 'ticket', title: 'Look' },
    { kind: 'command', name: 'identify', on: 'cleared' },
  ]
  const statesOf = async (incarnation: number) =>
    (await kit.actions(incarnation)).map(({ kind, turn, state, cutBy }) => [kind, turn, state, ...(cutBy ? [cutBy] : [])].join(' '))

  test.each([
    ['that were left out are carried out then, once, and those of its end at its end', false],
    ['are the same where the maintenance was over before they were planned', true],
  ])('the actions %s', async (_what, atOnce) => {
    const incarnation = await register(`h-${Number(atOnce)}`)
    const rule = `heard-${Number(atOnce)}`
    await kit.rule(rule, ACTIONS)
    const raised = { incarnation, rule, n: 1, muted: true }
    const heard = { incarnation, rule, n: 1, turn: 'heard' as const, at: Date.now() }
    if (atOnce) await kit.happens([raised, heard])
    else {
      await kit.happens([raised])
      await kit.worksOff()
      expect((await statesOf(incarnation)).slice(1, 4)).toEqual([
        'command raised cut maintenance',
        'wish raised cut maintenance',
        'ticket raised cut maintenance',
      ])
      await kit.happens([heard])
    }
    await kit.worksOff()
    const done = ['event raised done', 'command raised done', 'wish raised done', 'ticket raised done']
    expect(await statesOf(incarnation)).toEqual(done)
    expect(tickets.at(-1)).toMatchObject({ incarnation, n: 1, text: `Alarm 1 of ${rule}`, title: 'Look' })
    const [row] =
      await kit.sql`select (extract(epoch from at) * 1000)::float8 as at from rule_actions where incarnation = ${incarnation} and place = 1`
    expect(row!.at).toBe(heard.at)
    // Another maintenance that ends finds nothing left out.
    await kit.happens([{ ...heard, at: heard.at + 1 }])
    await kit.worksOff()
    await kit.happens([{ incarnation, rule, n: 1, turn: 'cleared' }])
    await kit.worksOff()
    expect(await statesOf(incarnation)).toEqual([...done, 'command cleared done'])
    expect(await kit.sql`select 1 from commands where incarnation = ${incarnation}`).toHaveLength(2)
  })

  test('are of the version that raised it, and none where they were done before or somebody had them done', async () => {
    const [one, two] = [await register('h-2'), await register('h-3')]
    await kit.rule('heard-2', ACTIONS)
    await kit.rule('heard-2', [{ kind: 'event', name: 'other' }, ...ACTIONS])
    await kit.happens([
      { incarnation: one, rule: 'heard-2', n: 1 },
      { incarnation: two, rule: 'heard-2', n: 1, muted: true },
    ])
    await kit.worksOff()
    await kit.sql`update alarms set rule_version = 2 where incarnation in (${one}, ${two})`
    const [, command] = await kit.actions(two)
    expect((await kit.api.ask('POST', `/v1/rule-actions/${command!.id}/retry`)).status).toBe(202)
    await kit.worksOff()
    for (const incarnation of [one, two]) await kit.happens([{ incarnation, rule: 'heard-2', n: 1, turn: 'heard' }])
    await kit.worksOff()
    for (const incarnation of [one, two]) {
      expect(await statesOf(incarnation)).toEqual(['event raised done', 'command raised done', 'wish raised done', 'ticket raised done'])
      expect(await kit.sql`select 1 from commands where incarnation = ${incarnation}`).toHaveLength(1)
    }
  })

  test('are kept for as long as it is there', async () => {
    const incarnation = await register('h-4')
    await kit.rule('heard-4', ACTIONS)
    await kit.happens([{ incarnation, rule: 'heard-4', n: 1, muted: true }])
    await kit.worksOff()
    await kit.sql`update rule_actions set ended_at = now() - interval '31 days' where incarnation = ${incarnation}`
    await deleteEndedActions(kit.sql)
    expect((await kit.actions(incarnation)).map(({ state }) => state)).toEqual(['cut', 'cut', 'cut'])
    await kit.sql`update alarms set cleared_at = now() where incarnation = ${incarnation}`
    await deleteEndedActions(kit.sql)
    expect(await kit.actions(incarnation)).toEqual([])
  })
})

describe('what does not work out', () => {
  test('is tried again, and what comes after it in its rule on its device waits for it', async () => {
    const [one, two] = [await register('t-1'), await register('t-2')]
    await kit.rule('t', [
      { kind: 'ticket', title: 'Look' },
      { kind: 'event', name: 'after' },
      { kind: 'event', name: 'over', on: 'cleared' },
    ])
    trouble = new Error('the table is locked')
    await kit.happens([
      { incarnation: one, rule: 't', n: 1 },
      { incarnation: one, rule: 't', n: 1, turn: 'cleared' },
    ])
    const stop = kit.run()
    await expect.poll(async () => (await kit.actions(one))[0]?.attempts).toBeGreaterThan(0)
    await kit.happens([{ incarnation: two, rule: 't', n: 1, muted: true }])
    await expect.poll(async () => (await kit.actions(two)).map(({ state }) => state)).toEqual(['cut', 'done'])
    expect((await kit.actions(one)).map(({ state, error }) => [state, error])).toEqual([
      ['waiting', 'the table is locked'],
      ['waiting', null],
      ['waiting', null],
    ])
    trouble = undefined
    await kit.sql`update rule_actions set due = now() where state = 'waiting'`
    await expect.poll(async () => (await kit.actions(one)).map(({ state }) => state), { timeout: 10_000 }).toEqual(['done', 'done', 'done'])
    await stop()
    const names = (await kit.told('rule-event')).filter(({ device }) => device === 't-1').map(({ event }) => event.name)
    expect(names).toEqual(['after', 'over'])
  })

  test('fails when it was tried for long enough, and at once when it is refused', async () => {
    const incarnation = await register('t-3')
    await kit.rule('never', [{ kind: 'ticket', title: 'Look' }])
    trouble = new Error('it is broken')
    await kit.happens([{ incarnation, rule: 'never', n: 1 }])
    await kit.worksOff()
    await kit.sql`update rule_actions set attempts = 11, due = now() where incarnation = ${incarnation}`
    const stop = kit.run()
    await expect.poll(async () => (await kit.actions(incarnation))[0]!.state).toBe('failed')
    trouble = new CastorError('conflict', 'There is a ticket already.')
    await kit.happens([{ incarnation, rule: 'never', n: 2 }])
    await expect
      .poll(async () => (await kit.actions(incarnation))[1])
      .toMatchObject({ state: 'failed', attempts: 0, error: 'There is a ticket already.' })
    await stop()
    trouble = undefined
  })
})

describe('a command to a device that many command', () => {
  const open = (incarnation: number, name: string, count: number) => kit.sql`
    insert into commands (id, tenant, incarnation, device, name, requested_by, repeatable, retry_ms, max_attempts, expires_at)
    select gen_random_uuid(), 'demo', ${incarnation}, 'any', ${name}, 'test', false, 0, 1, now() + interval '1 hour' from generate_series(1, ${count})`
  const endOne = (incarnation: number) => kit.sql`
    update commands set status = 'succeeded', ended_at = now()
    where id = (select id from commands where incarnation = ${incarnation} and ended_at is null order by number limit 1)`
  const again = async (incarnation: number, attempts: number) => {
    await kit.sql`update rule_actions set attempts = ${attempts}, due = now() where incarnation = ${incarnation} and state = 'waiting'`
    const stop = kit.run()
    const [action] = await until(async () => {
      const actions = await kit.actions(incarnation)
      return actions.every((row) => row.attempts !== attempts || row.state !== 'waiting') ? actions : undefined
    }, 'it was tried again')
    await stop()
    return action!
  }

  test('waits while the twin would refuse it, is done when there is room, and fails with that reason when there was none for long', async () => {
    const siren = await register('siren-1', 'lock')
    await open(siren, 'unlock', 100)
    await kit.rule('alert', [{ kind: 'command', name: 'lock', device: 'siren-1' }])
    const [one, two] = [await register('s-1'), await register('s-2')]
    for (const incarnation of [one, two]) await kit.happens([{ incarnation, rule: 'alert', n: 1 }])
    await kit.worksOff()
    const error = 'The device siren-1 has 100 commands that have not ended.'
    for (const incarnation of [one, two]) expect(await kit.actions(incarnation)).toMatchObject([{ state: 'waiting', attempts: 1, error }])
    expect(await kit.sql`select 1 from twin_requests where incarnation = ${siren}`).toHaveLength(0)
    await endOne(siren)
    expect(await again(one, 1)).toMatchObject({ state: 'done' })
    expect(await again(two, 11)).toMatchObject({ state: 'failed', error })
    expect(await kit.sql`select 1 from twin_requests where incarnation = ${siren}`).toHaveLength(1)
    const { json } = await kit.api.ask('GET', '/v1/rule-actions?rule=alert&state=failed')
    expect(json.items).toMatchObject([{ device: 's-2', reason: error }])
  })

  test('finds room where it takes the place of the one before', async () => {
    const incarnation = await register('siren-2', 'lock')
    await open(incarnation, 'lock', 100)
    const lock = modelOf('lock')!
    const model = { ...lock, actions: new Map([['lock', { ...lock.actions.get('lock')!, onlyLast: true }]]) }
    const act = createCarryOut({ find: () => model, list: () => [model] }, Date.now)
    await kit.rule('shut', [{ kind: 'command', name: 'lock' }])
    await kit.happens([{ incarnation, rule: 'shut', n: 1 }])
    await kit.store.take(planActions)
    const [action] = await kit.actions(incarnation)
    expect(await kit.store.carryOut(action!.id, act)).toMatchObject({ outcome: 'done' })
  })

  test('is shown with how it stands, also where the twin refused it after all', async () => {
    await register('siren-3', 'lock')
    await kit.rule('late', [{ kind: 'command', name: 'lock', device: 'siren-3' }])
    const incarnation = await register('s-4')
    await kit.happens([{ incarnation, rule: 'late', n: 1 }])
    await kit.worksOff()
    const shown = async () => (await kit.api.ask('GET', '/v1/rules/late/actions')).json.items
    expect(await shown()).toMatchObject([{ state: 'done', command: { status: 'queued' } }])
    const { result } = (await kit.actions(incarnation))[0]!
    const message = 'The device has 100 commands that have not ended.'
    await kit.sql`
      update commands set status = 'failed', code = 'too-many-commands', message = ${message}, ended_at = '2026-11-27T10:00:00Z'::text::timestamptz
      where id = ${result}`
    const command = { status: 'failed', code: 'too-many-commands', message, endedAt: '2026-11-27T10:00:00.000Z' }
    expect(await shown()).toEqual([expect.objectContaining({ state: 'done', result, command })])
    await kit.sql`delete from commands where id = ${result}`
    expect(await shown()).toEqual([expect.not.objectContaining({ command: expect.anything() })])
  })
})

describe('over REST', () => {
  test('they are listed, by rule, device, alarm and state, the newest first, and nobody sees those of another tenant', async () => {
    const incarnation = await register('r-1')
    await kit.rule('r', [
      { kind: 'event', name: 'one' },
      { kind: 'command', name: 'fly' },
    ])
    await kit.happens([1, 2].map((n) => ({ incarnation, rule: 'r', n })))
    await kit.worksOff()
    const items = await allItems(kit.api, '/v1/rule-actions?rule=r&limit=3')
    expect(items.map(({ alarm, place }) => [alarm, place])).toEqual([
      [`${incarnation}-2`, 1],
      [`${incarnation}-2`, 0],
      [`${incarnation}-1`, 1],
      [`${incarnation}-1`, 0],
    ])
    expect(items[3]).toEqual({
      ...{ id: expect.any(String), rule: 'r', version: 1, alarm: `${incarnation}-1`, device: 'r-1', on: 'raised', place: 0, kind: 'event' },
      ...{ name: 'one', state: 'done', at: expect.any(String), depth: 0, attempts: 0, endedAt: expect.any(String) },
    })
    const count = async (query: string, key?: string) =>
      (await kit.api.ask('GET', `/v1/rule-actions?${query}`, key ? { key } : {})).json.items.length
    expect(await count('rule=r&state=failed')).toBe(2)
    expect(await count('device=r-1&state=failed,done')).toBe(4)
    expect(await count(`alarm=${incarnation}-2`)).toBe(2)
    expect(await count('', OTHER_KEY)).toBe(0)
    expect((await kit.api.ask('GET', '/v1/rules/r/actions?state=done')).json.items).toHaveLength(2)
    expect((await kit.api.ask('GET', '/v1/rules/r/actions', { key: OTHER_KEY })).status).toBe(404)
    for (const wrong of ['alarm=5', 'state=gone', 'other=1'])
      expect((await kit.api.ask('GET', `/v1/rule-actions?${wrong}`)).status).toBe(400)
  })

  test('what failed is done again when it is asked for, and what is done is not', async () => {
    const incarnation = await register('r-2')
    await kit.rule('again', [{ kind: 'command', name: 'lock', device: 'r-3' }])
    await kit.happens([{ incarnation, rule: 'again', n: 1 }])
    await kit.worksOff()
    const [action] = await kit.actions(incarnation)
    await register('r-3', 'lock')
    const path = `/v1/rule-actions/${action!.id}/retry`
    expect((await kit.api.ask('POST', path, { key: OTHER_KEY })).status).toBe(404)
    const asked = await kit.api.ask('POST', path)
    expect([asked.status, asked.json.state, asked.json.reason]).toEqual([202, 'waiting', undefined])
    expect((await kit.api.ask('POST', path)).json.detail).toBe('The action waits to be done already.')
    await kit.worksOff()
    expect((await kit.api.ask('GET', '/v1/rule-actions?rule=again')).json.items).toMatchObject([{ state: 'done', target: 'r-3' }])
    expect((await kit.api.ask('POST', path)).status).toBe(409)
    expect((await kit.api.ask('POST', `/v1/rule-actions/${crypto.randomUUID()}/retry`)).status).toBe(404)
  })
})

test('ids are UUIDs of version 5', () => {
  // The example of RFC 9562, A.4.
  expect(uuidOf('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
})
