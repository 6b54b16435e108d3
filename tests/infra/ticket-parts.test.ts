/** Tickets with the real notices and predictions: what is told is a row for its target, in the transaction of the step; what cannot be had stops nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTicketNotices } from '../../infra/postgres/ticket-notices.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createTicketPredictions } from '../../infra/postgres/ticket-predictions.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import { playedTicket } from '../support/played-ticket.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { alarmsOf, PUBLIC_URL, pump, storyOf, ticketOf } from '../support/ticket-devices.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
  const { sql } = database
  await sql`insert into tenants (tenant) values ('demo') on conflict do nothing`
  await sql`insert into targets (tenant, name, kind, settings) values ('demo', 'ann', 'webhook', '{}')`
  await sql`
    insert into prediction_models (tenant, name, body, at_once, created_by) values ('demo', 'pump-failure', '{}', 1, 'test')`
})
afterAll(() => database?.drop())

const begun = async (more: Parameters<typeof ticketOf>[2] = {}) => {
  const { sql } = database
  const device = await pump(sql)
  const parts = { notices: createTicketNotices(), predictions: createTicketPredictions(), publicUrl: PUBLIC_URL }
  const alarms = alarmsOf(sql, device)
  const { id } = (await openTicket(sql, ticketOf(device, await alarms.raise(), more)))!
  const played = await playedTicket(createTicketStore(sql, parts), id)
  await played.settle()
  return { id, device, alarms, played }
}
const noticesOf = async (id: string) => {
  const rows = await database.sql<Array<{ target: string; status: string; state: string; step: string; words: string; links: string }>>`
    select target, status, state, step, words, links from notices where key = ${`ticket:${id}`} order by id`
  return rows.map(({ links, ...row }) => ({ ...row, links: JSON.parse(links) as Array<{ url: string }> }))
}

test('each word to a target is a notice, one that is told twice by two steps is two, and the last one is resolved', async () => {
  const { id, played } = await begun()
  await played.take(played.changeOf({ action: 'reassign', by: 'ann', to: 'bob' }))
  await played.take(played.changeOf({ action: 'reassign', by: 'bob', to: 'ann' }))
  await played.take(played.changeOf({ action: 'cancel', by: 'ann' }))
  const notices = await noticesOf(id)
  expect(notices.map(({ target, status, state, step }) => [step, target, status, state])).toEqual([
    ['1', 'ann', 'firing', 'waiting'],
    ['2', 'ann', 'resolved', 'waiting'],
    ['2', 'bob', 'firing', 'failed'],
    ['3', 'bob', 'resolved', 'failed'],
    ['3', 'ann', 'firing', 'waiting'],
    ['4', 'ann', 'resolved', 'waiting'],
  ])
  expect(notices[0]!.words).toContain('Please accept it until')
  expect(notices.map(({ links }) => links.length)).toEqual([1, 0, 1, 0, 1, 0])
  expect(notices[0]!.links[0]!.url).toMatch(/^https:\/\/castor\.example\.com\/base\/t\/[\w-]{43}$/)
  expect(played.state.status).toBe('cancelled')
})

test('a model is asked by the ticket, and its answer is seen', async () => {
  const { sql } = database
  const { id, device, played } = await begun({ predict: 'pump-failure' })
  expect(played.state).toMatchObject({ status: 'open', prediction: { tries: 1 } })
  const [asked] = await sql`
    select id, model, requested_kind as kind, requested_by as by, status from predictions where incarnation = ${device.incarnation}`
  expect(asked).toMatchObject({ model: 'pump-failure', kind: 'ticket', by: id, status: 'waiting' })
  await sql`
    update predictions set status = 'answered', answered_at = now(), probability = 0.7, threshold = 0.5, explanation = 'worn' where id = ${asked!.id}`
  await played.settle()
  expect(played.state).toMatchObject({ status: 'notified', risk: { probability: 0.7, threshold: 0.5 } })
  expect(await storyOf(sql, id)).toEqual(['opened', 'predict', 'predicted', 'told'])
})

test('one whose model is not there is told without it', async () => {
  const { played } = await begun({ predict: 'gone' })
  expect(played.state.status).toBe('notified')
  expect(played.state.story.map(({ text }) => text)).toContain('gone could not be asked (There is no prediction model gone.).')
})
