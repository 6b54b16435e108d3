/** Tickets that rules open: the action, the ticket, the story over REST; another alarm of the rule joins it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { actionId } from '../../api/alarms/action-id.ts'
import { openTicketOfRule } from '../../infra/postgres/ticket-open.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import { playedTicket } from '../support/played-ticket.ts'
import { PUBLIC_URL, recorder } from '../support/ticket-devices.ts'
import { ActionKit } from './action-kit.ts'

let kit: ActionKit
beforeAll(async () => {
  kit = await ActionKit.start({ openTicket: openTicketOfRule })
})
afterAll(() => kit?.stop())

test('an alarm opens a ticket, the next one of its rule joins it, and one after it has ended opens another', async () => {
  const { sql, api } = kit
  const { incarnation } = await api.register('p-1', {}, undefined, 'pump')
  await kit.rule('vibration', [{ kind: 'ticket', title: 'Bearing wears out', onCall: ['ann'] }], { verifyFor: '10m' })
  const { notices, models } = recorder()
  const store = createTicketStore(sql, { notices, predictions: models, publicUrl: PUBLIC_URL })
  const raise = async (n: number) => {
    await kit.happens([{ incarnation, rule: 'vibration', n }])
    await kit.worksOff()
    return (await kit.actions(incarnation)).at(-1)!.result!
  }
  const id = await raise(1)
  expect(id).toBe((await api.ask('GET', '/v1/tickets?rule=vibration')).json.items[0].id)
  const played = await playedTicket(store, id)
  await played.settle()
  const shown = (await api.ask('GET', `/v1/tickets/${id}`)).json
  expect(shown).toMatchObject({
    ...{ title: 'Bearing wears out', text: 'Alarm 1 of vibration', severity: 'major', rule: 'vibration', ruleVersion: 1, onCall: ['ann'] },
    ...{ status: 'notified', verifyFor: '10m', alarm: `${incarnation}-1`, openedBy: 'vibration', alarms: 1 },
  })
  await sql`update alarms set cleared_at = now(), status = 'cleared' where incarnation = ${incarnation}`
  expect(await raise(2)).toBe(id)
  await played.settle()
  expect((await api.ask('GET', `/v1/tickets/${id}`)).json).toMatchObject({ alarms: 2, story: { length: 3, 2: { what: 'alarm' } } })
  await played.take(played.changeOf({ action: 'cancel', by: 'ann' }))
  await sql`update alarms set cleared_at = now(), status = 'cleared' where incarnation = ${incarnation}`
  const next = await raise(3)
  expect(next).not.toBe(id)
  expect(next).toBe(actionId({ incarnation, n: 3, turn: 'raised', place: 0 }))
})

test('an alarm that outlives the maintenance in which it was raised opens its ticket then', async () => {
  const { api } = kit
  await kit.rule('leak', [{ kind: 'ticket', title: 'It leaks' }])
  const { incarnation } = await api.register('repaired', {}, undefined, 'pump')
  const tickets = async () => (await api.ask('GET', '/v1/tickets?device=repaired')).json.items.map(({ alarm }: { alarm: string }) => alarm)
  await kit.happens([{ incarnation, rule: 'leak', n: 1, muted: true }])
  await kit.worksOff()
  expect(await tickets()).toEqual([])
  await kit.happens([{ incarnation, rule: 'leak', n: 1, turn: 'heard' }])
  await kit.worksOff()
  expect(await tickets()).toEqual([`${incarnation}-1`])
})
