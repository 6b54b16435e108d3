/** GET /v1/stream over HTTP, on real Postgres: what readers see, and that they miss nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listPartitions } from '../../infra/postgres/old-partitions.ts'
import { until } from '../support/wait.ts'
import { Follower, LiveApi } from './live-api.ts'
import { DEMO_KEY, OTHER_KEY } from './test-api.ts'

let castor: LiveApi
let device: number
let foreign: number
beforeAll(async () => {
  castor = await LiveApi.start({ heartbeatMs: 300, credentialMs: 100 })
  device = (await castor.first.register('t-1', { site: 'north' })).incarnation
  foreign = (await castor.first.register('t-1', {}, OTHER_KEY)).incarnation
})
afterAll(() => castor?.stop())

const follow = (query = '', options = {}) => Follower.open(castor.running.url, query, options)
const online = { kind: 'presence-changed', before: 'offline', after: 'online', reason: 'message' }
const offline = { kind: 'presence-changed', before: 'online', after: 'offline', reason: 'silence' }
const requested = {
  kind: 'command-requested',
  command: { id: 'c-1', name: 'diagnose', expiresAt: 1_800_000_000_000, repeatable: true, by: 'admin' },
}
const said = { kind: 'device-event', name: 'button', ts: 1_764_000_000_000, data: { pressed: 2 } }
const left = { kind: 'range-changed', name: 'temperature', before: 'normal', after: 'high', value: 38, ts: 1_764_000_000_000 }

describe('what is shown', () => {
  test('are decisions, presence, commands and device events in their order, unless others are asked for', async () => {
    const reader = await follow()
    expect(reader.response.headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    await castor.say(device, { temperature: 21 })
    await castor.decide(device, [online, left, said, requested], 7)
    const events = await reader.has(4)
    expect(events.map(({ type }) => type)).toEqual(['presence', 'decision', 'device-event', 'command'])
    expect(events[0]!.data).toMatchObject({
      type: 'presence',
      device: 't-1',
      revision: 7,
      kind: 'presence-changed',
      after: 'online',
      cause: { by: 'timer' },
    })
    expect(events[0]!.data.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/)
    expect(events[2]!.data).toMatchObject({ name: 'button', ts: '2025-11-24T16:00:00.000Z', data: { pressed: 2 } })
    expect(events[3]!.data.command.expiresAt).toBe('2027-01-15T08:00:00.000Z')
    await reader.close()
  })

  test('are readings as they fit the model, one event a message, where they are asked for', async () => {
    const ts = new Date(Date.now() - 3_600_000).toISOString()
    const reader = await follow('?types=reading')
    await castor.decide(device, [online])
    await castor.say(device, {
      id: 'm-1',
      ts,
      values: { temperature: 21.5, humidity: 40, targetTemperature: 'warm' },
    })
    await castor.say(device, { temperature: 'hot' })
    await castor.say(device, { temperature: 22 })
    const [first, second] = await reader.has(2)
    expect(first).toMatchObject({ type: 'reading', data: { type: 'reading', device: 't-1' } })
    expect(first!.data.readings).toEqual([
      { name: 'temperature', value: 21.5, unit: 'Cel', ts, messageId: 'm-1' },
      { name: 'humidity', value: 40, unit: '%', ts, messageId: 'm-1' },
    ])
    expect(second!.data.readings).toMatchObject([{ name: 'temperature', value: 22 }])
    await reader.close()
  })

  test('is of one device, of the types, and of the twins that meet the filter after the event', async () => {
    const other = (await castor.first.register('t-2', { site: 'south' })).incarnation
    const ofDevice = await follow('?device=t-2')
    const presence = await follow('?types=presence')
    const north = await follow(`?types=presence,reading&filter=${encodeURIComponent("attributes.site = 'north'")}`)
    const hot = await follow(
      `?types=presence,reading&filter=${encodeURIComponent("telemetry.temperature.value > 30 or presence.status = 'offline'")}`,
    )
    const all = await follow('?types=presence,reading')
    for (const [n, incarnation] of [device, other].entries()) {
      await castor.decide(incarnation, [said, online, offline, online])
      await all.has(n * 5 + 3)
      await castor.say(incarnation, { temperature: n === 0 ? 31 : 29 })
      await castor.say(incarnation, { humidity: 50 })
      await all.has(n * 5 + 5)
    }
    expect((await presence.has(6)).map(({ type }) => type)).toEqual(Array(6).fill('presence'))
    expect((await ofDevice.has(4)).map(({ data }) => data.device)).toEqual(['t-2', 't-2', 't-2', 't-2'])
    expect((await north.has(5)).map(({ type, data }) => `${type} ${data.device}`)).toEqual([
      ...Array(3).fill('presence t-1'),
      ...Array(2).fill('reading t-1'),
    ])
    // The one that went offline counts, although it is online again when the stream reads of it; humidity comes while it is hot.
    expect((await hot.has(4)).map(({ data }) => data.after ?? data.readings[0].name)).toEqual([
      'offline',
      'temperature',
      'humidity',
      'offline',
    ])
    await all.close()
    await Promise.all([ofDevice, presence, north, hot].map((reader) => reader.close()))
  })

  test('is of the tenant of the key alone', async () => {
    const [mine, theirs] = [await follow('?types=presence,reading'), await follow('?types=presence,reading', { key: OTHER_KEY })]
    await castor.decide(device, [online])
    await castor.say(foreign, { temperature: 5 })
    await castor.say(device, { temperature: 21 })
    await castor.decide(foreign, [offline])
    await castor.decide(device, [offline])
    expect((await mine.has(3)).map(({ type, data }) => `${type} ${data.after ?? data.readings[0].value}`).sort()).toEqual([
      'presence offline',
      'presence online',
      'reading 21',
    ])
    expect((await theirs.has(2)).map(({ type, data }) => `${type} ${data.after ?? data.readings[0].value}`).sort()).toEqual([
      'presence offline',
      'reading 5',
    ])
    await Promise.all([mine.close(), theirs.close()])
  })

  test('goes on while nothing happens: a comment tells that it lives, and the id moves with what concerns others', async () => {
    const reader = await follow('?device=nobody')
    await until(() => reader.comments > 0, 'a heartbeat')
    const before = reader.lastId
    await castor.decide(device, [online])
    await until(() => reader.lastId.split('-')[1] !== before.split('-')[1], 'the id moved')
    expect(reader.events).toEqual([])
    await reader.close()
  })
})

describe('who comes back', () => {
  test('with the id of any event gets what came after it, once, in order, also from another process', async () => {
    const whole = await follow('?types=decision,presence,reading')
    for (let n = 0; n < 30; n++) {
      await castor.decide(device, [{ ...left, value: n }])
      // One commit holds many: positions lie within entries, too.
      await Promise.all(Array.from({ length: 5 }, (_, i) => castor.say(device, { temperature: n + i / 10 })))
    }
    const all = await whole.has(180)
    await castor.running.stop()
    await until(() => whole.ended, 'the stop ends it')
    castor.running = await castor.runApi({ heartbeatMs: 300, credentialMs: 100 })
    for (const from of [0, 1, 17, 60, 61, 62, 63, 64, 123, 178]) {
      const again = await follow('?types=decision,presence,reading', { lastEventId: all[from]!.id })
      const missed = all.length - 1 - from
      expect(bySource(await again.has(missed))).toEqual(bySource(all.slice(from + 1)))
      await castor.decide(device, [{ ...left, value: 1000 + from }])
      const next = (await again.has(missed + 1)).at(-1)!
      expect(next.data.value).toBe(1000 + from)
      all.push(next)
      await again.close()
    }
  })

  test('while a bridge is replaced and much is said misses nothing and gets nothing twice, wherever the connection breaks', async () => {
    const seen: Array<string | number> = []
    let lastEventId: string | undefined
    let reader = await follow('?types=decision,reading')
    const take = () => {
      const taken = reader.events.splice(0)
      seen.push(...taken.map(({ type, data }) => (type === 'reading' ? data.readings[0].value : `d${data.value}`)))
      if (reader.lastId !== '') lastEventId = reader.lastId
    }
    let value = 0
    for (let round = 0; round < 12; round++) {
      const saying = Array.from({ length: 20 }, () => castor.say(device, { temperature: value++ }))
      await castor.decide(device, [{ ...left, value: round }])
      if (round % 3 === 0) await until(() => reader.events.length > 2, 'some of it')
      take()
      await reader.close()
      take()
      if (round % 4 === 2) {
        await Promise.all(saying)
        await castor.writer.close()
        await castor.openBridge()
      }
      reader = await follow('?types=decision,reading', lastEventId === undefined ? {} : { lastEventId })
      await Promise.all(saying)
    }
    await until(
      () => {
        take()
        return seen.length >= value + 12
      },
      `all of it: ${value + 12}`,
    )
    expect(seen.filter((what) => typeof what === 'number').toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: value }, (_, n) => n),
    )
    expect(seen.filter((what) => typeof what === 'string')).toEqual(Array.from({ length: 12 }, (_, n) => `d${n}`))
    await reader.close()
  })

  test('finds by its filter what twins were like meanwhile, not only what they are like now', async () => {
    const query = `?types=presence,reading&filter=${encodeURIComponent("telemetry.temperature.value > 30 or presence.status = 'offline'")}`
    const reader = await follow('?types=presence,reading')
    await castor.say(device, { temperature: 20 })
    const lastEventId = (await reader.has(1))[0]!.id
    // One after the other: of two values of one millisecond neither is the later.
    await castor.say(device, { temperature: 31 })
    await reader.has(2)
    await castor.say(device, { temperature: 21 })
    await reader.has(3)
    await castor.decide(device, [offline, online])
    await reader.has(5)
    const again = await follow(query, { lastEventId })
    expect(bySource(await again.has(2)).flat()).toMatchObject([{ after: 'offline' }, { readings: [{ value: 31 }] }])
    await castor.say(device, { temperature: 32 })
    expect((await again.has(3))[2]!.data.readings[0].value).toBe(32)
    await Promise.all([reader.close(), again.close()])
  })

  test('needs not when only the database was away: the stream goes on where it was', async () => {
    const reader = await follow('?types=presence,reading')
    for (let round = 0; round < 3; round++) {
      await castor.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'castor test' and pid <> pg_backend_pid()`
      await castor.say(device, { temperature: round })
      await until(async () => {
        await castor.decide(device, [{ ...online, reason: `round ${round}` }])
        return true
      }, 'it is decided')
      await reader.has(round * 2 + 2)
    }
    expect(bySource(reader.events)[1]).toMatchObject([0, 1, 2].map((value) => ({ readings: [{ value }] })))
    expect(reader.events.some(({ type }) => type === 'gap')).toBe(false)
    await reader.close()
  })

  test('is told what is no longer kept, and goes on from what there is', async () => {
    const { sql } = castor
    const reader = await follow('?types=presence,reading')
    await castor.decide(device, [online])
    await castor.say(device, { temperature: 1 })
    const [first] = await reader.has(2)
    const lastEventId = reader.events
      .map(({ id }) => id)
      .sort((a, b) => a.length - b.length)
      .at(-1)!
    await reader.close()
    await castor.decide(device, [offline])
    await castor.say(device, { temperature: 2 })
    await until(async () => (await sql`select from outbox where position is null`).length === 0, 'all is numbered')
    for (const table of ['outbox', 'ingest_log']) for (const { name } of await listPartitions(sql, table)) await sql`truncate ${sql(name)}`
    await castor.decide(device, [online])
    await castor.say(device, { temperature: 3 })
    const again = await follow('?types=presence,reading', { lastEventId })
    const events = await again.has(4)
    const gaps = events.filter(({ type }) => type === 'gap').map(({ data }) => data)
    expect(gaps.map(({ of }) => of).sort()).toEqual(['events', 'readings'])
    for (const { from, to } of gaps) {
      expect(Date.parse(from)).toBeGreaterThanOrEqual(Date.parse(first!.data.time))
      expect(Date.parse(to)).toBeGreaterThanOrEqual(Date.parse(from))
    }
    expect(
      events
        .filter(({ type }) => type !== 'gap')
        .map(({ data }) => data.after ?? data.readings[0].value)
        .sort(),
    ).toEqual([3, 'online'])
    // Told once: who comes back after it is not told again.
    await again.close()
    const third = await follow('?types=presence,reading', { lastEventId: again.lastId })
    await castor.decide(device, [offline])
    expect((await third.has(1))[0]).toMatchObject({ type: 'presence', data: { after: 'offline' } })
    await third.close()
  })

  test.each([
    ['what is no id', 'yesterday'],
    ['a number that is none', '1-99999999999999999999'],
    ['a stream twice', '1-2-3-4.5-4.6'],
    ['something endless', `1-2-3${'-4.5'.repeat(3000)}`],
  ])('with %s is refused', async (_, lastEventId) => {
    await expect(follow('?types=reading', { lastEventId })).rejects.toThrow(/^400 .*Last-Event-ID/)
  })

  test('with a position that was never given is told so, and goes on from now', async () => {
    const reader = await follow('', { lastEventId: `${Date.now()}-999999999` })
    expect((await reader.has(1))[0]).toMatchObject({ type: 'gap', data: { of: 'events' } })
    await castor.decide(device, [online])
    expect((await reader.has(2))[1]).toMatchObject({ type: 'presence' })
    await reader.close()
  })
})

describe('asking', () => {
  test.each([
    ['?types=decision,weather', /query:types/],
    ['?types=', /query:types/],
    ['?filter=presence.status%20is%20good', /query:filter/],
    ['?device=-', /query:device/],
    ['?since=now', /query:since/],
  ])('with %s is refused', async (query, where) => {
    await expect(follow(query)).rejects.toThrow(where)
    await expect(follow(query)).rejects.toThrow(/^400/)
  })

  test('with a key that is replaced meanwhile ends within seconds', async () => {
    const { sql } = castor
    const [mine, theirs] = [await follow(), await follow('', { key: OTHER_KEY })]
    await sql`delete from api_keys where tenant = 'other'`
    await until(() => theirs.ended, 'its stream ends')
    expect(mine.ended).toBe(false)
    await mine.close()
    expect(DEMO_KEY).not.toBe(OTHER_KEY)
  })
})

/** Events and readings are each in their own order. */
function bySource(events: Array<{ type: string; data: unknown }>) {
  return [
    events.filter(({ type }) => type !== 'reading').map(({ data }) => data),
    events.filter(({ type }) => type === 'reading').map(({ data }) => data),
  ]
}
