/** From the outbox to a receiver: for whom an event is, places that are kept, limits that hold, what is told where something is gone. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Try } from '../../api/webhooks/ports.ts'
import { until } from '../support/wait.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { DispatchKit, evt } from './dispatch-kit.ts'
import { OTHER_KEY } from './test-api.ts'

const HOUR = 3_600_000
const NEVER = new Promise<never>(() => {})

let kit: DispatchKit
let receiver: WebhookReceiver
/** Incarnations. */
let north: number
let south: number
let elsewhere: number
beforeAll(async () => {
  kit = await DispatchKit.start()
  receiver = await WebhookReceiver.start()
  north = (await kit.api.register('d-north', { site: 'north' })).incarnation
  south = (await kit.api.register('d-south', { site: 'south' })).incarnation
  elsewhere = (await kit.api.register('d-other', {}, OTHER_KEY)).incarnation
  await kit.settleAll()
})
afterEach(async () => {
  await kit.clear()
  receiver.clear()
})
afterAll(async () => {
  await kit?.stop()
  await receiver?.stop()
})

const became = (incarnation: number, after: 'online' | 'offline') => ({
  ...{ incarnation, kind: 'presence-changed', before: after === 'online' ? 'offline' : 'online', after, reason: 'message' },
})
/** What goes out at once arrives in any order. */
const sorted = (ids: string[]) => ids.toSorted((a, b) => Number(a.slice(4)) - Number(b.slice(4)))
const at = (path: string) => receiver.received.filter((request) => request.path === path).map(({ id }) => id)

describe('an event is for the endpoints', () => {
  test('of its tenant, that asked for its type, and whose filter the twin meets as it is right after it', async () => {
    await kit.webhook(`${receiver.url}all`)
    await kit.webhook(`${receiver.url}online`, { types: ['twin.online'] })
    await kit.webhook(`${receiver.url}filter-online`, { filter: "presence.status = 'online'" })
    await kit.webhook(`${receiver.url}filter-north`, { filter: "attributes.site = 'north'" })
    await kit.webhook(`${receiver.url}both`, { types: ['twin.offline', 'device.event'], filter: "attributes.site = 'north'" })
    await kit.webhook(`${receiver.url}other`, {}, OTHER_KEY)
    const events = [
      ...[became(north, 'online'), became(north, 'offline'), became(south, 'online'), { incarnation: south }, { incarnation: north }],
      { incarnation: elsewhere },
    ]
    const positions = evt(await kit.emit(events))
    const of = (...indexes: number[]) => indexes.map((i) => positions[i])
    kit.dispatch()
    await receiver.gets(16)
    expect(sorted(at('/all'))).toEqual(of(0, 1, 2, 3, 4))
    expect(sorted(at('/online'))).toEqual(of(0, 2))
    expect(sorted(at('/filter-online'))).toEqual(of(0, 2, 3))
    expect(sorted(at('/filter-north'))).toEqual(of(0, 1, 4))
    expect(sorted(at('/both'))).toEqual(of(1, 4))
    expect(at('/other')).toEqual(of(5))
    expect(receiver.received).toHaveLength(16)
  })

  test('a device that was removed is as its event says', async () => {
    await kit.webhook(`${receiver.url}north`, { types: ['device.removed'], filter: "attributes.site = 'north'" })
    await kit.webhook(`${receiver.url}south`, { types: ['device.removed'], filter: "attributes.site = 'south'" })
    await kit.api.register('d-gone', { site: 'north' })
    await kit.api.ask('DELETE', '/v1/devices/d-gone')
    await kit.emit([{ incarnation: south }])
    kit.dispatch()
    await until(() => receiver.received.length > 0, 'it arrives')
    expect(receiver.received.map(({ path, json }) => [path, json.type, json.data.device])).toEqual([['/north', 'device.removed', 'd-gone']])
  })

  test('after an endpoint was made, and none before', async () => {
    await kit.emit([{ incarnation: north }])
    await kit.webhook(receiver.url)
    const two = await kit.emit([{ incarnation: south }, { incarnation: north }])
    kit.dispatch()
    await receiver.gets(2)
    expect(sorted(receiver.ids())).toEqual(evt(two))
    // Made while the dispatcher runs.
    const later = await WebhookReceiver.start()
    await kit.webhook(later.url)
    const [third] = await kit.emit([{ incarnation: north }])
    await until(() => later.received.length > 0, 'it arrives there too')
    expect(later.ids()).toEqual([`evt_${third}`])
    await later.stop()
  })
})

test('a first attempt shows in REST with its status, its answer and how long it took', async () => {
  receiver.answer = ({ json }) => (json.data.device === 'd-north' ? { status: 200, body: 'thanks' } : { status: 500, body: 'oh no' })
  const { id } = await kit.webhook(receiver.url)
  await kit.emit([{ incarnation: north }, { incarnation: south }])
  kit.dispatch()
  const list = async () => (await kit.api.ask('GET', `/v1/webhooks/${id}/deliveries`)).json.items
  await until(async () => (await list()).length === 2, 'both are settled')
  const attempts = (status: number, answer: string) => [{ at: expect.any(String), ms: expect.any(Number), status, answer }]
  expect(await list()).toMatchObject([
    { device: 'd-south', type: 'device.event', status: 'retrying', attempts: attempts(500, 'oh no') },
    { device: 'd-north', type: 'device.event', status: 'delivered', attempts: attempts(200, 'thanks') },
  ])
})

describe('an endpoint keeps its place', () => {
  test.each([['paused'], ['disabled']])('while it is %s, and goes on from there', async (status) => {
    const hook = await kit.webhook(receiver.url, { atOnce: 1, perSecond: 1_000 })
    const other = await kit.webhook(`${receiver.url}other`, { perSecond: 1_000 })
    kit.dispatch()
    const first = await kit.emit([{ incarnation: north }])
    await until(async () => (await kit.row(hook)).position === first[0], 'the first is settled')
    if (status === 'paused') await kit.api.ask('POST', `/v1/webhooks/${hook.id}/pause`)
    else await kit.work.disable((await kit.work.find('demo', hook.id))!, 'enough')
    await until(async () => (await kit.store.endpoints()).find(({ id }) => id === hook.id)!.status === status, 'it is so')
    // The dispatcher looks at its endpoints once a second.
    let unseen = 0
    await until(async () => {
      const [position] = await kit.emit([{ incarnation: south }])
      await until(() => at('/other').includes(`evt_${position}`), 'the other goes on')
      unseen = at('/').includes(`evt_${position}`) ? 0 : unseen + 1
      return unseen === 5
    }, 'nothing is sent any more')
    const before = at('/').length
    const { position } = await kit.row(hook)
    const waiting = await kit.emit(Array.from({ length: 700 }, () => ({ incarnation: north })))
    await until(async () => (await kit.row(other)).position >= waiting.at(-1)!, 'the other has all')
    expect(at('/')).toHaveLength(before)
    expect((await kit.row(hook)).position).toBe(position)
    expect((await kit.api.ask('POST', `/v1/webhooks/${hook.id}/resume`)).status).toBe(200)
    await until(() => at('/').at(-1) === `evt_${waiting.at(-1)}`, 'all arrive')
    expect(at('/').slice(-waiting.length)).toEqual(evt(waiting))
    expect(new Set(at('/')).size).toBe(at('/').length)
  })

  test('while its breaker is open, and goes on when a probe gets through', async () => {
    receiver.answer = () => ({ status: 503 })
    const hook = await kit.webhook(receiver.url, { atOnce: 1 })
    kit.dispatch()
    const [first] = await kit.emit([{ incarnation: north }])
    await until(async () => JSON.parse((await kit.row(hook)).health).openedAt !== null, 'it opens')
    const tried = receiver.received.length
    const waiting = await kit.emit(Array.from({ length: 20 }, () => ({ incarnation: south })))
    const other = await kit.webhook(`${receiver.url}other`)
    const [last] = await kit.emit([{ incarnation: south }])
    await until(async () => (await kit.row(other)).position >= last!, 'the other goes on')
    expect(at('/')).toHaveLength(tried)
    receiver.answer = () => ({ status: 204 })
    const report = await kit.workOff(hook, { laterMs: HOUR })
    expect(report).toMatchObject({ done: true, retrying: 0, failures: 0 })
    await until(() => at('/').includes(`evt_${last}`), 'the rest arrives')
    expect(at('/').slice(tried)).toEqual(evt([first!, ...waiting, last!]))
  })
})

describe('limits', () => {
  test('no more requests are under way than an endpoint takes at once', async () => {
    const waiting: Array<() => void> = []
    receiver.answer = () => new Promise((done) => waiting.push(() => done({ status: 204 })))
    await kit.webhook(receiver.url, { atOnce: 3 })
    kit.dispatch()
    const positions = await kit.emit(Array.from({ length: 12 }, () => ({ incarnation: north })))
    for (let n = 0; n < 12; n++) {
      await until(() => waiting.length === Math.min(3, 12 - n), 'as many as may be are under way')
      waiting.shift()!()
    }
    await until(() => receiver.open === 0, 'all were answered')
    expect(receiver.mostOpen).toBe(3)
    expect(sorted(receiver.ids())).toEqual(evt(positions))
  })

  test('no more are made a second than it takes', async () => {
    await kit.webhook(receiver.url, { perSecond: 20, atOnce: 10 })
    kit.dispatch()
    await kit.emit(Array.from({ length: 30 }, () => ({ incarnation: north })))
    await until(() => receiver.received.length === 30, 'all arrive')
    const times = receiver.received.map((request) => request.at)
    // The tenth after one is half a second later, less what the way there differs.
    for (let n = 0; n + 11 < 30; n++) expect(times[n + 11]! - times[n]!).toBeGreaterThan(350)
  })

  test('of an ordered endpoint one of each device is under way, and a device waits for nobody else', async () => {
    const waiting = new Map<string, () => void>()
    receiver.answer = ({ json }) => new Promise((done) => waiting.set(json.data.device, () => done({ status: 204 })))
    await kit.webhook(receiver.url, { ordered: true, atOnce: 10 })
    kit.dispatch()
    const positions = await kit.emit([north, north, south, north, south].map((incarnation) => ({ incarnation })))
    await until(() => receiver.received.length === 2, 'the first of both')
    expect(sorted(receiver.ids())).toEqual(evt([positions[0]!, positions[2]!]))
    waiting.get('d-south')!()
    await until(() => receiver.received.length === 3, 'the next of one')
    expect(receiver.ids()[2]).toBe(`evt_${positions[4]}`)
    receiver.answer = () => ({ status: 204 })
    for (const answer of waiting.values()) answer()
    await until(() => receiver.received.length === 5, 'all arrive')
    expect(receiver.ids().slice(3)).toEqual(evt([positions[1]!, positions[3]!]))
  })

  test('what failed blocks its device only, and its workflow sends what waits behind it in order', async () => {
    receiver.answer = ({ json }) => ({ status: json.data.device === 'd-north' ? 500 : 204 })
    const hook = await kit.webhook(receiver.url, { ordered: true })
    kit.dispatch()
    const positions = await kit.emit([north, south, north, south, north].map((incarnation) => ({ incarnation })))
    await until(async () => (await kit.row(hook)).position === positions.at(-1), 'all are settled')
    expect((await kit.deliveries(hook)).map(({ status }) => status)).toEqual(['retrying', 'delivered', 'behind', 'delivered', 'behind'])
    receiver.received.length = 0
    receiver.answer = () => ({ status: 204 })
    expect(await kit.workOff(hook)).toMatchObject({ done: false, retrying: 1, behind: 2 })
    expect(await kit.workOff(hook, { laterMs: HOUR })).toMatchObject({ done: true })
    expect(receiver.ids()).toEqual(evt([positions[0]!, positions[2]!, positions[4]!]))
    // Nothing of it is blocked any more.
    const next = await kit.emit([{ incarnation: north }, { incarnation: north }])
    await until(() => receiver.ids().at(-1) === `evt_${next[1]}`, 'first attempts go on')
  })

  test('with too many deliveries that have not ended, further events wait in the outbox', async () => {
    const hook = await kit.webhook(receiver.url)
    await kit.sql`
      insert into webhook_deliveries (webhook, position, at, incarnation, device, type, status, attempts, next_at)
      select ${hook.number}, -n, now(), ${north}, 'd-north', 'device.event', 'retrying', 1, now() + interval '1 hour' from generate_series(1, 100000) n`
    kit.dispatch()
    const other = await kit.webhook(`${receiver.url}other`)
    const [position] = await kit.emit([{ incarnation: south }])
    await until(async () => (await kit.row(other)).position >= position!, 'the other goes on')
    expect(at('/')).toEqual([])
    await kit.sql`delete from webhook_deliveries where webhook = ${hook.number} and position < -10`
    await until(() => at('/').length === 1, 'it goes on')
  })
})

test('99 receivers that never answer do not delay the one that does, and cost no more than their limit of requests', async () => {
  const dead = await WebhookReceiver.start()
  dead.answer = () => NEVER
  for (let n = 0; n < 99; n++) await kit.webhook(`${dead.url}${n}`, { ordered: n % 2 === 0, atOnce: 2 })
  await kit.webhook(receiver.url)
  kit.dispatch()
  const delays: number[] = []
  for (let n = 0; n < 30; n++) {
    const emittedAt = performance.now()
    const [position] = await kit.emit([{ incarnation: n % 2 ? north : south }])
    await until(() => receiver.ids().at(-1) === `evt_${position}`, 'it arrives')
    delays.push(receiver.received.at(-1)!.at - emittedAt)
  }
  expect(delays.toSorted((a, b) => a - b)[27]).toBeLessThan(1_000)
  expect(dead.mostOpen).toBeLessThanOrEqual(99 * 2)
  await dead.stop()
})

describe('what is waiting', () => {
  /** Any number a second, in process. */
  const unbounded = (hook: { number: number }) => kit.sql`update webhooks set per_second = 1e6, at_once = 100 where number = ${hook.number}`
  const fill = async (count: number) => {
    await kit.sql`
      insert into outbox (position, at, tenant, incarnation, device, revision, kind, event, cause)
      select end_.position + n, now(), 'demo', ${north}, 'd-north', 1, 'device-event', '{"at":1764000000000,"name":"e","ts":1764000000000,"data":{}}', '{}'
      from outbox_end end_, generate_series(1, ${count}::int) n`
    await kit.sql`update outbox_end set position = position + ${count}::int`
  }

  test('100,000 of them drain once each, and only some hundreds are held at a time', { timeout: 180_000 }, async () => {
    const hook = await kit.webhook('http://127.0.0.1:1/')
    await unbounded(hook)
    await kit.emit([])
    await fill(100_000)
    const seen = new Set<number>()
    let [read, sent, held] = [0, 0, 0]
    const attempt: Try = async (_endpoint, { position }) => {
      seen.add(position)
      sent++
      return { startedAt: Date.now(), attempt: { ms: 0, status: 200, answer: '' }, outcome: { kind: 'delivered' } }
    }
    const events: typeof kit.store.events = async (...args) => {
      const answer = await kit.store.events(...args)
      read += answer.wanted.length
      held = Math.max(held, read - sent)
      return answer
    }
    kit.dispatch({ store: { ...kit.store, events }, attempt })
    await until(() => seen.size === 100_000, 'all were sent', 150_000)
    expect(sent).toBe(100_000)
    expect(read).toBeGreaterThan(50_000)
    expect(held).toBeLessThan(1_000)
    await until(async () => (await kit.row(hook)).position >= Math.max(...seen), 'all are settled')
    expect((await kit.row(hook)).missed).toBe(0)
  })

  test('and no longer kept is counted as missed: what it wanted, and what nobody knows any more for whom it was', async () => {
    const hook = await kit.webhook(receiver.url, { types: ['twin.online'] })
    await kit.api.ask('POST', `/v1/webhooks/${hook.id}/pause`)
    const other = await kit.webhook(`${receiver.url}other`)
    const dispatcher = kit.dispatch()
    const told = await kit.emit([became(north, 'online'), { incarnation: north }, became(south, 'online'), became(north, 'online')])
    await until(async () => (await kit.row(other)).position === told[3], 'it was told for whom they are')
    await dispatcher.stop()
    await kit.emit([{ incarnation: north }, { incarnation: north }])
    const [last] = await kit.emit([became(south, 'online')])
    await kit.sql`delete from outbox where position in ${kit.sql(told.slice(0, 3))} or (position > ${told[3]!} and position < ${last!})`
    kit.dispatch()
    await until(() => at('/other').includes(`evt_${last}`), 'the other goes on')
    await kit.api.ask('POST', `/v1/webhooks/${hook.id}/resume`)
    await until(() => at('/').length === 2, 'what is kept arrives')
    expect(sorted(at('/'))).toEqual(evt([told[3]!, last!]))
    await until(async () => (await kit.row(hook)).missed === 2 + 2, 'two that it wanted, and two of which nobody knows')
    expect((await kit.row(other)).missed).toBe(2)
    expect((await kit.api.ask('GET', `/v1/webhooks/${hook.id}`)).json).toMatchObject({ health: { missed: 4 } })
  })
})
