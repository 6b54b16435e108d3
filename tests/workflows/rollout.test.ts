/** Rollouts on a real Temporal and a real Postgres, without any cache: waves, gates, halts, and how persons steer them. The twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { rolloutRequest, rolloutSpecOf } from '../../twin-models/schemas/rollout.ts'
import { ROLLOUT_ASKED_SIGNAL, type RolloutAsked, type RolloutStart } from '../../workflows/messages.ts'
import { until } from '../support/wait.ts'
import { begun, eventsOf, startRolloutWorker, targets } from './rollouts.ts'
import { setting } from './setting.ts'
import { details, messages } from './told.ts'

const here = setting(startRolloutWorker)

const rolloutOf = (devices: number, spec?: object, options?: Parameters<typeof begun>[4]) =>
  begun(here.sql, here.worker, devices, spec, options)
/** All of one wave, that halts by its share of failures alone. */
const LENIENT = { gate: 0, failures: { share: 0.5, minimum: 4 } }

test('an operator starts one in the UI, approves it there, and each wave begins when the one before is healthy', async () => {
  const waves = [{ count: 2 }, { percent: 50 }, { percent: 100 }]
  const { handle, twins, opens, state, steer } = await rolloutOf(20, { approval: 'one', waves, window: { from: '00:00', to: '24:00' } })
  await until(async () => (await details(handle)).includes('`approve`'), 'it waits for its approval')
  expect(await details(handle)).toMatch(/As things stood on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 20 of 20 devices/)
  for (const words of [
    'The next wave begins when 95 % of the one before is healthy.',
    'It halts when more than 10 % of at least 10 judged devices',
    'Healthy is who runs it and says so. At most 500 devices are asked a second, 10000 at once.',
    'within their maintenance window: 00:00 to 24:00, by the clock of each device, else of UTC.',
  ])
    expect(await details(handle)).toContain(words)
  expect(await steer('approve', { by: 'ann' })).toBe('It is approved and begins.')
  for (const [wave, count] of [2, 8, 10].entries()) {
    const asked = await opens(count)
    expect(asked[0]!.request).toMatchObject({ kind: 'install', firmware: { version: '2.0.0' }, by: expect.stringMatching(/^rollout /) })
    expect(await state()).toMatchObject({ status: 'running', wave, approvedBy: 'ann' })
    await twins.end('healthy')
  }
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 20, healthy: 20 } })
  expect(await twins.asked()).toHaveLength(20)
  const { id, status, endedAt } = await state()
  expect({ status, endedAt }).toEqual({ status: 'completed', endedAt: expect.any(Date) })
  const events = await eventsOf(here.sql, id)
  expect(events.map(({ kind }) => kind)).toEqual(['rollout-started', 'rollout-ended'])
  expect(events[1]!.event).toMatchObject({ status: 'completed', devices: { total: 20, healthy: 20, failed: 0, left: 0 } })
  const query = `WorkflowType = 'rollout' AND CurrentStatus = 'completed' AND RolloutId = '${id}'`
  await until(async () => (await here.worker.client.workflow.count(query)).count === 1, 'it is found in the list')
})

test('a wave does not begin before its gate, and a person may go on without waiting for it', async () => {
  const { handle, twins, opens, state, steer } = await rolloutOf(10, {
    gate: 1,
    waves: [{ count: 4 }, { percent: 100 }],
    failures: { share: 1 },
  })
  await opens(4)
  await twins.end('healthy', { most: 3 })
  await until(async () => (await details(handle)).includes('3 of 4 are healthy, its gate is 4 (100 %)'), 'it has seen them')
  expect(await twins.asked()).toHaveLength(4)
  expect(await steer('advance')).toContain('wave 2')
  await opens(7)
  expect((await state()).wave).toBe(1)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { healthy: 10 } })
})

test('it halts when too many fail, tells why, starts nobody, and whoever resumes it acknowledges those failures', async () => {
  const { handle, twins, opens, becomes, state, steer } = await rolloutOf(12, {
    ...LENIENT,
    gate: 0.3,
    waves: [{ count: 6 }, { percent: 100 }],
  })
  await opens(6)
  await twins.tell()
  await twins.end('failed', { code: 'hash-mismatch', most: 4 })
  await becomes('halted')
  const { id, reason } = await state()
  expect(reason).toBe('Wave 1: 4 of 4 devices failed, more than 50 %.')
  const report = await details(handle)
  expect(report).toContain('### Rollout halted')
  expect(report).toContain('- failed, `hash-mismatch`: 4')
  expect((await eventsOf(here.sql, id)).at(-1)).toMatchObject({
    kind: 'rollout-halted',
    event: { reason, wave: 1, devices: { failed: 4 } },
  })
  await twins.end('healthy')
  await until(async () => (await details(handle)).includes('2 of 6 are healthy'), 'those under way go on')
  expect(await twins.asked()).toHaveLength(6)
  expect(await steer('resume')).toContain('The 4 failures until now are acknowledged')
  await opens(6)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { healthy: 8, failed: 4 } })
})

test('when the last of a halted one has ended, its report knows why each of them failed', async () => {
  const { handle, twins, opens, becomes } = await rolloutOf(8, LENIENT)
  await opens(8)
  await twins.tell()
  await twins.end('failed', { code: 'hash-mismatch', most: 4 })
  await becomes('halted')
  await twins.end('failed', { code: 'no-space' })
  await until(async () => (await details(handle)).includes('- failed, `no-space`: 4'), 'it has looked once more')
})

test('silence after the update halts it too, while devices that were away for their whole offer do not', async () => {
  const { twins, opens, becomes, state } = await rolloutOf(12, LENIENT)
  await opens(12)
  await twins.end('timed-out', { code: 'away', most: 6 })
  await twins.end('timed-out', { code: 'silent', most: 4 })
  await becomes('halted')
  expect((await state()).reason).toBe('Wave 1: 4 of 4 devices failed, more than 50 %; fell silent after the update until now: 4.')
})

test('halted by itself it cancels what is under way where it was told to, and none of it is asked again', async () => {
  const { twins, opens, open, becomes, steer, handle, targets } = await rolloutOf(8, { ...LENIENT, onHalt: 'cancel' })
  await opens(8)
  await twins.tell()
  await twins.end('failed', { code: 'no-space', most: 4 })
  await becomes('halted')
  await twins.obeyCancels()
  expect(await open()).toEqual([])
  await until(async () => (await targets())['cancelled cancelled'] === 4, 'it has seen that they are cancelled')
  await steer('resume')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { failed: 4, left: 4 } })
})

test('halted it stops what no device was told of yet, also what is to be tried again later, and a resume asks those devices anew', async () => {
  const { handle, twins, opens, open, becomes, steer, targets, state } = await rolloutOf(9, LENIENT)
  const first = await opens(9)
  await twins.tell(6)
  await twins.end('failed', { code: 'no-space', most: 4 })
  await becomes('halted')
  expect(await cancelsOf(first)).toBe(3)
  await twins.obeyCancels()
  await until(async () => (await targets())['waiting halted'] === 3, 'they wait again')
  const [retried] = await open()
  // Its twin lets it go anew: it is not told of that attempt yet.
  await here.sql`update updates set told_at = null where id = ${retried!.id}`
  await until(async () => (await cancelsOf(first)) === 4, 'it is stopped')
  await twins.obeyCancels()
  await twins.end('healthy')
  await until(async () => {
    const seen = await targets()
    return seen['waiting halted'] === 4 && seen.healthy === 1
  }, 'that one waits too, and the healthy one is seen')
  expect(await targets()).toEqual({ 'failed no-space': 4, 'waiting halted': 4, healthy: 1 })
  expect(await twins.asked()).toHaveLength(9)
  expect((await state()).status).toBe('halted')
  await steer('resume')
  const again = await opens(4)
  expect(again.filter(({ id }) => first.some((before) => before.id === id))).toEqual([])
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { healthy: 5, failed: 4, left: 0 } })

  async function cancelsOf(updates: Array<{ id: string }>): Promise<number> {
    const ids = updates.map(({ id }) => id)
    return (await here.sql`select from twin_requests where kind = 'cancel-update' and (body::json ->> 'id')::uuid = any(${ids}::uuid[])`)
      .length
  }
})

test('halted by a person it stops them too, and what is excluded or rolled back then does not wait again', async () => {
  const { twins, opens, steer, targets, becomes, handle } = await rolloutOf(4)
  const [first] = await opens(4)
  expect(await steer('halt', { running: 'continue' })).toContain('the other devices wait until it is resumed')
  expect(await steer('exclude', { device: first!.device })).toContain('its update is cancelled')
  await twins.obeyCancels()
  await until(async () => (await targets())['waiting halted'] === 3, 'the others wait again')
  await steer('resume')
  await opens(3)
  await steer('halt')
  await steer('rollback')
  await becomes('rolling-back')
  await twins.obeyCancels()
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 0 } })
  expect(await targets()).toEqual({ 'cancelled cancelled': 3, 'cancelled excluded': 1 })
})

test('paused it starts nobody, also after another worker took over, and goes on when resumed', async () => {
  const { handle, twins, opens, becomes, steer } = await rolloutOf(6, { perSecond: 2 })
  await until(async () => (await twins.asked()).length >= 2, 'it has begun')
  expect(await steer('pause')).toContain('no further device is asked')
  await becomes('paused')
  const asked = (await twins.asked()).length
  expect(asked).toBeLessThan(6)
  await here.worker.restart()
  await twins.end('healthy')
  await until(async () => (await details(handle)).includes(`${asked} of 6 are healthy`), 'it watches those that were asked')
  expect(await twins.asked()).toHaveLength(asked)
  expect(await steer('pace', { perSecond: 100 })).toContain('at most 100 devices a second')
  await steer('resume')
  await opens(6 - asked)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { healthy: 6 } })
})

test('reset to its beginning it is the same rollout, which goes on where it stood', async () => {
  const { handle, name, twins, opens, becomes } = await rolloutOf(6, { gate: 1, waves: [{ count: 2 }, { percent: 100 }] })
  await opens(2)
  await handle.executeUpdate<string, []>('pause')
  await here.worker.client.workflowService.resetWorkflowExecution({
    ...{ namespace: 'default', workflowExecution: { workflowId: handle.workflowId }, reason: 'test', requestId: randomUUID() },
    // Its first workflow task.
    workflowTaskFinishEventId: 4 as never,
  })
  const again = here.worker.client.workflow.getHandle(handle.workflowId)
  await until(async () => (await details(again)).includes('### Rollout paused'), 'it knows that it was paused')
  expect(await here.sql`select 1 as one from rollouts where name = ${name}`).toHaveLength(1)
  await again.executeUpdate<string, []>('resume')
  await becomes('running')
  await twins.end('healthy')
  await opens(4)
  await twins.end('healthy')
  expect(await again.result()).toMatchObject({ status: 'completed', devices: { healthy: 6 } })
  expect(await twins.asked()).toHaveLength(6)
})

test('a cancelled one asks nobody any more, cancels what is under way when asked to, and says so of all', async () => {
  const { handle, twins, opens, steer, targets, state } = await rolloutOf(6, { gate: 1, waves: [{ count: 2 }, { percent: 100 }] })
  await opens(2)
  expect(await steer('cancel', { running: 'cancel' })).toBe('It ends: no further device is asked. Updates under way are cancelled.')
  expect(await targets()).toEqual({ underway: 2, 'skipped cancelled': 4 })
  await twins.obeyCancels()
  expect(await handle.result()).toMatchObject({ status: 'cancelled', reason: 'Somebody cancelled it.', devices: { left: 6, total: 6 } })
  const { id } = await state()
  expect((await eventsOf(here.sql, id)).at(-1)).toMatchObject({ kind: 'rollout-ended', event: { status: 'cancelled' } })
})

test('with four eyes it takes somebody else to approve it', async () => {
  const { handle, steer, state } = await rolloutOf(1, { approval: 'four-eyes' })
  const refused = await steer('approve', { by: 'operator' }).catch((error: Error) => error)
  expect(messages(refused)).toContain('operator asked for it: somebody else has to approve it.')
  expect((await state()).status).toBe('draft')
  await steer('approve', { by: 'bob' })
  await until(async () => (await state()).approvedBy === 'bob', 'it is approved')
  await steer('cancel', { running: 'cancel' })
  await handle.cancel()
})

test('Updates without sense are refused in words, and change nothing', async () => {
  const { handle, steer, opens, state } = await rolloutOf(3)
  await opens(3)
  for (const [action, argument, words] of [
    ['resume', undefined, /neither paused nor halted/],
    ['advance', undefined, /last wave/],
    ['approve', { by: 'ann' }, /Only a draft is approved/],
    ['approve', {}, /approve needs by/],
    ['pace', { perSecond: 0 }, /perSecond must be a number from 0.01 to 1000/],
    ['pace', {}, /pace needs perSecond or atOnce/],
    ['halt', { now: true }, /takes no now/],
    ['exclude', { device: 'a b' }, /device must be the id of a device/],
  ] as const) {
    const error = await steer(action, argument).catch((failure: Error) => failure)
    expect(messages(error)).toMatch(words)
  }
  expect(await state()).toMatchObject({ status: 'running', reason: null })
  await handle.terminate()
})

test('what is wrong with its input fails it at once, in words', async () => {
  const firmware = { name: 'none', version: '1' }
  const good = { tenant: 'demo', name: 'n', firmware, filter: "id = 'x'" }
  for (const [input, words] of [
    [{ ...good, filter: 'attributes.site =' }, /filter/i],
    [{ ...good, filter: undefined }, /one of filter and group/],
    [good, /There is no firmware none 1 of tenant demo/],
    [{ ...good, tenant: 'nobody' }, /no tenant/],
    [{ ...good, colour: 'red' }, /colour/],
    [{ tenant: 'demo', id: randomUUID() }, /no rollout/],
    [{ ...good, ask: { action: 'explode' } }, /ask must be/],
    [{} as RolloutStart, /needs a tenant/],
    [{ ...good, tenant: 7 as never }, /needs a tenant/],
    [{ tenant: 'demo' }, /no rollout .* name, firmware/],
    ['hello' as never, /must be one JSON object/],
    [[good] as never, /must be one JSON object/],
    [{ ...good, filter: "id = 'x\0'" }, /cannot be taken: \/filter holds U\+0000/],
  ] as const) {
    const handle = await here.worker.start(input)
    expect(messages(await handle.result().catch((failure: Error) => failure))).toMatch(words)
  }
})

test('firmware that is withdrawn when all were asked is not halted for: it comes to its end', async () => {
  const { artifactId, twins, opens, handle } = await rolloutOf(2)
  await opens(2)
  await here.sql`update firmware set withdrawn_at = now() where id = ${artifactId}`
  await twins.end('healthy', { most: 1 })
  await opens(1)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { healthy: 2 } })
})

test('one that REST registered has one workflow, hears what was told twice once, and notes what it refused', async () => {
  const model = await rolloutOf(0, { name: `model ${randomUUID()}` })
  await model.handle.result()
  const id = randomUUID()
  const request = { name: `rest ${id}`, firmware: { name: model.firmware, version: '2.0.0' }, filter: `attributes.site = '${model.site}'` }
  await here.worker.store.register({ id, tenant: 'demo', spec: rolloutSpecOf(rolloutRequest.parse(request)), by: 'ann' })
  const handle = await here.worker.start({ tenant: 'demo', id }, `rollout:demo:${id}`)
  await until(async () => (await details(handle)).includes('waits for its approval'), 'it is a draft')
  const other = await here.worker.start({ tenant: 'demo', id })
  expect(messages(await other.result().catch((error: Error) => error))).toMatch(/works on this rollout already/)
  const pace = { id: randomUUID(), by: 'ann', ask: { action: 'pace', perSecond: 7 } } as const
  const resume = { id: randomUUID(), by: 'ann', ask: { action: 'resume' } } as const
  const asked: RolloutAsked = { asks: [pace, resume] }
  for (let n = 0; n < 2; n++) await handle.signal(ROLLOUT_ASKED_SIGNAL, asked)
  await handle.signal(ROLLOUT_ASKED_SIGNAL, { asks: [{ id: 'x', ask: { action: 'pace', perSecond: -1 } }, null] } as never)
  await until(async () => (await details(handle)).includes('resume, asked by `ann`, was refused.'), 'it tells what it refused')
  const [row] = await here.sql<Array<{ step: number; state: string }>>`select step, state from rollouts where id = ${id}`
  expect({ step: row!.step, pace: JSON.parse(row!.state).pace.perSecond }).toEqual({ step: 1, pace: 7 })
  await handle.terminate()
})

test('steps that are run twice, or fail once after they were done, ask nobody twice and tell nothing twice', async () => {
  const { step, choose, join } = here.worker.store
  let failures = 0
  here.worker.instead.step = async (...args) => {
    const look = await step(...args)
    if (failures++ % 3 === 0) throw new Error('connection lost')
    return step(...args).then(() => look)
  }
  here.worker.instead.choose = async (...args) => {
    await choose(...args)
    await choose(...args)
  }
  here.worker.instead.join = async (...args) => {
    await join(...args)
    await join(...args)
  }
  const { handle, twins, opens, state, becomes, steer } = await rolloutOf(9, {
    ...LENIENT,
    gate: 0.25,
    waves: [{ count: 4 }, { percent: 100 }],
    perSecond: 3,
  })
  await opens(4)
  await twins.end('failed', { code: 'no-space' })
  await becomes('halted')
  await steer('resume')
  await opens(5)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ status: 'completed', devices: { total: 9, healthy: 5, failed: 4 } })
  expect(await twins.asked()).toHaveLength(9)
  const { id } = await state()
  expect((await eventsOf(here.sql, id)).map(({ kind }) => kind)).toEqual(['rollout-started', 'rollout-halted', 'rollout-ended'])
})

test('what a person asked for is answered as it was done, also when the task in which it was done is lost and done again', async () => {
  const { step } = here.worker.store
  let isLost = false
  const { handle, opens, steer, twins } = await rolloutOf(4, { gate: 1, waves: [{ count: 2 }, { percent: 100 }] })
  await opens(2)
  // A task that was lost had gone on to the next step.
  here.worker.instead.step = async (rollout, asked) => {
    const { effects, ...next } = asked
    if (effects && !isLost) {
      isLost = true
      await step(rollout, asked)
      await step(rollout, { ...next, n: asked.n + 1 })
    }
    return step(rollout, asked)
  }
  expect(await steer('pause')).toBe('It is paused: no further device is asked. Updates under way go on.')
  await twins.end('healthy')
  expect(await steer('resume')).toContain('It goes on.')
  await opens(2)
  await twins.end('healthy')
  expect(await handle.result()).toMatchObject({ devices: { healthy: 4 } })
})

test('firmware that is withdrawn while it is rolled out goes to nobody any more', async () => {
  const { name, artifactId, twins, opens, becomes, state, steer, handle } = await rolloutOf(6, { waves: [{ count: 2 }, { percent: 100 }] })
  await opens(2)
  await twins.tell()
  await here.sql`update firmware set withdrawn_at = now() where id = ${artifactId}`
  // Though nobody is to be asked before those two have ended.
  await becomes('halted')
  expect(await targets(here.sql, name)).toEqual({ underway: 2, waiting: 4 })
  await twins.end('healthy')
  expect((await state()).reason).toBe('Its firmware must not go to further devices. It was withdrawn.')
  expect(await twins.asked()).toHaveLength(2)
  expect(messages(await steer('resume').catch((error: Error) => error))).toContain('must not go to further devices. It was withdrawn.')
  await here.sql`update firmware set withdrawn_at = null where id = ${artifactId}`
  expect(await steer('resume')).toContain('It goes on.')
  await opens(4)
  await handle.terminate()
})
