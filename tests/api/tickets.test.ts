/** Tickets over REST: opened by hand, listed, shown with their story, and steered; what makes no sense is refused with a reason. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { alarmsOf, ruleIs } from '../support/ticket-devices.ts'
import { allItems, OTHER_KEY } from './test-api.ts'
import { ANN_KEY, type TicketApi, ticketApi } from './test-tickets.ts'

let api: TicketApi
beforeAll(async () => {
  api = await ticketApi()
  await ruleIs(api.database.sql, 'vibration')
  await api.ask('PUT', '/v1/targets/ann', { body: { kind: 'webhook', url: 'https://example.com/ann' } })
})
afterAll(() => api?.database.drop())

describe('opening one by hand', () => {
  const open = (body: object, headers: Record<string, string> = {}) => api.ask('POST', '/v1/tickets', { body, headers })

  test('makes it, with sensible times, and shows it', async () => {
    await api.register('hand-1')
    const made = await open({ device: 'hand-1', title: 'It rattles', onCall: ['ann'], deadlines: { minor: { accept: '2h' } } })
    expect([made.status, made.headers.get('location')]).toEqual([201, `/v1/tickets/${made.json.id}`])
    expect(made.json).toMatchObject({
      ...{
        status: 'open',
        severity: 'minor',
        title: 'It rattles',
        text: '',
        device: 'hand-1',
        openedBy: 'admin',
        onCall: ['ann'],
        verifyFor: '30m',
      },
      deadlines: { critical: { accept: '15m', done: '4h' }, minor: { accept: '2h', done: '7d' } },
      ...{ relapses: 0, alarms: 0, missed: 0 },
    })
    expect(made.json).not.toHaveProperty('rule')
    expect(made.json).not.toHaveProperty('alarm')
    await api.work(made.json.id)
    expect(await api.show(made.json.id)).toMatchObject({
      ...{ status: 'notified', asked: { target: 'ann' }, itsAlarms: [] },
      story: [
        { n: 1, what: 'opened', by: 'admin', text: 'Opened by admin.' },
        { n: 2, what: 'told' },
      ],
    })
  })

  test('for somebody who cannot be told, or a model that is not there, is refused: nobody would notice', async () => {
    await api.register('hand-0')
    const refused = await open({ device: 'hand-0', title: 'It rattles', onCall: ['ann', 'anne'], predict: 'pump-failur' })
    expect([refused.status, refused.json.errors]).toEqual([
      400,
      [
        { path: '/onCall/1', detail: 'there is no target anne: make it with PUT /v1/targets/anne' },
        { path: '/predict', detail: 'there is no prediction model pump-failur: make it with PUT /v1/prediction-models/pump-failur' },
      ],
    ])
    const { id } = await api.opened()
    const passedOn = await api.act(id, 'reassign', { by: 'ann', to: 'anne' })
    expect([passedOn.status, passedOn.json.errors[0].path]).toEqual([400, '/to'])
  })

  test('where one is open for the device and rule it is that one', async () => {
    const { id, device } = await api.opened()
    const again = await open({ device, title: 'Again', rule: 'vibration' })
    expect([again.status, again.json.id, again.json.title]).toEqual([200, id, 'Bearing wears out'])
    const other = await open({ device, title: 'Another cause', rule: 'temperature' })
    expect(other.status).toBe(201)
  })

  test('an alarm of the rule that is there is its', async () => {
    const { incarnation } = await api.register('hand-2')
    const alarms = alarmsOf(api.database.sql, { device: 'hand-2', incarnation })
    await alarms.raise('critical')
    const made = await open({ device: 'hand-2', title: 'It rattles', rule: 'vibration' })
    await api.work(made.json.id)
    expect(await api.show(made.json.id)).toMatchObject({
      severity: 'critical',
      alarms: 1,
      itsAlarms: [{ id: `${incarnation}-1`, severity: 'critical' }],
    })
  })

  test('once under an Idempotency-Key', async () => {
    await api.register('hand-3')
    const headers = { 'idempotency-key': randomUUID() }
    const body = { device: 'hand-3', title: 'It rattles' }
    const [first, again] = [await open(body, headers), await open(body, headers)]
    expect([again.status, again.json.id, again.headers.get('idempotency-replayed')]).toEqual([201, first.json.id, 'true'])
    expect((await open({ ...body, title: 'Other' }, headers)).status).toBe(409)
    const { device } = await api.opened()
    const joining = { 'idempotency-key': randomUUID() }
    for (let again = 0; again < 2; again++) expect((await open({ device, title: 'x', rule: 'vibration' }, joining)).status).toBe(200)
    const absent = { 'idempotency-key': randomUUID() }
    expect((await open({ ...body, device: 'absent' }, absent)).status).toBe(400)
    expect((await open(body, absent)).status).toBe(201)
  })

  test.each<[object, string]>([
    [{ title: 'x' }, '/device'],
    [{ device: 'absent', title: 'x' }, '/device'],
    [{ device: 'hand-1', title: '' }, '/title'],
    [{ device: 'hand-1', title: 'x', verifyFor: 'soon' }, '/verifyFor'],
    [{ device: 'hand-1', title: 'x', deadlines: { worst: {} } }, '/deadlines/worst'],
    [{ device: 'hand-1', title: 'x', colour: 'red' }, '/colour'],
  ])('%j is refused by name', async (body, path) => {
    const { status, json } = await open(body)
    expect([status, json.errors[0].path]).toEqual([400, path])
  })
})

describe('lists', () => {
  test('are narrowed by how they stand, and paged, the newest first', async () => {
    const made = [await api.opened({ severity: 'critical' }), await api.opened(), await api.opened()]
    await api.act(made[1]!.id, 'accept', { by: 'zoe' })
    await api.work(made[1]!.id)
    await api.act(made[2]!.id, 'cancel')
    await api.work(made[2]!.id)
    const ids = async (query: string) => (await allItems(api, `/v1/tickets?limit=2&${query}`)).map(({ id }) => id)
    const all = await ids('')
    expect(all.slice(0, 3)).toEqual(made.map(({ id }) => id).reverse())
    expect(new Set(all).size).toBe(all.length)
    expect(await ids('assignee=zoe')).toEqual([made[1]!.id])
    expect(await ids(`device=${made[0]!.device}&rule=vibration`)).toEqual([made[0]!.id])
    expect(await ids(`device=${made[0]!.device}&rule=temperature`)).toEqual([])
    expect(await ids('status=cancelled&open=false')).toContain(made[2]!.id)
    expect(await ids('open=true')).not.toContain(made[2]!.id)
    expect(await ids('open=true&status=cancelled')).toEqual([])
    expect(await ids('severity=critical,major&status=notified')).toContain(made[0]!.id)
    expect((await api.ask('GET', '/v1/tickets?status=lost')).json.errors[0].path).toBe('query:status')
    expect((await api.ask('GET', '/v1/tickets?open=maybe')).status).toBe(400)
    expect((await api.ask('GET', '/v1/tickets', { key: OTHER_KEY })).json.items).toEqual([])
  })
})

describe('steering one', () => {
  test('is told to its workflow, and shown until then', async () => {
    const { id } = await api.opened()
    const accepted = await api.act(id, 'accept', { note: 'On my way' }, ANN_KEY)
    expect(accepted.status).toBe(202)
    expect(accepted.json).toMatchObject({ id, status: 'notified', answer: expect.stringContaining('It is yours.') })
    expect(accepted.json.waiting).toEqual([{ action: 'accept', by: 'ann', note: 'On my way' }])
    await api.work(id)
    const after = await api.show(id)
    expect(after).toMatchObject({ status: 'accepted', assignee: 'ann' })
    expect(after).not.toHaveProperty('waiting')
    expect(after.story.at(-1)).toMatchObject({ what: 'accepted', by: 'ann', via: 'rest', text: 'ann accepted it. “On my way”' })
  })

  test('its whole course over REST', async () => {
    const { id, alarms } = await api.opened({ verifyForMs: 1 })
    const at = new Date(Date.now() + 3_600_000).toISOString()
    const asks: Array<[string, object, string]> = [
      ['reassign', { by: 'ann' }, 'bob is told'],
      ['accept', { by: 'bob' }, 'It is yours.'],
      ['schedule', { at }, 'It is planned for'],
      ['start', { for: '2h' }, 'in maintenance until'],
      ['comment', { note: 'The spare part is here' }, 'in the story'],
    ]
    for (const [action, body, answer] of asks) {
      const { status, json } = await api.act(id, action, body)
      expect([status, json.answer]).toEqual([202, expect.stringContaining(answer)])
    }
    expect((await api.show(id)).waiting).toEqual([
      { action: 'reassign', by: 'ann' },
      { action: 'accept', by: 'bob' },
      { action: 'schedule', by: 'admin', at },
      { action: 'start', by: 'admin', for: '2h' },
      { action: 'comment', by: 'admin', note: 'The spare part is here' },
    ])
    await api.work(id)
    expect(await api.show(id)).toMatchObject({ status: 'in-progress', assignee: 'bob', maintenanceUntil: expect.any(String) })
    await alarms.clear()
    await api.act(id, 'done', { by: 'bob', note: 'A new bearing' })
    await api.work(id)
    await new Promise((resolve) => setTimeout(resolve, 5))
    await api.work(id)
    expect(await api.show(id)).toMatchObject({
      status: 'closed',
      endedAt: expect.any(String),
      reason: expect.stringContaining('stayed away'),
    })
    const over = await api.act(id, 'comment', { note: 'Well done' })
    expect([over.status, over.json.detail]).toEqual([409, 'It is closed: nothing is done with it any more.'])
  })

  test('what was asked before counts, though its workflow is yet to be told', async () => {
    const { id } = await api.opened()
    expect((await api.act(id, 'reopen', { note: 'x' })).json.detail).toBe('It is notified: only what is said to be done is reopened.')
    expect((await api.act(id, 'done', { by: 'ann' })).status).toBe(202)
    expect((await api.act(id, 'accept', { by: 'ann' })).json.detail).toBe('It is done: reopen it if it is not.')
    expect((await api.act(id, 'reopen', { note: 'It rattles' })).status).toBe(202)
    expect((await api.act(id, 'cancel')).status).toBe(202)
    expect((await api.act(id, 'cancel')).status).toBe(409)
    await api.work(id)
    expect((await api.show(id)).status).toBe('cancelled')
  })

  test.each<[string, object, string]>([
    ['accept', { by: '' }, '/by'],
    ['accept', { to: 'bob' }, '/to'],
    ['schedule', {}, '/at'],
    ['schedule', { at: 'tomorrow' }, '/at'],
    ['start', { for: '31d' }, '/for'],
    ['comment', {}, '/note'],
    ['reopen', { note: '' }, '/note'],
    ['cancel', { reason: 'x' }, '/reason'],
  ])('%s with %j is refused by name', async (action, body, path) => {
    const { id } = await api.opened()
    const { status, json } = await api.act(id, action, body)
    expect([status, json.errors[0].path]).toEqual([400, path])
    expect(await api.show(id)).not.toHaveProperty('waiting')
  })

  test('is for its tenant alone', async () => {
    const { id } = await api.opened()
    for (const [method, path] of [
      ['GET', `/v1/tickets/${id}`],
      ['POST', `/v1/tickets/${id}/accept`],
      ['GET', '/v1/tickets/nonsense'],
      ['GET', `/v1/tickets/${randomUUID()}`],
    ] as const)
      expect((await api.ask(method, path, { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', `/v1/tickets/${id}`, { key: null })).status).toBe(401)
  })

  test('too much at once is refused until its workflow is told', async () => {
    const { id } = await api.opened()
    for (let n = 0; n < 100; n++) expect((await api.act(id, 'comment', { note: `${n}` })).status).toBe(202)
    const { status, headers } = await api.act(id, 'comment', { note: 'one more' })
    expect([status, headers.get('retry-after')]).toEqual([503, '5'])
  })
})
