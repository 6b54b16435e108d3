/** Tickets on a real Temporal and a real Postgres: from the alarm to the verified repair, with short times. The twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { DEFAULT_DEADLINES } from '../../twin-models/core/ticket-types.ts'
import { TICKET_ASKED_SIGNAL, type TicketAsked } from '../../workflows/messages.ts'
import { ALARM_TEXT, PUBLIC_URL, pump, ruleIs, SOON, storyOf, targetIs } from '../support/ticket-devices.ts'
import { until } from '../support/wait.ts'
import { setting } from './setting.ts'
import { begun, startTicketWorker } from './tickets.ts'
import { details, messages } from './told.ts'

const here = setting(startTicketWorker)
beforeAll(async () => {
  await ruleIs(here.sql, 'vibration')
  for (const name of ['ann', 'bob']) await targetIs(here.sql, name)
})

const ticketOf = (more: Parameters<typeof begun>[2] = {}) => begun(here.sql, here.worker, more)

test('from the alarm to the verified repair, with a story, messages, events and a device in maintenance', async () => {
  const { id, device, handle, becomes, look, steer, alarms, state, story, told, events, maintenance } = await ticketOf()
  await becomes('notified')
  const { historyLength } = await handle.describe()
  expect(await details(handle)).toContain(`### Notified: Bearing wears out`)
  expect(await steer('accept', { by: 'ann', note: 'On my way' })).toContain('It is yours.')
  expect(await steer('schedule', { by: 'ann', at: new Date(Date.now() + 1_000).toISOString() })).toContain('It is planned for')
  await until(async () => (await story()).includes('reminded'), 'it reminds of its plan')
  expect(await steer('start', { by: 'ann', for: '2h' })).toContain('in maintenance until')
  const [maintained] = await maintenance()
  expect(maintained).toBeGreaterThan(Date.now() + 7_000_000)
  expect(await details(handle)).toContain('- Who has it: `ann`')
  await alarms.clear()
  await look()
  expect(await steer('done', { by: 'ann', note: 'A new bearing' })).toContain('It is done.')
  expect(await handle.result()).toEqual({
    id,
    status: 'closed',
    reason: expect.stringMatching(/^Its condition stayed away since .* UTC\.$/),
  })
  expect(await maintenance()).toEqual([maintained, null])
  expect(await state()).toMatchObject({ status: 'closed', assignee: 'ann', endedAt: expect.any(Date) })
  expect(await story()).toEqual(['opened', 'told', 'accepted', 'scheduled', 'reminded', 'started', 'done', 'verifying', 'closed'])
  expect(told()).toEqual(['ann: firing', 'ann: firing', 'ann: resolved'])
  const told_ = await events()
  expect(told_.map(({ kind }) => kind)).toEqual(['ticket-opened', ...Array.from({ length: 5 }, () => 'ticket-updated'), 'ticket-closed'])
  expect(told_.every((event) => event.device === device)).toBe(true)
  expect(told_[1]!.event).toMatchObject({
    what: ['accepted'],
    by: 'ann',
    origin: { via: 'ui' },
    ticket: { status: 'accepted', assignee: 'ann' },
  })
  const described = await handle.describe()
  expect(described.typedSearchAttributes.getAll().map(({ value }) => value)).toEqual(expect.arrayContaining(['demo', device, 'closed']))
  expect(historyLength).toBeLessThan(20)
  // Some 70: each thing asked, each timer and each look is six to eight.
  expect(described.historyLength, 'the usual course is one short run').toBeLessThan(90)
})

test('a message has the facts, and a link of its own of which only the hash is kept', async () => {
  const { id, device, becomes, handle, steer } = await ticketOf()
  await becomes('notified')
  const [message] = here.worker.recorder.messages.filter(({ key }) => key === `ticket:${id}`)
  expect(message).toMatchObject({
    tenant: 'demo',
    target: 'ann',
    status: 'firing',
    severity: 'major',
    device,
    subject: '[major] Bearing wears out',
  })
  expect(message!.text).toMatch(/^Please accept it until .* UTC\. It is to be done by .* UTC\.\n\nVibration is 9\.1 mm\/s$/)
  expect(message!.facts).toMatchObject({ Device: device, Rule: 'vibration', Severity: 'major' })
  const [link] = message!.links
  const token = /^https:\/\/castor\.example\.com\/base\/t\/([\w-]{43})$/.exec(link!.url)![1]!
  expect(link!.url.startsWith(PUBLIC_URL)).toBe(true)
  const rows = await here.sql`select target from ticket_links where ticket = ${id} and token_hash = sha256(${token}::text::bytea)`
  expect([...rows]).toEqual([{ target: 'ann' }])
  await steer('cancel', { by: 'ann' })
  await handle.result()
  expect(here.worker.recorder.messages.at(-1)).toMatchObject({ status: 'resolved', links: [] })
})

test('silence goes round the list, by durable timers', async () => {
  const { becomes, told, story, steer, handle } = await ticketOf({
    deadlines: { ...DEFAULT_DEADLINES, major: { acceptMs: 1_000, doneMs: 600_000 } },
  })
  await becomes('reassigned')
  expect(told()).toEqual(['ann: firing', 'bob: firing'])
  await becomes('escalated')
  expect(told().slice(2)).toEqual(['ann: firing', 'bob: firing'])
  expect(await story()).toEqual(['opened', 'told', 'reassigned', 'escalated'])
  expect(await details(handle)).toContain('Nobody accepted it: ann, bob were told in vain')
  await steer('accept', { by: 'bob' })
  expect(told().slice(-1)).toEqual(['ann: resolved'])
  await steer('cancel', { by: 'bob' })
  expect(await handle.result()).toMatchObject({ status: 'cancelled', reason: 'bob cancelled it.' })
})

test('further alarms of its cause join it, a worse one makes it worse, and one after it was done reopens it with the evidence', async () => {
  const { alarms, look, becomes, state, story, steer, handle, told } = await ticketOf({ verifyForMs: 600_000 })
  await becomes('notified')
  await alarms.clear()
  await alarms.raise('critical')
  await look()
  await until(async () => (await state()).severity === 'critical', 'it is worse')
  expect((await story()).slice(2)).toEqual(['alarm', 'severity'])
  await steer('done', { by: 'ann' })
  await becomes('verifying')
  await alarms.clear()
  const n = await alarms.raise()
  await look()
  await becomes('reopened')
  expect(await state()).toMatchObject({
    relapses: 1,
    asked: { target: 'ann' },
    reason: expect.stringMatching(`^Alarm ${n} was raised on .*, after it was done: ${ALARM_TEXT}$`),
  })
  expect(told().at(-1)).toBe('ann: firing')
  expect(await details(handle)).toContain('**Alarm 3 was raised on')
  await steer('cancel', { by: 'ann' })
})

test('with a prediction model the risk has to be low, too', async () => {
  const { predictions } = here.worker.recorder
  predictions.set('high', { status: 'answered', probability: 0.8, threshold: 0.5 })
  predictions.set('low', { status: 'answered', probability: 0.1, threshold: 0.5 })
  const risky = await ticketOf({ predict: 'high' })
  await risky.becomes('notified')
  await risky.alarms.clear()
  await risky.steer('done', { by: 'ann' })
  await risky.becomes('reopened')
  expect((await risky.state()).reason).toBe('The risk is still high: high predicts 80 %, its threshold is 50 %.')
  await risky.steer('cancel', { by: 'ann' })
  const fine = await ticketOf({ predict: 'low' })
  await fine.becomes('notified')
  await fine.alarms.clear()
  await fine.steer('done', { by: 'ann' })
  expect(await fine.handle.result()).toMatchObject({ status: 'closed', reason: expect.stringContaining('low predicts 10 %') })
})

describe('an operator in the UI', () => {
  test('opens one by hand, with one JSON object under any id', async () => {
    const { sql } = here
    const { device } = await pump(sql)
    const handle = await here.worker.start({ tenant: 'demo', device, title: 'It rattles', severity: 'critical', onCall: ['ann'] })
    await until(async () => (await details(handle)).includes('### Notified: It rattles'), 'it is there')
    const report = await details(handle)
    expect(report).toContain('Opened by `operator`')
    expect(report).toContain('Updates: `accept`')
    const id = /id `([\w-]{36})`/.exec(report)![1]!
    expect((await sql`select workflow, rule, severity from tickets where id = ${id}`)[0]).toEqual({
      workflow: handle.workflowId,
      rule: null,
      severity: 'critical',
    })
    await handle.executeUpdate<string, [object]>('done', { args: [{ by: 'ann' }] })
    expect(await handle.result()).toMatchObject({ status: 'closed', reason: expect.stringContaining('nothing to watch') })
  })

  test.each([
    [{ title: 'x' }, 'device'],
    [{ id: 'mine', device: 'p', title: 'x' }, 'The id of a ticket is a UUID.'],
    [{ device: 'absent', title: 'x' }, 'There is no device absent of tenant'],
    [{ device: 'p', title: 'x', onCall: 'ann' }, 'must be a list of targets'],
    [{ device: 'p', title: 'x', colour: 'red' }, 'Unrecognized key'],
  ])('that starts %j reads what is wrong with it', async (request, problem) => {
    const handle = await here.worker.start({ tenant: 'demo', ...request })
    const error = await handle.result().catch((error: unknown) => error)
    expect(messages(error)).toContain(problem)
  })

  test('names a target or a model that is not there, and reads so, as over REST', async () => {
    const { device } = await pump(here.sql)
    const request = { device, title: 'It rattles', onCall: ['ann', 'zoe'], predict: 'absent' }
    const handle = await here.worker.start({ tenant: 'demo', ...request })
    expect(messages(await handle.result().catch((error: unknown) => error))).toContain(
      '/onCall/1: there is no target zoe: make it with PUT /v1/targets/zoe; /predict: there is no prediction model absent: make it with PUT /v1/prediction-models/absent',
    )
    expect(await here.sql`select 1 from tickets where device = ${device}`).toHaveLength(0)
  })

  test('passes it on to a target that is not there, and reads so, as over REST', async () => {
    const { becomes, steer, state, story, handle } = await ticketOf()
    await becomes('notified')
    const words = '/to: there is no target zoe: make it with PUT /v1/targets/zoe'
    const refused = await steer('reassign', { by: 'ann', to: 'zoe' }).catch((error: unknown) => error)
    expect(messages(refused)).toContain(words)
    expect(await state()).toMatchObject({ step: 1, status: 'notified', asked: { target: 'ann' } })
    expect(await details(handle)).toContain(`Last: reassign, asked in the Temporal UI, was refused. ${words}`)
    expect(await steer('reassign', { by: 'ann', to: 'bob' })).toContain('bob is told')
    expect(await story()).toEqual(['opened', 'told', 'reassigned'])
    await steer('cancel', { by: 'ann' })
    await handle.result()
  })

  test('passes it on to one that was there, once, though the word of it was lost', async () => {
    const { id, becomes, steer, story, handle } = await ticketOf()
    await becomes('notified')
    await targetIs(here.sql, 'eve')
    let isLost = false
    here.worker.instead.step = async (ticket, step) => {
      const look = await here.worker.store.step(ticket, step)
      if (ticket.id !== id || !step.change || isLost) return look
      isLost = true
      await here.sql`delete from targets where name = 'eve'`
      throw new Error('connection lost')
    }
    expect(await steer('reassign', { by: 'ann', to: 'eve' })).toContain('eve is told')
    expect(await story()).toEqual(['opened', 'told', 'reassigned'])
    await steer('cancel', { by: 'ann' })
    await handle.result()
  })

  test('reads why an Update makes no sense, and nothing of it is done', async () => {
    const { becomes, steer, state, handle } = await ticketOf()
    await becomes('notified')
    const refusal = async (action: string, argument: object) => messages(await steer(action, argument).catch((error: unknown) => error))
    expect(await refusal('accept', {})).toContain('by must be who says so')
    expect(await refusal('reopen', { by: 'ann', note: 'x' })).toContain('It is notified: only what is said to be done is reopened.')
    expect(await refusal('schedule', { by: 'ann', at: '2020-01-01T00:00:00Z' })).toContain('is past.')
    expect((await state()).step).toBe(1)
    await steer('cancel', { by: 'ann' })
    await handle.result()
  })

  test('sees two workflows at one ticket refused', async () => {
    const { id, becomes, steer } = await ticketOf()
    await becomes('notified')
    const other = await here.worker.start({ tenant: 'demo', id })
    expect(messages(await other.result().catch((error: unknown) => error))).toContain('works on this ticket already')
    await steer('cancel', { by: 'ann' })
  })
})

test('what is asked by signal is done once, however often it is told, and what makes no sense is said in the story', async () => {
  const { id, handle, becomes, story, steer } = await ticketOf()
  await becomes('notified')
  const asks: TicketAsked['asks'] = [
    { id: randomUUID(), ask: { action: 'accept', by: 'ann' }, origin: { via: 'link' } },
    { id: randomUUID(), ask: { action: 'accept', by: 'bob' }, origin: { via: 'system', system: 'erp', messageId: 'm-1', at: Date.now() } },
  ]
  for (let n = 0; n < 3; n++) await handle.signal(TICKET_ASKED_SIGNAL, { asks })
  await handle.signal(TICKET_ASKED_SIGNAL, { asks: [{ id: 'x', ask: { action: 'sell' }, origin: { via: 'rest' } }] } as never)
  await steer('comment', { by: 'ann', note: 'The last one' })
  expect(await story()).toEqual(['opened', 'told', 'accepted', 'ignored', 'comment'])
  const [ignored] = await here.sql<Array<{ text: string }>>`select text from ticket_events where ticket = ${id} and what = 'ignored'`
  expect(ignored!.text).toBe('What erp (bob) asked for, accept, was ignored. ann has it: reassign it to take it over.')
  await steer('cancel', { by: 'ann' })
})

test('it ends when its device is removed', async () => {
  const { device, look, becomes, handle, steer } = await ticketOf()
  await becomes('notified')
  await steer('start', { by: 'ann' })
  await here.sql`delete from devices where tenant = 'demo' and device = ${device}`
  await look()
  expect(await handle.result()).toMatchObject({ status: 'cancelled', reason: 'Its device was removed.' })
})

describe('whatever is lost', () => {
  test('a step whose result was lost is done once', async () => {
    let lost = 0
    here.worker.instead.step = async (ticket, step) => {
      const look = await here.worker.store.step(ticket, step)
      if (step.change && lost++ % 2 === 0) throw new Error('connection lost')
      return look
    }
    const { becomes, steer, alarms, handle, story, told, maintenance } = await ticketOf()
    await becomes('notified')
    await steer('accept', { by: 'ann' })
    await steer('start', { by: 'ann' })
    await alarms.clear()
    await steer('done', { by: 'ann' })
    await handle.result()
    expect(lost).toBeGreaterThan(8)
    expect(await story()).toEqual(['opened', 'told', 'accepted', 'started', 'done', 'verifying', 'closed'])
    expect(told()).toEqual(['ann: firing', 'ann: resolved'])
    expect(await maintenance()).toHaveLength(2)
  })

  test('a worker that ends and another that begins go on, with the timers that were set', async () => {
    const { becomes, steer, alarms, handle, story } = await ticketOf({
      deadlines: { ...DEFAULT_DEADLINES, major: { ...SOON, acceptMs: 2_000 } },
    })
    await becomes('notified')
    await here.worker.restart()
    await becomes('reassigned')
    await steer('accept', { by: 'bob' })
    await alarms.clear()
    await steer('done', { by: 'bob' })
    await here.worker.restart()
    expect(await handle.result()).toMatchObject({ status: 'closed' })
    expect(await story()).toEqual(['opened', 'told', 'reassigned', 'accepted', 'done', 'verifying', 'closed'])
  })

  test('a run that is reset to its beginning adopts what stands in Postgres, and does nothing twice', async () => {
    const { id, handle, becomes, steer, story, told, state } = await ticketOf()
    await becomes('notified')
    await steer('accept', { by: 'ann' })
    const { client } = here.worker
    const { runId } = await handle.describe()
    const { events } = await handle.fetchHistory()
    const first = events!.find(({ workflowTaskCompletedEventAttributes }) => workflowTaskCompletedEventAttributes)!
    await client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: handle.workflowId, runId },
      workflowTaskFinishEventId: first.eventId!,
      requestId: randomUUID(),
    })
    const again = client.workflow.getHandle(handle.workflowId)
    await again.executeUpdate<string, [object]>('comment', { args: [{ by: 'ann', note: 'After the reset' }] })
    expect(await storyOf(here.sql, id)).toEqual(['opened', 'told', 'accepted', 'comment'])
    expect(await state()).toMatchObject({ status: 'accepted', assignee: 'ann' })
    expect(told()).toEqual(['ann: firing'])
    await again.executeUpdate<string, [object]>('cancel', { args: [{ by: 'ann' }] })
    expect(await again.result()).toMatchObject({ status: 'cancelled' })
    expect((await story()).at(-1)).toBe('cancelled')
  })

  test('an alarm that joins in the moment in which it would be closed reopens it', async () => {
    const { becomes, steer, alarms, state, handle } = await ticketOf({ verifyForMs: 1_000 })
    await becomes('notified')
    await alarms.clear()
    let raised = false
    here.worker.instead.step = async (ticket, step) => {
      if (step.change?.event === 'closed' && !raised) {
        raised = true
        await alarms.raise()
      }
      return here.worker.store.step(ticket, step)
    }
    await steer('done', { by: 'ann' })
    await becomes('reopened')
    expect(raised).toBe(true)
    expect((await state()).endedAt).toBeNull()
    await steer('cancel', { by: 'ann' })
    await handle.result()
  })
})

test('much talk continues as new, with all that it carries', async () => {
  const { handle, becomes, steer, story, state } = await ticketOf()
  await becomes('notified')
  const { runId } = await handle.describe()
  let comments = 0
  const current = here.worker.client.workflow.getHandle(handle.workflowId)
  await until(async () => {
    await steer('comment', { by: 'ann', note: `Comment ${++comments}` })
    return (await current.describe()).runId !== runId
  }, 'another run')
  await steer('comment', { by: 'ann', note: 'In the next run' })
  expect(await details(current)).toContain('In the next run')
  expect((await story()).filter((what) => what === 'comment')).toHaveLength(comments + 1)
  expect((await here.worker.client.workflow.getHandle(handle.workflowId, runId).describe()).historyLength).toBeLessThan(250)
  expect(await state()).toMatchObject({ status: 'notified', stories: comments + 3 })
  await current.executeUpdate<string, [object]>('cancel', { args: [{ by: 'ann' }] })
})
