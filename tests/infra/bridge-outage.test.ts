/** The bridge while nothing can be stored, and after. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { WRITER_LIMITS } from '../../api/ingest/writer.ts'
import { messagesOf, payloads, registerDevice, startTestBridge, type TestBridge, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { connectPacket, publishPacket, RawClient, rawConnect } from '../support/raw-mqtt.ts'
import { proxiedDatabase, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/wait.ts'

let database: TestDatabase
let proxy: TcpProxy
let bridge: TestBridge
let device: TestDevice
let freeDisk = 1
let serial = 0

beforeAll(async () => {
  database = await testDatabase()
})
beforeEach(async () => {
  freeDisk = 1
  const proxied = await proxiedDatabase(database.url)
  proxy = proxied.proxy
  const limits = { loginTimeoutMs: 1000 }
  const writerLimits = { ...WRITER_LIMITS, maxMessages: 100 }
  bridge = await startTestBridge(proxied.url, { limits, writerLimits, diskProbe: async () => freeDisk, diskIntervalMs: 20 })
  device = await registerDevice(database, `o-${++serial}`)
})
afterEach(async () => {
  proxy?.open()
  await bridge?.stop()
  await proxy?.close()
})
afterAll(() => database?.drop())

const topic = () => `${device.prefix}telemetry`
const stored = async (...kinds: Parameters<typeof messagesOf>[2][]) => messagesOf(database.sql, device.incarnation, ...kinds)
const send = () =>
  fetch(`${bridge.url}/device/v1/telemetry`, {
    method: 'POST',
    headers: { authorization: `Bearer ${device.token}`, 'content-type': 'application/json' },
    body: '{"temperature":1}',
  })

describe('while Postgres is away', () => {
  test('for a moment, PUBACK is late and the connection stays', async () => {
    const { client } = await rawConnect(bridge.port, device)
    proxy.cut()
    client.send(publishPacket(topic(), 'one', 1), publishPacket(topic(), 'two', 2))
    client.send({ cmd: 'pingreq' })
    await client.got('pingresp')
    await until(() => bridge.ready() !== true, 'the bridge to say so')
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp'])
    proxy.open()
    expect((await client.got('puback', 2)).map(({ messageId }) => messageId)).toEqual([1, 2])
    expect(payloads(await stored('telemetry'))).toEqual(['one', 'two'])
    await until(() => bridge.ready() === true, 'the bridge to serve')
    client.end()
  })

  test('for longer, connections that wait are closed, new ones get 3, HTTP 503, and all goes on after', async () => {
    const { client } = await rawConnect(bridge.port, device, { keepalive: 4 })
    await send()
    proxy.cut()
    client.send(publishPacket(topic(), 'waits', 1))
    await client.ended()
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack'])
    const late = new RawClient(bridge.port)
    late.send(connectPacket(device))
    expect(await late.got('connack')).toMatchObject([{ returnCode: 3 }])
    proxy.open()
    const again = await until(async () => {
      const { client, code } = await rawConnect(bridge.port, device)
      return code === 0 ? client : undefined
    }, 'a connection')
    again.send(publishPacket(topic(), 'waits', 1, 1, true))
    await again.got('puback')
    const texts = payloads(await stored('telemetry'))
    // It was under way when its connection ended, so it stands there, and once more: nothing else can be known of one without an id.
    expect(new Set(texts)).toEqual(new Set(['{"temperature":1}', 'waits']))
    await until(async () => payloads(await stored('disconnect')).includes('{"reason":"unavailable"}'), 'the end of the first connection')
    expect((await send()).status).toBe(202)
    again.end()
  })
})

test('what comes beyond the bound of what may wait is refused, and what was acknowledged is there', async () => {
  const { client } = await rawConnect(bridge.port, device, { keepalive: 6 })
  expect((await send()).status).toBe(202)
  proxy.cut()
  client.send(...Array.from({ length: 150 }, (_, i) => publishPacket(topic(), `a${i}`, i + 1)))
  // All of it is read: MQTT has no way to say no, so its answers stay out and the connection ends.
  client.send({ cmd: 'pingreq' })
  await client.got('pingresp')
  const answer = await send()
  expect([answer.status, answer.headers.get('content-type')]).toEqual([503, 'application/problem+json'])
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  await client.ended()
  proxy.open()
  const again = await until(async () => {
    const { client, code } = await rawConnect(bridge.port, device)
    return code === 0 ? client : undefined
  }, 'a connection')
  const acknowledged = client.packets.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId)
  expect(acknowledged).toEqual([])
  const first = payloads(await stored('telemetry')).filter((text) => text.startsWith('a'))
  expect(first).toEqual(Array.from({ length: 100 }, (_, i) => `a${i}`))
  again.send(...Array.from({ length: 90 }, (_, i) => publishPacket(topic(), `b${i}`, i + 1)))
  await again.got('puback', 90)
  again.end()
})

test('while the disk is nearly full nothing is taken, aloud, and taking goes on by itself', async () => {
  const { client } = await rawConnect(bridge.port, device, { keepalive: 4 })
  expect((await send()).status).toBe(202)
  freeDisk = 0.09
  await until(() => bridge.ready() !== true, 'the guard to see it')
  client.send(publishPacket(topic(), 'no', 1))
  const answer = await send()
  expect([answer.status, answer.headers.get('retry-after'), answer.headers.get('content-type')]).toEqual([
    503,
    '60',
    'application/problem+json',
  ])
  expect((await rawConnect(bridge.port, device)).code).toBe(3)
  await client.ended()
  expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack'])
  freeDisk = 0.11
  expect(bridge.ready()).not.toBe(true)
  freeDisk = 0.5
  await until(() => bridge.ready() === true, 'the guard to see it')
  expect((await send()).status).toBe(202)
  const { client: again } = await rawConnect(bridge.port, device)
  again.send(publishPacket(topic(), 'yes', 1))
  await again.got('puback')
  expect(payloads(await stored('telemetry'))).toEqual(['{"temperature":1}', '{"temperature":1}', 'yes'])
  again.end()
})

test('when a processor closed its stream, the bridge says in the new one which connections live', async () => {
  const { client } = await rawConnect(bridge.port, device)
  const [before] = await stored('connect')
  await database.sql`update streams set closed_at = now() where closed_at is null`
  client.send(publishPacket(topic(), 'goes on', 1))
  await client.got('puback')
  await until(async () => (await stored('connect')).length === 2, 'the connection to be told again')
  const [, again] = await stored('connect')
  expect(again!.connection).toBe(before!.connection)
  const [row] = await database.sql`select count(*)::int as open from streams where closed_at is null`
  expect(row!.open).toBe(1)
  client.end()
})

test('a bridge that stops answers what came in, ends its connections without a will, and closes its stream', async () => {
  const will = { topic: `${device.prefix}presence`, payload: Buffer.from('{"status":"offline"}'), qos: 1 as const, retain: false }
  const { client } = await rawConnect(bridge.port, device, { will })
  client.send(...Array.from({ length: 50 }, (_, i) => publishPacket(topic(), String(i), i + 1)))
  await client.got('puback')
  await bridge.stop()
  await client.ended()
  const acknowledged = client.packets.filter(({ cmd }) => cmd === 'puback').length
  expect((await stored('telemetry')).length).toBeGreaterThanOrEqual(acknowledged)
  expect((await stored('will', 'disconnect')).map(({ kind, payload }) => [kind, Buffer.from(payload).toString()])).toEqual([
    ['disconnect', '{"reason":"shutdown"}'],
  ])
  expect(await database.sql`select from streams where closed_at is null`).toHaveLength(0)
})
