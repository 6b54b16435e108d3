/** Tickets and other systems: how they know one, and what they say of it, which comes twice, late and out of order. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventsOf } from '../support/ticket-devices.ts'
import { OTHER_KEY } from './test-api.ts'
import { type TicketApi, ticketApi } from './test-tickets.ts'

let api: TicketApi
beforeAll(async () => {
  api = await ticketApi()
})
afterAll(() => api?.database.drop())

const put = (id: string, body: object, key?: string) => api.ask('PUT', `/v1/tickets/${id}/external`, { body, ...(key && { key }) })
let keys = 0
/** A ticket that the ERP knows. */
async function known() {
  const { id } = await api.opened()
  const key = `WO-${++keys}`
  await put(id, { system: 'erp', key })
  return { id, key, say: (status: string, more: object = {}) => say({ key, status, ...more }) }
}
const say = (body: object, key?: string) =>
  api.ask('POST', '/v1/ticket-updates', { body: { system: 'erp', messageId: randomUUID(), by: 'eve', ...body }, ...(key && { key }) })
const ago = (ms: number) => ({ at: new Date(Date.now() - ms).toISOString() })

describe('how another system knows it', () => {
  test('is shown, stands in the story, and is told with its origin', async () => {
    const { id } = await api.opened()
    const external = { system: 'erp', key: 'WO-first', url: 'https://erp.example.com/WO-first', status: 'open' }
    const set = await put(id, external)
    expect([set.status, set.json.external]).toEqual([200, external])
    await put(id, external)
    const shown = await api.show(id)
    expect(shown.external).toEqual(external)
    expect(shown.story.filter(({ what }: { what: string }) => what === 'external')).toHaveLength(1)
    await put(id, { system: 'erp', key: 'WO-first', status: 'assigned' })
    expect((await api.show(id)).external).toEqual({ system: 'erp', key: 'WO-first', status: 'assigned' })
    const events = await eventsOf(api.database.sql, id)
    expect(events.slice(1).map(({ event }) => event)).toMatchObject([
      { what: ['external'], origin: { via: 'system', system: 'erp' }, ticket: { external: { status: 'open' } } },
      { what: ['external'], ticket: { external: { status: 'assigned' } } },
    ])
  })

  test('is of one ticket alone, of a tenant', async () => {
    const { key } = await known()
    const { id } = await api.opened()
    const taken = await put(id, { system: 'erp', key })
    expect([taken.status, taken.json.detail]).toEqual([409, `erp knows another ticket as ${key}.`])
    expect((await put(id, { system: 'other-erp', key })).status).toBe(200)
    expect((await put(id, { system: 'erp', key: 'x' }, OTHER_KEY)).status).toBe(404)
    expect((await put(randomUUID(), { system: 'erp', key: 'x' })).status).toBe(404)
  })

  test.each<[object, string]>([
    [{ key: 'x' }, '/system'],
    [{ system: 'my erp', key: 'x' }, '/system'],
    [{ system: 'erp', key: '' }, '/key'],
    [{ system: 'erp', key: 'x', url: 'javascript:alert(1)' }, '/url'],
    [{ system: 'erp', key: 'x', url: 'nonsense' }, '/url'],
    [{ system: 'erp', key: 'x', status: 'a\nb' }, '/status'],
    [{ system: 'erp', key: 'x', owner: 'y' }, '/owner'],
  ])('%j is refused by name', async (body, path) => {
    const { id } = await api.opened()
    const { status, json } = await put(id, body)
    expect([status, json.errors[0].path]).toEqual([400, path])
  })
})

describe('what another system says', () => {
  test('is done as if a person did it, and its event names where it came from', async () => {
    const { id, say } = await known()
    const messageId = randomUUID()
    const heard = await say('accepted', { messageId, note: 'Planned for tomorrow' })
    expect([heard.status, heard.json]).toEqual([200, { ticket: id, applied: true, detail: expect.stringContaining('It is yours.') }])
    await api.work(id)
    expect(await api.show(id)).toMatchObject({ status: 'accepted', assignee: 'eve' })
    const [event] = (await eventsOf(api.database.sql, id)).slice(-1)
    expect(event).toMatchObject({
      kind: 'ticket-updated',
      event: { what: ['accepted'], by: 'eve', origin: { via: 'system', system: 'erp', messageId } },
    })
    expect((await say('scheduled', { plannedAt: new Date(Date.now() + 3_600_000).toISOString() })).json.applied).toBe(true)
    expect((await say('in-progress')).json.applied).toBe(true)
    expect((await say('done')).json.applied).toBe(true)
    await api.work(id)
    expect(await api.show(id)).toMatchObject({ status: 'verifying' })
    expect((await say('cancelled')).json.applied).toBe(true)
    await api.work(id)
    expect((await api.show(id)).status).toBe('cancelled')
  })

  test('is done once, however often and at once it is said', async () => {
    const { id, say } = await known()
    const messageId = randomUUID()
    const answers = await Promise.all(Array.from({ length: 6 }, () => say('accepted', { messageId })))
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(5)
    expect((await api.show(id)).waiting).toHaveLength(1)
    await api.work(id)
    expect((await say('accepted', { messageId })).json).toEqual(answers[0]!.json)
    expect((await api.show(id)).story.filter(({ what }: { what: string }) => what === 'accepted')).toHaveLength(1)
  })

  test('late and out of order it is ignored aloud', async () => {
    const { id, say } = await known()
    expect((await say('in-progress', ago(1_000))).json.applied).toBe(true)
    const late = await say('accepted', ago(5_000))
    expect(late.json).toMatchObject({ applied: false, detail: expect.stringContaining('than what erp said last') })
    await api.work(id)
    expect((await say('scheduled', ago(3_000))).json.applied).toBe(false)
    expect((await say('scheduled', ago(0))).json).toMatchObject({ applied: false, detail: 'It is in progress already.' })
    const shown = await api.show(id)
    expect(shown.status).toBe('in-progress')
    const ignored = shown.story.filter(({ what }: { what: string }) => what === 'ignored')
    expect(ignored).toHaveLength(3)
    expect(ignored[0]).toMatchObject({ by: 'eve', via: 'system', text: expect.stringContaining('What erp said was ignored. It is older') })
  })

  test('in any order the newest word stays', async () => {
    const words = ['accepted', 'scheduled', 'in-progress', 'done']
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 0, 3, 1],
      [1, 3, 0, 2],
    ]) {
      const { id, say } = await known()
      for (const n of order) {
        await say(words[n]!, ago((4 - n) * 1_000))
        if (n % 2 === 0) await api.work(id)
      }
      await api.work(id)
      expect((await api.show(id)).status, order.join()).toBe('verifying')
    }
  })

  test('of before a relapse, that came after it, reopens no wound', async () => {
    const { id, say } = await known()
    await say('done', ago(0))
    await api.work(id)
    await api.act(id, 'reopen', { note: 'It rattles' })
    await api.work(id)
    expect((await say('done', ago(10_000))).json.applied).toBe(false)
    expect((await api.show(id)).status).toBe('reopened')
    expect((await say('done')).json.applied).toBe(true)
  })

  test('of a key that no ticket has is not kept, and may be said again when one has it', async () => {
    const messageId = randomUUID()
    const early = await say({ key: 'WO-early', status: 'accepted', messageId })
    expect([early.status, early.json.detail]).toEqual([404, expect.stringContaining('erp knows no ticket as WO-early')])
    const { id } = await api.opened()
    await put(id, { system: 'erp', key: 'WO-early' })
    expect((await say({ key: 'WO-early', status: 'accepted', messageId }, OTHER_KEY)).status).toBe(404)
    expect((await say({ key: 'WO-early', status: 'accepted', messageId })).json).toMatchObject({ ticket: id, applied: true })
  })

  test('of a ticket that is over is ignored aloud', async () => {
    const { id, say } = await known()
    await api.act(id, 'cancel')
    await api.work(id)
    expect((await say('done')).json).toEqual({ ticket: id, applied: false, detail: 'It is cancelled: nothing is done with it any more.' })
    expect((await api.show(id)).story.at(-1).what).toBe('ignored')
  })

  test.each<[object, string]>([
    [{ status: 'lost' }, '/status'],
    [{ messageId: '' }, '/messageId'],
    [{ messageId: undefined }, '/messageId'],
    [{ key: undefined }, '/key'],
    [{ by: '' }, '/by'],
    [{ at: 'yesterday' }, '/at'],
    [{ at: '2100-01-01T00:00:00Z' }, '/at'],
    [{ plannedAt: 'soon' }, '/plannedAt'],
    [{ note: '' }, '/note'],
    [{ colour: 'red' }, '/colour'],
  ])('%j is refused by name', async (changed, path) => {
    const { key } = await known()
    const { status, json } = await say({ key, status: 'accepted', ...changed })
    expect([status, json.errors[0].path]).toEqual([400, path])
  })
})
