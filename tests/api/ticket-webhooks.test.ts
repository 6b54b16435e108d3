/** Tickets as other systems hear of them: events with the whole ticket, filtered by its device as all others, and with where a change came from. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { numberRows } from '../../infra/postgres/outbox.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import { steerTicket } from '../../twin-models/core/ticket-steer.ts'
import { playedTicket } from '../support/played-ticket.ts'
import { alarmsOf, PUBLIC_URL, recorder, ticketOf } from '../support/ticket-devices.ts'
import { until } from '../support/wait.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { DispatchKit } from './dispatch-kit.ts'

let kit: DispatchKit
let receiver: WebhookReceiver
beforeAll(async () => {
  kit = await DispatchKit.start()
  receiver = await WebhookReceiver.start()
})
afterEach(() => kit.clear())
afterAll(async () => {
  await kit?.stop()
  await receiver?.stop()
})

test('a webhook for tickets of a site is told of each step with the whole ticket, and of its own words that they are its own', async () => {
  const { sql } = kit
  const { notices, models } = recorder()
  const store = createTicketStore(sql, { notices, predictions: models, publicUrl: PUBLIC_URL })
  const begin = async (device: string, site: string) => {
    const { incarnation } = await kit.api.register(device, { site }, undefined, 'pump')
    const alarms = alarmsOf(sql, { device, incarnation })
    const { id } = (await openTicket(sql, ticketOf({ device, incarnation }, await alarms.raise())))!
    return playedTicket(store, id)
  }
  await kit.settleAll()
  const types = ['ticket.opened', 'ticket.updated', 'ticket.closed']
  await kit.webhook(receiver.url, { types, filter: "attributes.site = 'north'", ordered: true })
  const [north, south] = [await begin('p-north', 'north'), await begin('p-south', 'south')]
  for (const played of [north, south]) {
    await played.settle()
    const origin = { via: 'system', system: 'erp', messageId: 'm-1', at: Date.now() } as const
    const steered = steerTicket(played.state, played.ticket.plan, { action: 'accept', by: 'eve' }, origin, Date.now())
    if (steered.refused === undefined) await played.take(steered.change)
    await played.take(played.changeOf({ action: 'cancel', by: 'ann', note: 'It is scrapped' }))
  }
  await numberRows(sql, 1_000)
  kit.dispatch()
  await until(() => receiver.received.length >= 3, 'all of them arrive')
  const bodies = receiver.received.map(({ body }) => JSON.parse(body))
  expect(bodies.map(({ type }) => type)).toEqual(types)
  expect(bodies.map(({ data }) => data.device)).toEqual(['p-north', 'p-north', 'p-north'])
  expect(bodies[0].data).toMatchObject({
    ...{ kind: 'ticket-opened', what: ['opened', 'told'], origin: { via: 'castor' }, cause: { by: 'ticket', who: 'vibration' } },
    ticket: {
      id: north.ticket.id,
      status: 'notified',
      severity: 'major',
      device: 'p-north',
      rule: 'vibration',
      alarms: 1,
      onCall: ['ann', 'bob'],
    },
  })
  expect(bodies[1].data).toMatchObject({
    by: 'eve',
    origin: { via: 'system', system: 'erp', messageId: 'm-1' },
    ticket: { assignee: 'eve' },
  })
  expect(bodies[2].data).toMatchObject({
    by: 'ann',
    text: 'It is cancelled. ann cancelled it. “It is scrapped”',
    ticket: { status: 'cancelled', endedAt: expect.any(String) },
  })
})

test('a webhook of a system is told all but its own words, and what comes of them by itself', async () => {
  const { sql } = kit
  const { notices, models } = recorder()
  const store = createTicketStore(sql, { notices, predictions: models, publicUrl: PUBLIC_URL })
  const { incarnation } = await kit.api.register('p-echo', {}, undefined, 'pump')
  const alarms = alarmsOf(sql, { device: 'p-echo', incarnation })
  await kit.settleAll()
  for (const system of ['erp', 'desk']) await kit.webhook(`${receiver.url}${system}`, { types: ['*'], ordered: true, system })
  const played = await playedTicket(store, (await openTicket(sql, ticketOf({ device: 'p-echo', incarnation }, await alarms.raise())))!.id)
  await played.settle()
  const says = async (system: string, ask: { action: 'accept' | 'done' | 'comment'; note?: string }) => {
    const origin = { via: 'system', system, messageId: `m-${ask.action}`, at: Date.now() } as const
    const steered = steerTicket(played.state, played.ticket.plan, { ...ask, by: 'eve' } as never, origin, Date.now())
    if (steered.refused !== undefined) throw new Error(steered.refused)
    await played.take(steered.change)
  }
  await says('erp', { action: 'accept' })
  await says('desk', { action: 'comment', note: 'hm' })
  await says('erp', { action: 'done' })
  await played.settle()
  await numberRows(sql, 1_000)
  kit.dispatch()
  const at = (system: string) =>
    receiver.received
      .filter(({ path }) => path === `/${system}`)
      .map(({ body }) => JSON.parse(body))
      .filter(({ type }) => type.startsWith('ticket.'))
      .map(({ data }) => data.what.join())
  const shown = ['opened,told', 'accepted', 'comment', 'done', 'verifying']
  const [toErp, toDesk] = [['opened,told', 'comment', 'verifying'], shown.filter((what) => what !== 'comment')]
  await until(() => at('erp').length >= toErp.length && at('desk').length >= toDesk.length, 'all of them arrive')
  expect([at('erp'), at('desk')]).toEqual([toErp, toDesk])
})
