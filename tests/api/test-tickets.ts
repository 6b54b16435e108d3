/** Tickets over REST, by links and by other systems, their workflow played over the store that it uses. */
import { hash } from 'node:crypto'
import { ticketStarted, ticketTold, untoldTickets } from '../../infra/postgres/ticket-asked.ts'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createTicketStore } from '../../infra/postgres/tickets.ts'
import { playedTicket } from '../support/played-ticket.ts'
import { alarmsOf, PUBLIC_URL, type Recorder, recorder, speaks, ticketOf } from '../support/ticket-devices.ts'
import { type Answer, type TestApi, testApi } from './test-api.ts'

export const ANN_KEY = 'ann-key-0123456789'

export interface TicketApi extends TestApi {
  recorder: Recorder
  /** One that a rule opened for a device of its own. */
  opened(more?: Parameters<typeof ticketOf>[2]): Promise<{ id: string; device: string; alarms: ReturnType<typeof alarmsOf> }>
  act(id: string, action: string, body?: object, key?: string): Promise<Answer>
  show(id: string): Promise<Answer['json']>
  /** Its workflow: what was asked until now is done, and what it does by itself. */
  work(id: string): Promise<void>
  /** Of the newest message to this target: where its link leads, from the root of Castor. */
  linkOf(target: string): string
}

export async function ticketApi(overrides: Parameters<typeof testApi>[0] = {}): Promise<TicketApi> {
  const api = await testApi(overrides)
  const { sql } = api.database
  await sql`insert into api_keys (key_hash, tenant, name) values (${hash('sha256', ANN_KEY, 'buffer')}, 'demo', 'ann')`
  const recorded = recorder()
  const store = createTicketStore(sql, { notices: recorded.notices, predictions: recorded.models, publicUrl: PUBLIC_URL })
  let devices = 0

  const work: TicketApi['work'] = async (id) => {
    await ticketStarted(sql, id, 'w')
    const played = await playedTicket(store, id)
    await played.settle()
    const asked = (await untoldTickets(sql)).find((row) => row.id === id)?.asked ?? []
    await played.hear(asked)
    if (asked.length > 0) await ticketTold(sql, id, asked)
    await played.settle()
  }

  return {
    ...{ ...api, recorder: recorded, work },
    async opened(more = {}) {
      const device = `p-${++devices}`
      const { incarnation } = await api.register(device, {}, undefined, 'pump')
      await speaks(sql, incarnation)
      const alarms = alarmsOf(sql, { device, incarnation })
      const { id } = (await openTicket(sql, ticketOf({ device, incarnation }, await alarms.raise(more.severity), more)))!
      await work(id)
      return { id, device, alarms }
    },
    act: (id, action, body, key) =>
      api.ask('POST', `/v1/tickets/${id}/${action}`, { ...(body && { body }), ...(key !== undefined && { key }) }),
    show: async (id) => (await api.ask('GET', `/v1/tickets/${id}`)).json,
    linkOf: (target) => {
      const message = recorded.messages.findLast((message) => message.target === target && message.links.length > 0)!
      return message.links[0]!.url.slice(PUBLIC_URL.length)
    },
  }
}
