import mqttPacket from 'mqtt-packet'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { hashOf, messagesOf, payloads, registerDevice, startTestBridge, type TestBridge, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { connectPacket, publishPacket, RawClient, rawConnect } from '../support/raw-mqtt.ts'
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

const newDevice = (tenant?: string): Promise<TestDevice> => registerDevice(database, `d-${++serial}`, tenant)

async function connect(...args: [TestDevice, Parameters<typeof rawConnect>[2]?]): Promise<RawClient> {
  const { client, code } = await rawConnect(bridge.port, ...args)
  clients.push(client)
  expect(code).toBe(0)
  return client
}

async function refusedWith(login: Parameters<typeof rawConnect>[1], rest?: Parameters<typeof rawConnect>[2]): Promise<number> {
  const { client, code } = await rawConnect(bridge.port, login, rest)
  await client.ended()
  return code
}

const ends = (device: TestDevice) => messagesOf(database.sql, device.incarnation, 'disconnect')
const reasons = async (device: TestDevice) => payloads(await ends(device)).map((text) => JSON.parse(text).reason)

describe('connecting', () => {
  test('is granted to a device with its token, and refused with 4 to anybody else', async () => {
    const [device, other] = [await newDevice(), await newDevice()]
    await connect(device)
    expect(await refusedWith({ ...device, token: 'wrong' })).toBe(4)
    expect(await refusedWith({ ...device, token: '' })).toBe(4)
    expect(await refusedWith({ ...device, token: other.token })).toBe(4)
    expect(await refusedWith({ ...device, device: 'nobody' })).toBe(4)
    expect(await refusedWith({ ...device, tenant: 'elsewhere' })).toBe(4)
  })

  test.each([
    '',
    'demo',
    '/',
    'demo/',
    '/d',
    'demo/a/b',
    'demo/+',
    'demo/#',
    'demo/%2f',
    'demo/a\u0007',
    'demo/a b',
    'provision/d',
    `demo/${'x'.repeat(129)}`,
  ])('is refused with 4 under the user name %j', async (username) => {
    const device = await newDevice()
    expect(await refusedWith(device, { username })).toBe(4)
  })

  test('is refused with 5 when the will is not on its own presence', async () => {
    const [device, other] = [await newDevice(), await newDevice()]
    for (const topic of [`${other.prefix}presence`, `${device.prefix}telemetry`, 'castor/v1/demo/+/presence', 'x']) {
      expect(await refusedWith(device, { will: { topic, payload: Buffer.from('{}'), qos: 1, retain: false } })).toBe(5)
    }
    const payload = Buffer.alloc(5000, 'x')
    expect(await refusedWith(device, { will: { topic: `${device.prefix}presence`, payload, qos: 1, retain: false } })).toBe(5)
    expect(await messagesOf(database.sql, device.incarnation)).toEqual([])
  })

  test('is refused with 1 in MQTT 5 and with 2 without an id for a session that is to last', async () => {
    const device = await newDevice()
    expect(await refusedWith(device, { protocolVersion: 5 })).toBe(1)
    const persistent = mqttPacket.generate(connectPacket(device, { clientId: '' }))
    persistent[persistent.indexOf('MQTT') + 5]! &= ~0x02
    const nameless = new RawClient(bridge.port)
    nameless.socket.write(persistent)
    expect(await nameless.got('connack')).toMatchObject([{ returnCode: 2 }])
    await nameless.ended()
    const client = await connect(device, { clientId: '' })
    client.send(publishPacket(`${device.prefix}telemetry`, '{}', 1))
    await client.got('puback')
  })

  test('never promises a session', async () => {
    const device = await newDevice()
    for (let i = 0; i < 2; i++) {
      const client = await connect(device, { clean: false })
      expect(client.packets[0]).toMatchObject({ cmd: 'connack', sessionPresent: false })
      client.end()
    }
  })

  test('ends at once for garbage, for a CONNECT that is too long, and for a packet before CONNECT', async () => {
    const device = await newDevice()
    const beginnings = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]),
      Buffer.from([0xc0, 0x00]),
    ]
    for (const beginning of beginnings) {
      const client = new RawClient(bridge.port)
      client.socket.write(beginning)
      await client.ended()
      expect(client.packets).toEqual([])
    }
    await connect(device)
  })

  test('gives each connection a higher number, and notes it with the keepalive before CONNACK', async () => {
    const device = await newDevice()
    for (let i = 1; i <= 2; i++) {
      await connect(device, { clientId: `c${i}`, keepalive: 30 + i })
      const notes = await messagesOf(database.sql, device.incarnation, 'connect')
      expect(payloads(notes)).toEqual(Array.from({ length: i }, (_, k) => JSON.stringify({ keepalive: 31 + k })))
      expect(notes.map(({ connection }) => connection)).toEqual(notes.map(({ connection }) => connection).sort((a, b) => a! - b!))
    }
  })
})

describe('publishing', () => {
  test('puts every kind of message into the log as it was sent, at every QoS', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const connection = (await messagesOf(database.sql, device.incarnation, 'connect'))[0]!.connection
    const topics = [
      ...['telemetry', 'telemetry/senml', 'events/door.open', 'presence', 'reported', 'commands/x/response', 'updates/x/status', 'get'],
      ...['nonsense', 'events/1bad', 'commands//response', 'commands/x/request'],
    ]
    for (const [i, topic] of topics.entries()) {
      client.send(publishPacket(device.prefix + topic, Buffer.from([0xff, i]), i + 1, (i % 3) as 0 | 1 | 2))
    }
    await client.got('puback', 4)
    await client.got('pubrec', 3)
    const stored = await messagesOf(database.sql, device.incarnation)
    expect(stored.map(({ kind, name, contentType }) => [kind, name ?? null, contentType ?? null])).toEqual([
      ['connect', null, null],
      ['telemetry', null, null],
      ['telemetry', null, 'application/senml+json'],
      ['event', 'door.open', null],
      ['presence', null, null],
      ['reported', null, null],
      ['response', 'x', null],
      ['update', 'x', null],
      ['get', null, null],
      ['unknown', 'nonsense', null],
      ['unknown', 'events/1bad', null],
      ['unknown', 'commands//response', null],
      ['unknown', 'commands/x/request', null],
    ])
    expect(stored.every((message) => message.connection === connection)).toBe(true)
    expect(stored.slice(1).map(({ payload }) => [...payload])).toEqual(topics.map((_, i) => [0xff, i]))
  })

  test('is acknowledged in order, each after its commit', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const ids = Array.from({ length: 300 }, (_, i) => i + 1)
    client.send(...ids.map((id) => publishPacket(`${device.prefix}telemetry`, String(id), id)))
    for (const id of ids.slice(0, 50)) client.send(publishPacket(`${device.prefix}telemetry`, `late ${id}`, id + 1000))
    const acks = await client.got('puback', 350)
    const expected = [...ids, ...ids.slice(0, 50).map((id) => id + 1000)]
    expect(acks.map((ack) => ack.messageId)).toEqual(expected)
    expect(await messagesOf(database.sql, device.incarnation, 'telemetry')).toHaveLength(350)
  })

  test('of a QoS 2 message is logged once, however often it is repeated before PUBREL', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const topic = `${device.prefix}telemetry`
    // Twice in one piece, so that the second comes while the first is being committed; with others between and after.
    client.send(
      publishPacket(topic, 'first', 7, 2),
      publishPacket(topic, 'other', 8, 2),
      publishPacket(topic, 'first', 7, 2, true),
      publishPacket(topic, 'third', 9, 2),
    )
    await client.got('pubrec', 4)
    client.send(publishPacket(topic, 'first', 7, 2, true))
    expect((await client.got('pubrec', 5)).map(({ messageId }) => messageId)).toEqual([7, 8, 7, 9, 7])
    client.send({ cmd: 'pubrel', messageId: 7 })
    await client.got('pubcomp')
    client.send({ cmd: 'pubrel', messageId: 7 })
    await client.got('pubcomp', 2)
    client.send(publishPacket(topic, 'new under the old id', 7, 2))
    await client.got('pubrec', 6)
    expect(payloads(await messagesOf(database.sql, device.incarnation, 'telemetry'))).toEqual([
      'first',
      'other',
      'third',
      'new under the old id',
    ])
  })

  test('on a topic that is not its own ends the connection, and leaves nothing', async () => {
    const [device, other, abroad] = [await newDevice(), await newDevice(), await newDevice('abroad')]
    const foreign = [
      `${other.prefix}telemetry`,
      `${abroad.prefix}telemetry`,
      `castor/v1/demo/${device.device}`,
      `castor/v1/demo/${device.device}x/telemetry`,
      `/castor/v1/demo/${device.device}/telemetry`,
      'telemetry',
      '$SYS/x',
      `${device.prefix}a\0b`,
      `${device.prefix}+`,
      `${device.prefix}#`,
    ]
    for (const topic of foreign) {
      const client = await connect(device)
      client.send(publishPacket(topic, '{}', 1))
      await client.ended()
      expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack'])
    }
    const kinds = async ({ incarnation }: TestDevice) => (await messagesOf(database.sql, incarnation)).map(({ kind }) => kind)
    await until(
      async () => (await kinds(device)).filter((kind) => kind === 'disconnect').length === foreign.length,
      'the ends of all connections',
    )
    expect(new Set(await kinds(device))).toEqual(new Set(['connect', 'disconnect']))
    expect(new Set(await reasons(device))).toEqual(new Set(['protocol']))
    expect([await kinds(other), await kinds(abroad)]).toEqual([[], []])
  })

  test.each(['%2f', 'a b', 'a\u0007b', '\u{1f600}', '..', 'telemetry/', 'Telemetry', 'events/', 'events/a/b', `${'x'.repeat(300)}`])(
    'on %j, below its own topics, is acknowledged and kept as unknown',
    async (rest) => {
      const device = await newDevice()
      const client = await connect(device)
      client.send(publishPacket(device.prefix + rest, 'what?', 1), publishPacket(`${device.prefix}telemetry`, '{}', 2))
      await client.got('puback', 2)
      const [unknown, good] = await messagesOf(database.sql, device.incarnation, 'unknown', 'telemetry')
      expect([unknown!.kind, unknown!.name, good!.kind]).toEqual(['unknown', rest.slice(0, 256), 'telemetry'])
    },
  )

  test('more than 256 kB is acknowledged and cut; more than 1 MB ends the connection', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const topic = `${device.prefix}telemetry`
    client.send(publishPacket(topic, Buffer.alloc(256 * 1024, 'a'), 1), publishPacket(topic, Buffer.alloc(300_000, 'b'), 2))
    await client.got('puback', 2)
    const [whole, cut] = await messagesOf(database.sql, device.incarnation, 'telemetry')
    expect([whole!.payload.length, whole!.size, cut!.payload.length, cut!.size]).toEqual([262_144, 262_144, 4096, 300_000])
    client.send(publishPacket(topic, Buffer.alloc(2_000_000, 'c'), 3))
    await client.ended()
    const again = await connect(device)
    again.send(publishPacket(topic, '{}', 1))
    await again.got('puback')
    expect(await messagesOf(database.sql, device.incarnation, 'telemetry')).toHaveLength(3)
  })

  test('is possible right behind CONNECT, before its answer', async () => {
    const device = await newDevice()
    const client = new RawClient(bridge.port)
    clients.push(client)
    client.send(connectPacket(device), ...[1, 2, 3].map((id) => publishPacket(`${device.prefix}telemetry`, Buffer.alloc(20_000, 'x'), id)))
    await client.got('puback', 3)
  })
})

describe('client ids', () => {
  test('take over within a device: the earlier connection ends, and its will says nothing', async () => {
    const device = await newDevice()
    const will = { topic: `${device.prefix}presence`, payload: Buffer.from('{"status":"offline"}'), qos: 1 as const, retain: false }
    const first = await connect(device, { clientId: 'same', will })
    const second = await connect(device, { clientId: 'same', will })
    await first.ended()
    second.send(publishPacket(`${device.prefix}telemetry`, '{}', 1))
    await second.got('puback')
    await until(async () => (await ends(device)).length === 1, 'the end of the first connection')
    const stored = await messagesOf(database.sql, device.incarnation)
    const numbers = stored.filter(({ kind }) => kind === 'connect').map(({ connection }) => connection)
    expect(stored.filter(({ kind }) => kind === 'will')).toEqual([])
    expect(await reasons(device)).toEqual(['takeover'])
    expect((await ends(device))[0]!.connection).toBe(numbers[0])
  })

  test('mean nothing to other devices, whatever is in them', async () => {
    const devices = [await newDevice(), await newDevice(), await newDevice('abroad')]
    for (const clientId of ['same', 'c1', '__proto__', 'constructor', '/+#%\u0001\u{1f600}', 'x'.repeat(500)]) {
      const connected: RawClient[] = []
      for (const device of devices) connected.push(await connect(device, { clientId }))
      for (const [i, client] of connected.entries()) client.send(publishPacket(`${devices[i]!.prefix}telemetry`, '{}', 1))
      for (const client of connected) await client.got('puback')
      for (const client of connected) client.end()
    }
  })

  test('are bounded in number for a device: its oldest connection ends', async () => {
    const device = await newDevice()
    const connected: RawClient[] = []
    for (let i = 0; i < 6; i++) connected.push(await connect(device, { clientId: `c-${i}` }))
    await until(() => connected[0]!.closed && connected[1]!.closed, 'the two oldest to end')
    connected[2]!.send({ cmd: 'pingreq' })
    await connected[2]!.got('pingresp')
    expect(connected.map(({ closed }) => closed)).toEqual([true, true, false, false, false, false])
  })
})

test('a device whose newest connection ends is still there by an earlier one', async () => {
  const device = await newDevice()
  await connect(device, { clientId: 'a' })
  const second = await connect(device, { clientId: 'b' })
  second.send({ cmd: 'disconnect' })
  await second.ended()
  await until(async () => (await messagesOf(database.sql, device.incarnation)).length === 4, 'the first to be told again')
  const stored = await messagesOf(database.sql, device.incarnation)
  const [one, two] = stored.map(({ connection }) => connection)
  expect(stored.map(({ kind, connection }) => [kind, connection])).toEqual([
    ['connect', one],
    ['connect', two],
    ['disconnect', two],
    ['connect', one],
  ])
})

describe('the end of a connection', () => {
  const willOf = (device: TestDevice) => ({
    topic: `${device.prefix}presence`,
    payload: Buffer.from('{"status":"offline"}'),
    qos: 1 as const,
    retain: true,
  })

  test('without DISCONNECT logs the will, then the end, under its number', async () => {
    const device = await newDevice()
    const client = await connect(device, { will: willOf(device) })
    client.end()
    await until(async () => (await ends(device)).length === 1, 'the end')
    const stored = await messagesOf(database.sql, device.incarnation)
    expect(stored.map(({ kind }) => kind)).toEqual(['connect', 'will', 'disconnect'])
    expect(new Set(stored.map(({ connection }) => connection)).size).toBe(1)
    expect(payloads(stored).slice(1)).toEqual(['{"status":"offline"}', '{"reason":"lost"}'])
  })

  test('with DISCONNECT logs no will', async () => {
    const device = await newDevice()
    const client = await connect(device, { will: willOf(device) })
    client.send({ cmd: 'disconnect' })
    await client.ended()
    await until(async () => (await ends(device)).length === 1, 'the end')
    expect((await messagesOf(database.sql, device.incarnation)).map(({ kind }) => kind)).toEqual(['connect', 'disconnect'])
    expect(await reasons(device)).toEqual(['client'])
  })

  test('comes one and a half keepalives after the last packet, with the will', async () => {
    const device = await newDevice()
    const client = await connect(device, { will: willOf(device), keepalive: 1 })
    await client.ended()
    await until(async () => (await ends(device)).length === 1, 'the end')
    expect(await reasons(device)).toEqual(['keepalive'])
    expect(await messagesOf(database.sql, device.incarnation, 'will')).toHaveLength(1)
  })

  test('comes within seconds when the device is deleted, and its credential is void', async () => {
    const device = await newDevice()
    const client = await connect(device, { will: willOf(device) })
    const { incarnation, tenant, device: id } = device
    await database.sql.begin(async (tx) => {
      await tx`delete from devices where incarnation = ${incarnation}`
      await tx`insert into removed_devices (incarnation, tenant, device, lane) values (${incarnation}, ${tenant}, ${id}, ${incarnation % 16})`
    })
    await client.ended()
    await until(async () => (await ends(device)).length === 1, 'the end')
    expect(await reasons(device)).toEqual(['revoked'])
    expect(await messagesOf(database.sql, incarnation, 'will')).toEqual([])
    expect(await refusedWith(device)).toBe(4)
  })

  test('comes within seconds when the device gets another token, and only for the old one', async () => {
    const device = await newDevice()
    const client = await connect(device, { clientId: 'old' })
    const renewed = { ...device, token: `${device.token}-new` }
    const hash = hashOf(renewed.token)
    await database.sql`update devices set token_hash = ${hash}, token_changed_at = now() where incarnation = ${device.incarnation}`
    const other = await connect(renewed, { clientId: 'new' })
    await client.ended()
    other.send({ cmd: 'pingreq' })
    await other.got('pingresp')
  })
})

describe('what goes down', () => {
  const words = (device: TestDevice, body: string) => database.sql`
    insert into device_errors (stream, incarnation, body) select max(stream), ${device.incarnation}, ${body} from streams`

  test('is subscribed below its own topics only', async () => {
    const [device, other] = [await newDevice(), await newDevice()]
    const client = await connect(device)
    const filters: Array<[string, number]> = [
      [`${device.prefix}errors`, 0],
      [`${device.prefix}#`, 1],
      [`${device.prefix}commands/+/request`, 1],
      [`${device.prefix}telemetry`, 128],
      [`${other.prefix}errors`, 128],
      [`castor/v1/demo/+/errors`, 128],
      ['#', 128],
      ['$SYS/#', 128],
    ]
    for (const [i, [topic]] of filters.entries())
      client.send({ cmd: 'subscribe', messageId: i + 1, subscriptions: [{ topic, qos: i === 0 ? 0 : 1 }] })
    const granted = (await client.got('suback', filters.length)).flatMap((packet) => (packet as { granted: number[] }).granted)
    expect(granted).toEqual(filters.map(([, code]) => code))
  })

  test('is subscribed by 32 filters at most, in one packet or many', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const many = (from: number, n: number) =>
      Array.from({ length: n }, (_, i) => ({ topic: `${device.prefix}commands/${from + i}/request`, qos: 1 as const }))
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: many(0, 40) })
    client.send({ cmd: 'subscribe', messageId: 2, subscriptions: [...many(31, 1), ...many(40, 1)] })
    const [first, second] = (await client.got('suback', 2)) as Array<{ granted: number[] }> as [
      { granted: number[] },
      { granted: number[] },
    ]
    expect(first.granted).toEqual([...Array(32).fill(1), ...Array(8).fill(128)])
    expect(second.granted).toEqual([1, 128])
  })

  test('never echoes what came up', async () => {
    const device = await newDevice()
    const [sender, listener] = [await connect(device, { clientId: 'a' }), await connect(device, { clientId: 'b' })]
    for (const client of [sender, listener])
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `${device.prefix}#`, qos: 1 }] })
    await Promise.all([sender.got('suback'), listener.got('suback')])
    for (const qos of [0, 1, 2] as const) sender.send(publishPacket(`${device.prefix}telemetry`, '{}', 10 + qos, qos))
    await sender.got('pubrec')
    // What comes next is what comes at all.
    await words(device, '{"code":"x"}')
    for (const client of [sender, listener]) expect(await client.got('publish')).toMatchObject([{ topic: `${device.prefix}errors` }])
  })

  test('tells words on errors to the device that subscribed, once', async () => {
    const [device, other] = [await newDevice(), await newDevice()]
    const [client, deaf] = [await connect(device), await connect(other)]
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `${device.prefix}+`, qos: 1 }] })
    await client.got('suback')
    await words(other, '{"code":"lost"}')
    await words(device, '{"code":"one"}')
    await words(device, '{"code":"two"}')
    const came = (await client.got('publish', 2)) as Array<{ topic: string; payload: Buffer; qos: number }>
    expect(came.map(({ topic, payload, qos }) => [topic, payload.toString(), qos])).toEqual([
      [`${device.prefix}errors`, '{"code":"one"}', 0],
      [`${device.prefix}errors`, '{"code":"two"}', 0],
    ])
    expect(await database.sql`select from device_errors`).toHaveLength(0)
    client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [`${device.prefix}+`] })
    await client.got('unsuback')
    await words(device, '{"code":"three"}')
    await until(async () => (await database.sql`select from device_errors`).length === 0, 'the words to be taken')
    client.send({ cmd: 'pingreq' })
    await client.got('pingresp')
    expect(client.packets.filter(({ cmd }) => cmd === 'publish')).toHaveLength(2)
    expect(deaf.packets.map(({ cmd }) => cmd)).toEqual(['connack'])
  })
})
