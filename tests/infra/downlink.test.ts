/** What goes down over MQTT: when, in which order, how often. Rows of wishes and commands are what decisions would leave. */
import mqttPacket, { type Packet } from 'mqtt-packet'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { publishPacket } from '../../infra/mqtt/outgoing.ts'
import {
  announce,
  cancelCommand,
  command,
  commandRow,
  registerDevice,
  startTestBridge,
  type TestBridge,
  type TestDevice,
  wish,
} from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { type RawClient, rawConnect, publishPacket as upPacket } from '../support/raw-mqtt.ts'
import { proxiedDatabase } from '../support/tcp-proxy.ts'
import { until } from '../support/wait.ts'

let database: TestDatabase
let bridge: TestBridge
let clients: RawClient[] = []
let serial = 0

beforeAll(async () => {
  database = await testDatabase()
  bridge = await startTestBridge(database.url)
})
afterEach(() => {
  for (const client of clients) client.end()
  clients = []
})
afterAll(async () => {
  await bridge?.stop()
  await database?.drop()
})

const newDevice = (): Promise<TestDevice> => registerDevice(database, `d-${++serial}`)

/** Connected, and subscribed to what is named below its own topics. */
async function connect(device: TestDevice, filters: string[] = ['#'], { port = bridge.port, clientId = 'c', qos = 1 as 0 | 1 } = {}) {
  const { client } = await rawConnect(port, device, { clientId })
  clients.push(client)
  client.acknowledges = true
  if (filters.length > 0)
    await client.subscribe(
      filters.map((filter) => device.prefix + filter),
      qos,
    )
  return client
}

/** Whatever was on its way before has come when this has. */
async function fence(client: RawClient, device: TestDevice): Promise<void> {
  const id = await command(database.sql, device, { name: 'fence' })
  await announce(database.sql, device)
  await until(() => client.came().some(([topic]) => topic === `commands/${id}/request`), 'the fence')
}

const requests = (client: RawClient, id: string) => client.came().filter(([topic]) => topic === `commands/${id}/request`)
const names = (client: RawClient) => client.came().map(([topic, { name }]) => name ?? topic.replace(/\/.*\//, '/'))

describe('what is pending is sent', () => {
  test('when it is decided: desired first, then commands in the order of their requests', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const ids = [await command(database.sql, device, { name: 'a', input: { x: [1] } }), await command(database.sql, device, { name: 'b' })]
    await wish(database.sql, device, { version: 3, state: { targetTemperature: 21 } })
    await announce(database.sql, device)
    const expiresAt = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(await client.down(3)).toEqual([
      ['desired', { version: 3, state: { targetTemperature: 21 } }],
      [`commands/${ids[0]}/request`, { name: 'a', input: { x: [1] }, expiresAt, attempt: 1 }],
      [`commands/${ids[1]}/request`, { name: 'b', expiresAt, attempt: 1 }],
    ])
    const publishes = (await client.got('publish', 3)) as Array<{ qos: number; messageId: number }>
    expect(publishes.map(({ qos }) => qos)).toEqual([1, 1, 1])
    expect(new Set(publishes.map(({ messageId }) => messageId)).size).toBe(3)
    expect(await commandRow(database.sql, ids[0]!)).toMatchObject({ status: 'sent', attempts: 1 })
    const [row] = await database.sql`select sent_version, attempts from wishes where incarnation = ${device.incarnation}`
    expect(row).toEqual({ sent_version: 3, attempts: 1 })
  })

  test('after SUBACK, and only what the subscription covers', async () => {
    const device = await newDevice()
    await wish(database.sql, device)
    const id = await command(database.sql, device)
    const client = await connect(device, ['errors'])
    await announce(database.sql, device)
    await client.subscribe(`${device.prefix}desired`)
    await client.down(1)
    expect(await commandRow(database.sql, id)).toMatchObject({ status: 'queued', attempts: 0 })
    await client.subscribe(`${device.prefix}commands/+/request`)
    await client.down(2)
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'suback', 'publish', 'suback', 'publish'])
    expect(names(client)).toEqual(['desired', 'identify'])
  })

  test('to nobody after UNSUBSCRIBE', async () => {
    const device = await newDevice()
    const client = await connect(device, ['commands/#', 'desired'])
    client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: [`${device.prefix}desired`] })
    await client.got('unsuback')
    await wish(database.sql, device)
    await fence(client, device)
    expect(names(client)).toEqual(['fence'])
  })

  test('all of it on `get`, and all that may be repeated after a reconnect', async () => {
    const device = await newDevice()
    await wish(database.sql, device, { answered: true })
    const client = await connect(device)
    // It has looked for what is pending: what comes now, nobody tells it of.
    await client.down(1)
    const [once, many] = [await command(database.sql, device, { repeatable: false }), await command(database.sql, device)]
    client.send(upPacket(`${device.prefix}get`, '', 1))
    await client.down(4)
    await database.sql`update commands set acknowledged_at = now(), status = 'acknowledged' where id = ${many}`
    client.send(upPacket(`${device.prefix}get`, '', 2))
    await client.down(6)
    client.end()
    const again = await connect(device)
    await again.down(2)
    await fence(again, device)
    expect(client.came().map(([topic, { attempt }]) => [topic, attempt])).toEqual([
      ['desired', undefined],
      ['desired', undefined],
      [`commands/${once}/request`, 1],
      [`commands/${many}/request`, 1],
      ['desired', undefined],
      [`commands/${many}/request`, 2],
    ])
    expect(again.came().map(([topic, { attempt }]) => [topic, attempt])).toEqual([
      ['desired', undefined],
      [`commands/${many}/request`, 3],
      [expect.any(String), 1],
    ])
    expect(await commandRow(database.sql, many)).toMatchObject({ status: 'acknowledged', attempts: 3 })
  })

  test('again with growing waits, until the device answers', async () => {
    const device = await newDevice()
    const client = await connect(device)
    await wish(database.sql, device, { retryMs: 500 })
    const quiet = await command(database.sql, device, { retryMs: 500, maxAttempts: 3 })
    const heard = await command(database.sql, device, { retryMs: 500 })
    const single = await command(database.sql, device, { retryMs: 500, repeatable: false })
    await announce(database.sql, device)
    await until(() => requests(client, heard).length === 1, 'the command')
    await database.sql`update commands set acknowledged_at = now(), status = 'acknowledged' where id = ${heard}`
    const wishes = () => client.came().filter(([topic]) => topic === 'desired').length
    await until(() => wishes() === 2, 'the wish to be repeated')
    await database.sql`update wishes set answered = true where incarnation = ${device.incarnation}`
    await until(() => requests(client, quiet).length === 3, 'all attempts')
    const waits = await database.sql`select retry_ms, attempts from commands where id = ${quiet}`
    expect(waits).toMatchObject([{ attempts: 3 }])
    // Another that goes on being repeated shows that time passes.
    const last = await command(database.sql, device, { retryMs: 500 })
    await announce(database.sql, device)
    await until(() => requests(client, last).length === 3, 'another command to be repeated')
    expect([wishes(), ...[quiet, heard, single].map((id) => requests(client, id).length)]).toEqual([2, 3, 1, 1])
  }, 30_000)

  test('not when it has ended, expires within a second, waits for its turn, or was sent as often as it may be', async () => {
    const device = await newDevice()
    const ended = await command(database.sql, device)
    await cancelCommand(database.sql, ended)
    await command(database.sql, device, { expiresInMs: 900 })
    await command(database.sql, device, { released: false })
    await command(database.sql, device, { maxAttempts: 0 })
    const client = await connect(device)
    await fence(client, device)
    expect(names(client)).toEqual(['fence'])
    expect(await commandRow(database.sql, ended)).toMatchObject({ attempts: 0, told: false })
  })

  test('also when nobody says so: by a look at all connections from time to time', async () => {
    const device = await newDevice()
    const client = await connect(device)
    await wish(database.sql, device)
    await client.down(1)
  })
})

describe('what may not be repeated', () => {
  test('leaves once, whichever of two bridges and four connections it could take', async () => {
    const other = await startTestBridge(database.url)
    try {
      const device = await newDevice()
      const connected = await Promise.all(
        [bridge.port, other.port].flatMap((port) => ['a', 'b'].map((clientId) => connect(device, ['#'], { port, clientId }))),
      )
      const ids: string[] = []
      for (let i = 0; i < 30; i++) {
        ids.push(await command(database.sql, device, { repeatable: false }))
        await announce(database.sql, device)
      }
      const came = () => connected.flatMap((client) => client.came().map(([topic]) => topic))
      await until(() => came().length >= ids.length, 'all commands')
      // Whoever asks gets all that may be repeated, over whichever bridge: what was on its way before has come by then.
      const fenceId = await command(database.sql, device, { name: 'fence' })
      for (const client of connected) {
        client.send(upPacket(`${device.prefix}get`, '', 1))
        await until(() => requests(client, fenceId).length > 0, 'the fence')
      }
      expect(
        came()
          .filter((topic) => ids.some((id) => topic.includes(id)))
          .sort(),
      ).toEqual(ids.map((id) => `commands/${id}/request`).sort())
    } finally {
      await other.stop()
    }
  })
})

describe('a cancel', () => {
  test('is told to a device that had heard of the command, and is done with when PUBACK has come', async () => {
    const device = await newDevice()
    const client = await connect(device)
    client.acknowledges = false
    const id = await command(database.sql, device)
    await announce(database.sql, device)
    await client.down(1)
    await cancelCommand(database.sql, id)
    await announce(database.sql, device)
    await client.down(2)
    await fence(client, device)
    expect(client.came().map(([topic]) => topic)).toEqual([`commands/${id}/request`, `commands/${id}/cancel`, expect.any(String)])
    expect(await commandRow(database.sql, id)).toMatchObject({ told: false, attempts: 1 })
    client.end()
    const again = await connect(device)
    await until(async () => (await commandRow(database.sql, id)).told, 'the cancel to be told')
    expect(again.came().filter(([topic]) => topic.includes(id))).toEqual([[`commands/${id}/cancel`, {}]])
    again.send(upPacket(`${device.prefix}get`, '', 1))
    await fence(again, device)
    expect(again.came().filter(([topic]) => topic.includes(id))).toHaveLength(1)
  })

  test('is done with when it has left, for a subscription without PUBACKs', async () => {
    const device = await newDevice()
    const client = await connect(device, ['#'], { qos: 0 })
    const id = await command(database.sql, device)
    await announce(database.sql, device)
    await client.down(1)
    await cancelCommand(database.sql, id)
    await announce(database.sql, device)
    await until(async () => (await commandRow(database.sql, id)).told, 'the cancel to be told')
    const publishes = (await client.got('publish', 2)) as Array<{ qos: number }>
    expect(publishes.map(({ qos }) => qos)).toEqual([0, 0])
  })
})

describe('bounds', () => {
  test('what is more than one look takes goes in several, in order and once', async () => {
    const device = await newDevice()
    const ids: string[] = []
    for (let i = 0; i < 35; i++) ids.push(await command(database.sql, device))
    // As of a device that lost its connection just after it was told of some.
    await database.sql`update commands set sent_at = now(), attempts = 1 where id in ${database.sql(ids.slice(0, 15))}`
    const client = await connect(device)
    await client.down(35)
    await fence(client, device)
    expect(
      client
        .came()
        .slice(0, -1)
        .map(([topic]) => topic),
    ).toEqual(ids.map((id) => `commands/${id}/request`))
  })

  test('a connection that does not acknowledge gets no more than it may have waiting, and the rest when it does', async () => {
    const bounded = await startTestBridge(database.url, { limits: { unacknowledgedDown: 20 } })
    try {
      const device = await newDevice()
      const client = await connect(device, [], { port: bounded.port })
      client.acknowledges = false
      const ids: string[] = []
      for (let i = 0; i < 45; i++) ids.push(await command(database.sql, device, { repeatable: i % 2 === 0 }))
      await client.subscribe(`${device.prefix}#`)
      await client.down(20)
      const sent = async () => (await database.sql`select from commands where id in ${database.sql(ids)} and attempts > 0`).length
      expect(await sent()).toBe(20)
      client.acknowledges = true
      for (const { messageId } of await client.got('publish', 20)) client.send({ cmd: 'puback', messageId: messageId! })
      await client.down(45)
      expect(client.came().map(([topic]) => topic)).toEqual(ids.map((id) => `commands/${id}/request`))
    } finally {
      await bounded.stop()
    }
  })

  test('hundreds of connected devices hear of their wishes by one word', async () => {
    const devices: TestDevice[] = []
    for (let i = 0; i < 300; i++) devices.push(await newDevice())
    const connected = await Promise.all(devices.map((device) => connect(device)))
    for (const device of devices) await wish(database.sql, device)
    await announce(database.sql, ...devices)
    for (const client of connected) await client.down(1)
    const twice =
      await database.sql`select from wishes where incarnation in ${database.sql(devices.map(({ incarnation }) => incarnation))} and attempts <> 1`
    expect(twice).toHaveLength(0)
  }, 30_000)
})

test('after Postgres was away the bridge hears again, and sends what was decided meanwhile', async () => {
  const { url, proxy } = await proxiedDatabase(database.url)
  const cut = await startTestBridge(url)
  try {
    const [device, other] = [await newDevice(), await newDevice()]
    const client = await connect(device, ['#'], { port: cut.port })
    await wish(database.sql, device)
    await client.down(1)
    proxy.cut()
    await wish(database.sql, device, { version: 2 })
    await announce(database.sql, device)
    await until(() => cut.ready() !== true, 'the bridge to notice')
    proxy.open()
    await client.down(2)
    expect(client.came().map(([, { version }]) => version)).toEqual([1, 2])
    const listens =
      () => database.sql`select from pg_stat_activity where application_name = 'castor bridge listener' and query like 'listen%'
      and datname = current_database()`
    await until(async () => (await listens()).length === 2, 'both bridges to listen')
    await connect(other, ['#'], { port: cut.port })
    await fence(client, device)
  } finally {
    await cut.stop()
    await proxy.close()
  }
}, 40_000)

test.each([0, 1, 122, 123, 124, 16_000, 16_378, 16_379, 70_000])(
  'a packet with %i bytes of payload is one that a client understands',
  (size) => {
    const parsed: Packet[] = []
    const parser = mqttPacket.parser()
    parser.on('packet', (packet) => parsed.push(packet))
    parser.parse(publishPacket('t', 'x'.repeat(size), 300))
    expect(parsed).toMatchObject([{ cmd: 'publish', topic: 't', messageId: 300, qos: 1, retain: false, dup: false }])
    expect((parsed[0] as { payload: Buffer }).payload.length).toBe(size)
  },
)
