/** /v1/twins/{id}/history over REST: what the real core decided, as the real decision store wrote it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decidedPart } from '../../twin-models/core/decided.ts'
import { evolve } from '../../twin-models/core/evolve.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { TwinEvent } from '../../twin-models/core/types.ts'
import { type Answer, allItems, OTHER_KEY, type TestApi, testApi } from './test-api.ts'
import { type TestTwin, testTwin } from './test-twin.ts'

let api: TestApi
let twin: TestTwin
const at = Date.now()

beforeAll(async () => {
  api = await testApi()
  twin = await testTwin(api, 'h-1')
  await live(twin)
})
afterAll(() => api?.database.drop())

/** Something of every kind: presence, firmware, wishes that converge, are refused, run out, are replaced and lose; commands and their ends. */
async function live(of: TestTwin) {
  const wish = (body: object, query = '') => of.during(api.ask('PATCH', `/v1/twins/h-1/desired${query}`, { body }))
  const reported = (ms: number, state: { [name: string]: number }, more: object = {}) =>
    of.decide({ kind: 'reported', at: at + ms, ts: at + ms, state, messageId: `m-${ms}`, ...more })

  await of.decide(
    { kind: 'life', at, messageId: 'm-0' },
    { kind: 'event', at: at + 1, name: 'moved', ts: at - 5, data: { to: 'roof\u0000' } },
  )
  await of.decide({ kind: 'hello', at: at + 2, status: 'online', firmware: { version: '1.2.0' }, health: { ok: true, battery: 80 } })
  await of.decide({ kind: 'reading', at: at + 3, name: 'temperature', value: 38.2, ts: at + 3 })
  await wish({ targetTemperature: 20 })
  await reported(10, { targetTemperature: 18 }, { version: 1 })
  await wish({ targetTemperature: 21 }, '?retry=5s')
  await reported(20, { targetTemperature: 21 }, { version: 2 })
  await reported(86_400_000, { targetTemperature: 25 })
  await wish({ targetTemperature: 22 }, '?deadline=1s')
  await of.decide({ kind: 'due', at: Date.now() + 5_000, sent: [] })
  await wish({ targetTemperature: 23 })
  await reported(
    86_500_000,
    {},
    { version: of.state.desired.version, rejected: { '/targetTemperature': { code: 'too-warm', message: 'No.' } } },
  )
  await of.during(api.ask('POST', '/v1/twins/h-1/commands', { body: { name: 'diagnose' } }))
  const [command] = of.state.commands
  await of.decide({ kind: 'command-answer', at: at + 30, id: command!.id, status: 'succeeded', output: { uptimeSeconds: 3 } })
  await of.decide({ kind: 'command-answer', at: at + 31, id: command!.id, status: 'failed', code: 'late' })
  const identify = await of.during(api.ask('POST', '/v1/twins/h-1/commands', { body: { name: 'identify' } }))
  await of.during(api.ask('DELETE', `/v1/commands/${identify.json.id}`))
  await wish({ targetTemperature: 24 })
  await of.decide({ kind: 'hello', at: at + 86_600_000, status: 'offline' })
}

const history = (query = '') => allItems(api, `/v1/twins/h-1/history${query}`)

test('a twin rebuilt from its history is the twin that is shown', async () => {
  const events = (await history('?limit=3')).map(asStored)
  const rebuilt = decidedPart(events.reduce(evolve, initialState()))
  const { json } = await api.ask('GET', '/v1/twins/h-1')
  const { lastSeenAt: _, connected: __, ...presence } = json.presence
  const { desired, reported, delta, firmware, health } = json
  expect({ desired, reported, delta, firmware, health, presence }).toEqual({
    desired: rebuilt.desired,
    reported: rebuilt.reported,
    delta: rebuilt.delta,
    firmware: rebuilt.firmware,
    health: rebuilt.health,
    presence: rebuilt.presence,
  })
  expect(Object.keys(desired.metadata)).toEqual(['/targetTemperature'])
})

/** As the core has it: times are epoch milliseconds. */
function asStored(item: Answer['json']): TwinEvent {
  const { time: _, revision: __, at, ts, deadlineAt, command, ...rest } = item
  return {
    ...rest,
    at: Date.parse(at),
    ...(ts && { ts: Date.parse(ts) }),
    ...(deadlineAt && {
      deadlineAt: Object.fromEntries(Object.entries<string>(deadlineAt).map(([path, text]) => [path, Date.parse(text)])),
    }),
    ...(command && { command: { ...command, expiresAt: Date.parse(command.expiresAt) } }),
  }
}

describe('the list', () => {
  test('tells what was decided in order, with before, after and the cause: message, request and who, or timer', async () => {
    const items = await history()
    const kinds = new Set(items.map(({ kind }) => kind))
    for (const kind of ['configured', 'presence-changed', 'firmware-changed', 'range-changed', 'device-event', 'reported-changed'])
      expect(kinds).toContain(kind)
    for (const kind of ['changed', 'acknowledged', 'converged', 'diverged', 'conflict']) expect(kinds).toContain(`desired-${kind}`)
    for (const kind of ['requested', 'released', 'ended', 'late']) expect(kinds).toContain(`command-${kind}`)
    const revisions = items.map(({ revision }) => revision)
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
    const times = items.map(({ time }) => time)
    expect(times).toEqual(times.toSorted())

    expect(items.find(({ kind }) => kind === 'presence-changed')).toEqual({
      time: expect.stringMatching(/Z$/),
      revision: 2,
      kind: 'presence-changed',
      at: new Date(at).toISOString(),
      before: 'never',
      after: 'online',
      reason: 'message',
      cause: { by: 'message', messageId: 'm-0' },
    })
    const [wished] = items.filter(({ kind }) => kind === 'desired-changed')
    const [request] = await api.database.sql`select id from twin_requests where kind = 'wish' order by created_at limit 1`
    expect(wished).toMatchObject({ version: 1, changes: [{ path: '/targetTemperature', after: 20 }], by: 'admin' })
    expect(wished.cause).toEqual({ by: 'request', request: request!.id, who: 'admin' })
    expect(Date.parse(wished.deadlineAt['/targetTemperature'])).toBe(Date.parse(wished.at) + 86_400_000)
    const late = items.find(({ kind, reason }) => kind === 'desired-diverged' && reason === 'deadline')
    expect(late.cause).toEqual({ by: 'timer' })
    expect(items.find(({ kind }) => kind === 'device-event')).toMatchObject({
      ts: new Date(at - 5).toISOString(),
      data: { to: 'roof\u0000' },
    })
  })

  test('can be read from its end, and page by page both ways', async () => {
    const items = await history()
    expect(await history('?order=desc')).toEqual(items.toReversed())
    for (const limit of [1, 4, items.length]) {
      expect(await history(`?limit=${limit}`)).toEqual(items)
      expect(await history(`?limit=${limit}&order=desc`)).toEqual(items.toReversed())
    }
    const { next } = (await api.ask('GET', '/v1/twins/h-1/history?limit=1')).json
    expect((await api.ask('GET', `/v1/twins/h-1/history?order=desc&cursor=${next}`)).status).toBe(400)
  })

  test('narrows by kind and by time', async () => {
    const items = await history()
    const some = items.filter(({ kind }) => kind === 'command-ended' || kind === 'configured')
    expect(await history('?kind=command-ended,configured&limit=2')).toEqual(some)
    await api.database.sql`
      update twin_history set at = at + revision * interval '1 second' where incarnation = ${twin.incarnation}`
    const moved = await history()
    const [from, to] = [moved[5].time, moved.at(-3).time]
    const between = moved.filter(({ time }) => time >= from && time < to)
    expect(between.length).toBeGreaterThan(3)
    expect(await history(`?from=${from}&to=${to}&limit=3`)).toEqual(between)
    expect(await history('?to=2020-01-01T00:00:00Z')).toEqual([])
  })

  test.each(['kind=nothing', 'kind=', 'order=up', 'from=today', 'limit=0', 'cursor=x', 'revision=3'])(
    'refuses ?%s by name',
    async (query) => {
      const { status, json } = await api.ask('GET', `/v1/twins/h-1/history?${query}`)
      expect([status, json.errors[0].path]).toEqual([400, `query:${query.split('=')[0]}`])
    },
  )

  test('is a tenant’s own, and that of this registration', async () => {
    expect((await api.ask('GET', '/v1/twins/h-1/history', { key: OTHER_KEY })).status).toBe(404)
    expect((await api.ask('GET', '/v1/twins/absent/history')).status).toBe(404)
    await api.ask('DELETE', '/v1/devices/h-1')
    expect((await api.ask('GET', '/v1/twins/h-1/history')).status).toBe(404)
    await api.register('h-1')
    expect((await api.ask('GET', '/v1/twins/h-1/history')).json).toEqual({ items: [], next: null })
  })
})
