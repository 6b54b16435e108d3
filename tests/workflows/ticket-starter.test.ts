/** Tickets that rules and people have opened, in a namespace of their own: workers start them, tell them what was asked and what is new to see, and start them again when they were ended from outside. */
import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ticketsUnderWay, ticketsWithNews, ticketTold, untoldTickets } from '../../infra/postgres/ticket-asked.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createTickets } from '../../infra/postgres/ticket-read.ts'
import { startTicketStarter } from '../../infra/temporal/ticket-starter.ts'
import { DEFAULT_DEADLINES, type TicketAsk } from '../../twin-models/core/ticket-types.ts'
import { OPERATIONS_QUEUE } from '../../workflows/task-queues.ts'
import { alarmsOf, pump, ruleIs, SOON, stateOf, storyOf, ticketOf } from '../support/ticket-devices.ts'
import { until } from '../support/wait.ts'
import { setting } from './setting.ts'
import { startTicketWorker } from './tickets.ts'

const here = setting((place) => startTicketWorker({ ...place, taskQueue: OPERATIONS_QUEUE }), { ownNamespace: true })
let starter: { stop(): Promise<void> }
const begin = (log = pino({ level: 'silent' })) => startTicketStarter({ ...here, log })
beforeAll(() => {
  starter = begin()
})
afterAll(() => starter?.stop())

/** As the action of a rule opens it, and people ask it over REST. */
async function opened(more: Parameters<typeof ticketOf>[2] = {}) {
  const { sql } = here
  const device = await pump(sql)
  const alarms = alarmsOf(sql, device, more.rule ?? undefined)
  const { id } = (await openTicket(sql, ticketOf(device, await alarms.raise(), more)))!
  const tickets = createTickets(sql)
  return {
    ...{ id, device, alarms, workflowId: `ticket:demo:${id}` },
    handle: here.worker.client.workflow.getHandle(`ticket:demo:${id}`),
    ask: (ask: TicketAsk) => tickets.ask('demo', id, { id: randomUUID(), ask, origin: { via: 'rest' } }, () => 'taken'),
    becomes: (status: string) => until(async () => (await stateOf(sql, id)).status === status, `it is ${status}`, 40_000),
  }
}

test('one that a rule opened is started, told what was asked, and looks when its alarm is cleared', async () => {
  const { id, workflowId, alarms, ask, becomes } = await opened()
  await becomes('notified')
  expect((await here.sql`select workflow from tickets where id = ${id}`)[0]!.workflow).toBe(workflowId)
  expect(await ask({ action: 'accept', by: 'ann' })).toEqual({ answer: 'taken' })
  await becomes('accepted')
  await ask({ action: 'done', by: 'ann' })
  await becomes('verifying')
  await alarms.clear()
  await becomes('closed')
  expect(await storyOf(here.sql, id)).toEqual(['opened', 'told', 'accepted', 'done', 'verifying', 'closed'])
  await until(async () => (await untoldTickets(here.sql)).length === 0, 'nothing is left to be told')
})

test('one that is verified looks when an alarm of its rule is raised, and one whose device is removed ends', async () => {
  const { id, device, alarms, ask, becomes } = await opened({ verifyForMs: 600_000 })
  await becomes('notified')
  await alarms.clear()
  await ask({ action: 'done', by: 'ann' })
  await becomes('verifying')
  await alarms.raise()
  await becomes('reopened')
  await here.sql`delete from devices where incarnation = ${device.incarnation}`
  await becomes('cancelled')
  expect((await stateOf(here.sql, id)).reason).toBe('Its device was removed.')
})

test('one that is verified looks when its rule is removed, and is closed on the word of who did it', async () => {
  const { sql } = here
  await ruleIs(sql, 'short-lived')
  const { id, ask, becomes } = await opened({ rule: 'short-lived', verifyForMs: 600_000 })
  await becomes('notified')
  await ask({ action: 'done', by: 'ann' })
  await becomes('verifying')
  await sql`delete from rules where name = 'short-lived'`
  await becomes('closed')
  expect((await stateOf(sql, id)).reason).toContain('Rule short-lived was removed')
})

test('what is new is told once, and one whose alarm comes and goes for ever is looked at seldom', async () => {
  const { sql } = here
  const { id, alarms, becomes } = await opened()
  await becomes('notified')
  await starter.stop()
  for (let n = 0; n < 12; n++) {
    await alarms.clear()
    await alarms.raise()
  }
  starter = begin()
  const seen = () => sql<[{ seen: string; nudged: string | null }]>`select seen, nudged from tickets where id = ${id}`
  await until(async () => (await seen())[0].seen === '1/13/12/3', 'it has seen them')
  expect((await seen())[0].nudged).toBe('1/13/12/3')
  await alarms.clear()
  await starter.stop()
  expect((await ticketsWithNews(sql)).filter((row) => row.id === id)).toEqual([])
  await alarms.worsen('critical')
  expect((await ticketsWithNews(sql)).map((row) => row.id)).toEqual([id])
  await sql`update tickets set nudged = '1/13/13/4' where id = ${id}`
  expect(await ticketsWithNews(sql)).toEqual([])
  starter = begin()
})

test('one whose workflow was ended from outside, or lost, goes on as it stood', { timeout: 120_000 }, async () => {
  const { sql } = here
  const deadlines = { ...DEFAULT_DEADLINES, major: { ...SOON, acceptMs: 4_000 } }
  const [terminated, cancelled, lost] = [await opened({ deadlines }), await opened({ deadlines }), await opened()]
  for (const { becomes } of [terminated, cancelled, lost]) await becomes('notified')
  await starter.stop()
  await terminated.handle.terminate()
  await cancelled.handle.cancel()
  await cancelled.handle.result().catch(() => {})
  await lost.handle.terminate()
  await here.worker.client.workflowService.deleteWorkflowExecution({
    namespace: here.namespace,
    workflowExecution: { workflowId: lost.workflowId },
  })
  const isKnown = () =>
    lost.handle.describe().then(
      () => true,
      () => false,
    )
  await until(async () => !(await isKnown()), 'Temporal has forgotten it', 60_000)
  const warned: string[] = []
  starter = begin(pino({ level: 'warn' }, { write: (line: string) => void warned.push(JSON.parse(line).workflow) }))
  for (const { becomes } of [terminated, cancelled]) await becomes('reassigned')
  await lost.ask({ action: 'accept', by: 'ann' })
  await lost.becomes('accepted')
  expect(new Set(warned)).toEqual(new Set([terminated, cancelled, lost].map(({ workflowId }) => workflowId)))
  for (const { id, ask, becomes } of [terminated, cancelled, lost]) {
    expect((await storyOf(sql, id)).slice(0, 2)).toEqual(['opened', 'told'])
    await ask({ action: 'cancel', by: 'ann' })
    await becomes('cancelled')
  }
})

test('of what was asked only what was told is forgotten, and no more is kept than people ask for', async () => {
  const { sql } = here
  await starter.stop()
  const { id, ask } = await opened()
  const taken: unknown[] = []
  for (let n = 0; n < 101; n++) taken.push(await ask({ action: 'comment', by: 'ann', note: `${n}` }))
  expect(taken.filter((answer) => answer === 'too-many')).toHaveLength(1)
  const row = (await untoldTickets(sql)).find((untold) => untold.id === id)!
  expect(row).toMatchObject({ workflow: null, tenant: 'demo' })
  await ticketTold(sql, id, row.asked.slice(0, 40))
  expect((await untoldTickets(sql)).find((untold) => untold.id === id)!.asked).toHaveLength(60)
  starter = begin()
  await until(async () => (await storyOf(sql, id)).length === 62, 'all of it stands in its story')
  await ask({ action: 'cancel', by: 'ann' })
})

test('those under way are looked for in Temporal in turns, and who is late at once', async () => {
  const { sql } = here
  await starter.stop()
  await sql`delete from tickets`
  await sql`
    insert into tickets (id, tenant, incarnation, device, text, plan, opened_by, severity, workflow, wakes_at)
    select gen_random_uuid(), 'demo', 1, 'p', '', '{}', 'ann', 'minor', 'w' || n, now() + case when n = 7 then -interval '2 minutes' else interval '1 hour' end
    from generate_series(1, 1400) n`
  const found = await ticketsUnderWay(sql)
  expect(found.length).toBeGreaterThan(400)
  expect(found.length).toBeLessThan(500)
  expect(found.map(({ workflow }) => workflow)).toContain('w7')
  await sql`delete from tickets where number > (select min(number) + 99 from tickets)`
  expect(await ticketsUnderWay(sql)).toHaveLength(100)
  await sql`delete from tickets`
})
