/** Tickets in Postgres: opened once for a device and rule, however many ask at once; each step once; and what goes with time. */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TicketStore } from '../../activities/ticket-ports.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { deleteEndedTickets } from '../../infra/postgres/ticket-retention.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import { initialTicket, nextTicketStep } from '../../twin-models/core/ticket.ts'
import type { TicketChange } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { playedTicket } from '../support/played-ticket.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import {
  alarmsOf,
  eventsOf,
  PUBLIC_URL,
  pump,
  type Recorder,
  recorder,
  ruleIs,
  storyOf,
  type TestDevice,
  ticketOf,
} from '../support/ticket-devices.ts'

let database: TestDatabase
let store: TicketStore
let recorded: Recorder
beforeAll(async () => {
  database = await testDatabase()
  await database.sql`insert into tenants (tenant) values ('demo'), ('other') on conflict do nothing`
})
afterAll(() => database?.drop())
beforeEach(() => {
  recorded = recorder()
  store = createTicketStore(database.sql, { notices: recorded.notices, predictions: recorded.models, publicUrl: PUBLIC_URL })
})

const counted = async (device: TestDevice) => {
  const [row] = await database.sql<[{ all: number; open: number }]>`
    select count(*)::int as all, count(*) filter (where ended_at is null)::int as open from tickets where incarnation = ${device.incarnation}`
  return row
}

const working = (id: string) => playedTicket(store, id)

describe('opening', () => {
  test('an alarm asks once, and others of its rule join the one that is open', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const first = await alarms.raise()
    const opened = await openTicket(sql, ticketOf(device, first))
    expect(opened).toEqual({ id: expect.any(String), outcome: 'opened' })
    expect(await openTicket(sql, ticketOf(device, first))).toEqual({ id: opened!.id, outcome: 'known' })
    await alarms.clear()
    const second = await alarms.raise()
    expect(await openTicket(sql, ticketOf(device, second))).toEqual({ id: opened!.id, outcome: 'joined' })
    expect(await openTicket(sql, ticketOf(device, 9, { rule: 'temperature' }))).toMatchObject({ outcome: 'opened' })
    expect(await counted(device)).toEqual({ all: 2, open: 2 })
  })

  test('with texts that are too long cuts them, and names nobody twice', async () => {
    const { sql } = database
    const device = await pump(sql)
    const onCall = ['ann', 'ann', ...Array.from({ length: 20 }, (_, n) => `p-${n}`)]
    const opened = await openTicket(sql, ticketOf(device, 1, { title: `two\nlines ${'x'.repeat(500)}`, text: 'y'.repeat(5_000), onCall }))
    const { plan, text } = (await store.find('demo', opened!.id))!
    expect([plan.title.length, plan.title.slice(0, 9), text.length, plan.onCall.length]).toEqual([200, 'two lines', 2_000, 10])
    expect(plan.onCall.slice(0, 2)).toEqual(['ann', 'p-0'])
  })

  test('of a device that is not there, or is another tenant’s, opens nothing', async () => {
    const { sql } = database
    const device = await pump(sql)
    expect(await openTicket(sql, ticketOf({ ...device, incarnation: 1e6 }, 1))).toBeUndefined()
    expect(await openTicket(sql, ticketOf(device, 1, { tenant: 'other' }))).toBeUndefined()
    expect(await counted(device)).toEqual({ all: 0, open: 0 })
  })

  test('many at once are one ticket, and each alarm is its own once', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const asks: number[] = []
    for (let n = 0; n < 4; n++) asks.push(await alarms.raise())
    const opened = await Promise.all([...asks, ...asks].map((n) => openTicket(sql, ticketOf(device, n))))
    expect(new Set(opened.map((one) => one!.id)).size).toBe(1)
    expect(opened.filter((one) => one!.outcome === 'opened')).toHaveLength(1)
    expect(await counted(device)).toEqual({ all: 1, open: 1 })
    const noted = await sql`select n from ticket_alarms where incarnation = ${device.incarnation} order by n`
    expect(noted.map(({ n }) => n)).toEqual(asks)
  })

  test('one that a person opened takes the alarm that is there, which asks for no other then, also when it is over', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const n = await alarms.raise()
    const { alarm: _, ruleVersion: __, ...byHand } = ticketOf(device, n)
    const opened = await openTicket(sql, { ...byHand, by: 'ann' })
    const run = await working(opened!.id)
    await run.settle()
    expect(await openTicket(sql, ticketOf(device, n))).toEqual({ id: opened!.id, outcome: 'known' })
    await run.take(run.changeOf({ action: 'cancel', by: 'ann' }))
    expect(await openTicket(sql, ticketOf(device, n))).toEqual({ id: opened!.id, outcome: 'known' })
    expect(await counted(device)).toEqual({ all: 1, open: 0 })
    await alarms.clear()
    expect(await openTicket(sql, ticketOf(device, await alarms.raise()))).toMatchObject({ outcome: 'opened' })
  })

  test('an alarm that its ticket saw asks for no other, though its action came late', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const opened = await openTicket(sql, ticketOf(device, await alarms.raise()))
    await alarms.clear()
    const late = await alarms.raise()
    const run = await working(opened!.id)
    await run.settle()
    await run.take(run.changeOf({ action: 'cancel', by: 'ann' }))
    expect(await openTicket(sql, ticketOf(device, late))).toEqual({ id: opened!.id, outcome: 'known' })
  })
})

describe('a step', () => {
  test('is done once, with all that belongs to it, and who comes with another of its number takes over what stands there', async () => {
    const { sql } = database
    const device = await pump(sql)
    const opened = await openTicket(sql, ticketOf(device, await alarmsOf(sql, device).raise()))
    const run = await working(opened!.id)
    await run.settle()
    const start = run.changeOf({ action: 'start', by: 'ann', forMs: 3_600_000 })
    const behind = await working(opened!.id)
    const other = behind.changeOf({ action: 'accept', by: 'bob' })
    await run.take(start)
    for (let again = 0; again < 2; again++)
      expect(await store.step(run.ticket, { n: run.n, change: start, heard: [], seen: '' })).toMatchObject({
        n: 2,
        ahead: { state: start.state },
      })
    await behind.take(other)
    expect([behind.n, behind.state.status, behind.state.assignee]).toEqual([2, 'in-progress', 'ann'])
    expect(await storyOf(sql, opened!.id)).toEqual(['opened', 'told', 'started'])
    expect(recorded.of(opened!.id)).toEqual(['ann: firing'])
    expect((await eventsOf(sql, opened!.id)).map(({ kind }) => kind)).toEqual(['ticket-opened', 'ticket-updated'])
    const requests = await sql<
      Array<{ kind: string; body: string }>
    >`select kind, body from twin_requests where incarnation = ${device.incarnation}`
    expect(requests.map(({ kind, body }) => ({ kind, ...JSON.parse(body) }))).toEqual([
      { kind: 'maintenance', until: start.maintenance, by: opened!.id, ticket: true },
    ])
  })

  test('that fails in the middle leaves nothing behind', async () => {
    const { sql } = database
    const device = await pump(sql)
    const opened = await openTicket(sql, ticketOf(device, await alarmsOf(sql, device).raise()))
    const failing = createTicketStore(sql, {
      notices: { insert: async () => Promise.reject(new Error('no connection')) },
      predictions: recorded.models,
      publicUrl: PUBLIC_URL,
    })
    const ticket = (await failing.find('demo', opened!.id))!
    const { sight } = await failing.step(ticket, { n: 0, heard: [], seen: '' })
    const step = nextTicketStep(initialTicket(ticket.plan), ticket.plan, sight, Date.now())
    if (step.kind !== 'change') throw new Error('It has nothing to do.')
    await expect(failing.step(ticket, { n: 1, change: step.change, heard: [], seen: sight.seen })).rejects.toThrow('no connection')
    expect(await storyOf(sql, opened!.id)).toEqual([])
    expect(await sql`select 1 from ticket_links where ticket = ${opened!.id}`).toHaveLength(0)
    expect((await store.find('demo', opened!.id))!.carried).toBeUndefined()
    await (await working(opened!.id)).settle()
    expect(await storyOf(sql, opened!.id)).toEqual(['opened', 'told'])
  })

  test('sees by what an alarm was cleared, and whether its rule still watches', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device, 'seen')
    const opened = await openTicket(sql, ticketOf(device, await alarms.raise(), { rule: 'seen' }))
    const run = await working(opened!.id)
    const seen = async () => {
      const { isUnwatched, isRuleGone, recent } = (await run.take()).sight
      return [isUnwatched, isRuleGone, recent[0]!.clearedBy]
    }
    await ruleIs(sql, 'seen')
    expect(await seen()).toEqual([undefined, undefined, undefined])
    await alarms.clear()
    await sql`update alarms set clear_reason = 'rule' where incarnation = ${device.incarnation}`
    expect(await seen()).toEqual([undefined, undefined, undefined])
    await sql`update alarms set clear_reason = 'person' where incarnation = ${device.incarnation}`
    await ruleIs(sql, 'seen', 'draft')
    expect(await seen()).toEqual([true, undefined, 'person'])
    await sql`delete from rules where name = 'seen'`
    expect(await seen()).toEqual([true, true, 'person'])
  })

  test('sees since when its device says nothing, unless it is connected', async () => {
    const { sql } = database
    const device = await pump(sql)
    const opened = await openTicket(sql, ticketOf(device, await alarmsOf(sql, device).raise()))
    const run = await working(opened!.id)
    const silentSince = async () => (await run.take()).sight.silentSince
    await sql`update twin_inbox set last_seen = 1234567890123 where incarnation = ${device.incarnation}`
    expect(await silentSince()).toBe(1_234_567_890_123)
    await sql`update twin_inbox set connection = '[1,1]' where incarnation = ${device.incarnation}`
    expect(await silentSince()).toBeUndefined()
    await sql`delete from twin_inbox where incarnation = ${device.incarnation}`
    expect(await silentSince()).toBe(0)
  })

  test('that ends it is not done when something was seen since', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const opened = await openTicket(sql, ticketOf(device, await alarms.raise()))
    const run = await working(opened!.id)
    await run.settle()
    await alarms.clear()
    await alarms.raise()
    const cancel = run.changeOf({ action: 'cancel', by: 'ann' })
    expect(await run.take(cancel)).toMatchObject({ n: 1, isStale: true, sight: { alarms: 2, recent: [{ n: 2 }, { n: 1 }] } })
    expect(run.state.status).toBe('notified')
    expect(await run.take(cancel)).not.toHaveProperty('isStale')
    expect(await counted(device)).toEqual({ all: 1, open: 0 })
  })

  test('sees that news of its device wait for the twin', async () => {
    const { sql } = database
    const device = await pump(sql)
    const opened = await openTicket(sql, ticketOf(device, await alarmsOf(sql, device).raise(), { verifyForMs: 1_000 }))
    const run = await working(opened!.id)
    const isBehind = async () => (await run.take()).sight.isBehind
    expect(await isBehind()).toBeUndefined()
    await sql`update twin_inbox set sealed_seq = 3 where incarnation = ${device.incarnation}`
    expect(await isBehind()).toBe(true)
    await sql`update devices set decided_seq = 3 where incarnation = ${device.incarnation}`
    expect(await isBehind()).toBeUndefined()
    await sql`update twin_inbox set urgent = true where incarnation = ${device.incarnation}`
    expect(await isBehind()).toBe(true)
  })

  test('asks its model of readings since the repair, where it is verified', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const opened = await openTicket(sql, ticketOf(device, await alarms.raise(), { predict: 'wear', verifyForMs: 1_000 }))
    const asked: Array<number | undefined> = []
    const { request } = recorded.models
    recorded.models.request = async (_tx, { since }) => {
      asked.push(since)
      return randomUUID()
    }
    const run = await working(opened!.id)
    await run.settle()
    await run.take({ ...run.changeOf({ action: 'done', by: 'ann' }), predict: true, predictSince: 1_700_000_000_000 })
    recorded.models.request = request
    expect(asked).toEqual([undefined, 1_700_000_000_000])
  })

  test('whose model cannot be asked says so, and is done', async () => {
    const { sql } = database
    const device = await pump(sql)
    const alarms = alarmsOf(sql, device)
    const opened = await openTicket(sql, ticketOf(device, await alarms.raise(), { predict: 'gone', verifyForMs: 1_000 }))
    recorded.models.request = async () => Promise.reject(new CastorError('invalid', 'There is no prediction model gone.'))
    const run = await working(opened!.id)
    await run.settle()
    const change: TicketChange = { ...run.changeOf({ action: 'accept', by: 'ann' }), predict: true }
    expect((await run.take(change)).sight.prediction).toEqual({ status: 'failed', detail: 'There is no prediction model gone.' })
    expect((await run.take()).sight.prediction).toEqual({ status: 'failed', detail: 'There is no prediction model gone.' })
  })
})

test('of two repairs of a device each asks for its own maintenance', async () => {
  const { sql } = database
  const device = await pump(sql)
  const begin = async (rule: string, alarm: number) => {
    const run = await working((await openTicket(sql, ticketOf(device, alarm, { rule })))!.id)
    await run.settle()
    return run
  }
  await alarmsOf(sql, device).raise()
  const [long, short] = [await begin('vibration', 1), await begin('temperature', 2)]
  const asked = async () => {
    const rows = await sql<Array<{ body: string }>>`
      select body from twin_requests where kind = 'maintenance' and incarnation = ${device.incarnation} order by created_at`
    return JSON.parse(rows.at(-1)!.body)
  }
  const start = long.changeOf({ action: 'start', by: 'ann', forMs: 7_200_000 })
  await long.take(start)
  expect(await asked()).toEqual({ until: start.maintenance, by: long.ticket.id, ticket: true })
  await short.take(short.changeOf({ action: 'start', by: 'bob', forMs: 3_600_000 }))
  expect(await asked()).toEqual({ until: short.state.maintenanceUntil, by: short.ticket.id, ticket: true })
  await long.take(long.changeOf({ action: 'cancel', by: 'ann' }))
  expect(await asked()).toEqual({ until: null, by: long.ticket.id, ticket: true })
  await short.take(short.changeOf({ action: 'done', by: 'bob' }))
  expect(await asked()).toEqual({ until: null, by: short.ticket.id, ticket: true })
})

test('of random alarms, actions that come late and twice, and tickets that end, one is open at most, and none is left without', async () => {
  const { sql } = database
  const what = fc.constantFrom('raise', 'clear', 'act', 'act late', 'end', 'settle')
  await fc.assert(
    fc.asyncProperty(fc.array(what, { minLength: 4, maxLength: 24 }), async (happenings) => {
      const device = await pump(sql)
      const alarms = alarmsOf(sql, device)
      let [raised, isOpen] = [0, false]
      const acted = new Set<number>()
      const act = async (n: number) => {
        acted.add(n)
        await Promise.all([openTicket(sql, ticketOf(device, n)), openTicket(sql, ticketOf(device, n))])
      }
      for (const happens of happenings) {
        const [open] = await sql<
          Array<{ id: string }>
        >`select id from tickets where incarnation = ${device.incarnation} and ended_at is null`
        if (happens === 'raise' && !isOpen) [raised, isOpen] = [await alarms.raise(), true]
        if (happens === 'clear' && isOpen) {
          await alarms.clear()
          isOpen = false
        }
        if (happens === 'act' && raised > 0) await act(raised)
        if (happens === 'act late' && raised > 1) await act(raised - 1)
        if (happens === 'settle' && open) await (await working(open.id)).settle()
        if (happens === 'end' && open) {
          const run = await working(open.id)
          await run.settle()
          await run.take(run.changeOf({ action: 'cancel', by: 'ann' }))
        }
        expect((await counted(device)).open).toBeLessThanOrEqual(1)
      }
      // Every alarm that asked is a ticket's.
      const owned = await sql<Array<{ n: number }>>`select n from ticket_alarms where incarnation = ${device.incarnation}`
      for (const n of acted) expect(owned.map((row) => row.n)).toContain(n)
    }),
    { numRuns: 40 },
  )
})

test('a year after they ended tickets go, links when they have expired, and what other systems said after a month', async () => {
  const { sql } = database
  const device = await pump(sql)
  const opened = await openTicket(sql, ticketOf(device, await alarmsOf(sql, device).raise()))
  const run = await working(opened!.id)
  await run.settle()
  await sql`insert into ticket_messages (tenant, system, message_id, ticket, answer) values ('demo', 'erp', ${randomUUID()}, ${opened!.id}, '{}')`
  const after = (days: number) => new Date(Date.now() + days * 86_400_000)
  const left = async () => {
    const [row] = await sql<[{ links: number; messages: number; tickets: number }]>`
      select (select count(*) from ticket_links where ticket = ${opened!.id})::int as links,
        (select count(*) from ticket_messages where ticket = ${opened!.id})::int as messages,
        (select count(*) from tickets where id = ${opened!.id})::int as tickets`
    return Object.values(row)
  }
  await deleteEndedTickets(sql, after(13))
  expect(await left()).toEqual([1, 1, 1])
  await deleteEndedTickets(sql, after(31))
  expect(await left()).toEqual([0, 0, 1])
  await deleteEndedTickets(sql, after(400))
  expect(await left(), 'one that is open stays').toEqual([0, 0, 1])
  await run.take(run.changeOf({ action: 'cancel', by: 'ann' }))
  await deleteEndedTickets(sql, after(364))
  expect((await left())[2]).toBe(1)
  await deleteEndedTickets(sql, after(366))
  expect((await left())[2]).toBe(0)
  expect(await storyOf(sql, opened!.id)).toEqual([])
})
