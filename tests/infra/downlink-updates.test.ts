/** Updates on their way down, over MQTT and HTTP: what a device is told, when, and by which connection. Rows are what decisions would leave. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createDownlinkStore } from '../../infra/postgres/downlink.ts'
import { announce, command, registerDevice, startTestBridge, type TestBridge, type TestDevice } from '../support/bridge.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { type RawClient, rawConnect, publishPacket as upPacket } from '../support/raw-mqtt.ts'
import { cancelUpdate, releasedUpdate, releaseUpdate, updateRow } from '../support/updates.ts'
import { until } from '../support/wait.ts'

const DEVICE_URL = 'https://devices.example.com/castor'

let database: TestDatabase
let bridge: TestBridge
let clients: RawClient[] = []
let serial = 0

beforeAll(async () => {
  database = await testDatabase()
  bridge = await startTestBridge(database.url, {}, { CASTOR_DEVICE_PUBLIC_URL: `${DEVICE_URL}/` })
})
afterEach(() => {
  for (const client of clients) client.end()
  clients = []
})
afterAll(async () => {
  await bridge?.stop()
  await database?.drop()
})

const newDevice = (): Promise<TestDevice> => registerDevice(database, `u-${++serial}`)
const jobs = (client: RawClient, id: string) => client.came().filter(([topic]) => topic === `updates/${id}/job`)
const cancels = (client: RawClient, id: string) => client.came().filter(([topic]) => topic === `updates/${id}/cancel`)

async function connect(device: TestDevice, filters: string[] = ['#'], clientId = 'c'): Promise<RawClient> {
  const { client } = await rawConnect(bridge.port, device, { clientId })
  clients.push(client)
  client.acknowledges = true
  await client.subscribe(filters.map((filter) => device.prefix + filter))
  return client
}

/** Whatever was on its way before has come when this has: a bridge sends a device's updates with, and after, its commands. */
async function fence(client: RawClient, device: TestDevice): Promise<void> {
  for (let n = 0; n < 2; n++) {
    const id = await command(database.sql, device, { name: 'fence' })
    await announce(database.sql, device)
    await until(() => client.came().some(([topic]) => topic === `commands/${id}/request`), 'the fence')
  }
}

/** So long ago it was sent. */
async function pass(id: string, ms: number): Promise<void> {
  await database.sql`update updates set sent_at = sent_at - make_interval(secs => ${ms / 1000}::float8) where id = ${id}`
}

describe('over MQTT', () => {
  test('a device is told the job as it was signed, with its manifest and where to download it', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const { id, of, job, link } = await releasedUpdate(database.sql, device)
    await announce(database.sql, device)
    const url = `${DEVICE_URL}/device/v1/firmware/${of.sha256}?update=${id}&key=${link}`
    expect(await client.down(1)).toEqual([[`updates/${id}/job`, { job, manifest: of.envelope, url }]])
    expect(await updateRow(database.sql, id)).toEqual({ status: 'notified', sends: 1, told: false })
  })

  test('it is told again while it says nothing, and after that when it comes back or asks', async () => {
    const device = await newDevice()
    const client = await connect(device)
    const { id } = await releasedUpdate(database.sql, device)
    await announce(database.sql, device)
    await client.down(1)
    await fence(client, device)
    expect(jobs(client, id)).toHaveLength(1)
    const toldAt = async () => (await database.sql`select told_at from updates where id = ${id}`)[0]!.told_at as Date
    const first = await toldAt()
    await pass(id, 40_000)
    await announce(database.sql, device)
    await until(() => jobs(client, id).length === 2, 'the job again')
    await database.sql`update updates set answered_at = now(), status = 'downloading' where id = ${id}`
    await pass(id, 3_600_000)
    await fence(client, device)
    expect(jobs(client, id)).toHaveLength(2)
    client.send(upPacket(`${device.prefix}get`, '', 1))
    await until(() => jobs(client, id).length === 3, 'the job for who asks')
    client.end()
    const again = await connect(device)
    await until(() => jobs(again, id).length === 1, 'the job after the reconnect')
    await fence(again, device)
    expect(jobs(again, id)).toHaveLength(1)
    expect(await updateRow(database.sql, id)).toMatchObject({ status: 'downloading', sends: 4 })
    expect(await toldAt()).toEqual(first)
  })

  test('it is not told when it is too late, put off, soaking or over, nor of what is not trusted any more', async () => {
    const device = await newDevice()
    const { sql } = database
    await releasedUpdate(sql, device, { untilMs: 900 })
    const soaking = await releasedUpdate(sql, device)
    await sql`update updates set status = 'soaking', job = null where id = ${soaking.id}`
    const putOff = await releasedUpdate(sql, device)
    await sql`update updates set job = null where id = ${putOff.id}`
    const over = await releasedUpdate(sql, device)
    await cancelUpdate(sql, over.id)
    const withdrawn = await releasedUpdate(sql, device)
    await sql`update firmware set withdrawn_at = now() where id = ${withdrawn.of.id}`
    const client = await connect(device)
    await fence(client, device)
    expect(client.came().filter(([topic]) => topic.startsWith('updates/'))).toEqual([])
  })

  test('only the newest of its connections is told, of those that want it', async () => {
    const device = await newDevice()
    const [oldest, newest, other] = [
      await connect(device, ['#'], 'a'),
      await connect(device, ['#'], 'b'),
      await connect(device, ['desired'], 'd'),
    ]
    const { id } = await releasedUpdate(database.sql, device)
    await announce(database.sql, device)
    await until(() => jobs(newest, id).length === 1, 'the job')
    for (const client of [oldest, newest]) await fence(client, device)
    expect([oldest, newest, other].map((client) => jobs(client, id).length)).toEqual([0, 1, 0])
  })

  test('to one that has not subscribed to it, it was not sent', async () => {
    const device = await newDevice()
    const client = await connect(device, ['commands/#', 'desired'])
    const { id } = await releasedUpdate(database.sql, device)
    await fence(client, device)
    expect(await updateRow(database.sql, id)).toMatchObject({ status: 'scheduled', sends: 0 })
    await client.subscribe(`${device.prefix}updates/+/job`)
    await until(() => jobs(client, id).length === 1, 'the job')
  })

  test('it is told once that an update is over, if it had heard of it', async () => {
    const device = await newDevice()
    const client = await connect(device)
    client.acknowledges = false
    const { id } = await releasedUpdate(database.sql, device)
    await announce(database.sql, device)
    await client.down(1)
    await cancelUpdate(database.sql, id)
    const unheard = await releasedUpdate(database.sql, device)
    await cancelUpdate(database.sql, unheard.id)
    await announce(database.sql, device)
    await until(() => cancels(client, id).length === 1, 'the cancel')
    expect(await updateRow(database.sql, id)).toMatchObject({ status: 'cancelled', told: false })
    client.end()
    const again = await connect(device)
    await until(async () => (await updateRow(database.sql, id)).told, 'the cancel to be told')
    again.send(upPacket(`${device.prefix}get`, '', 1))
    await fence(again, device)
    expect(again.came().filter(([topic]) => topic.startsWith('updates/'))).toEqual([[`updates/${id}/cancel`, {}]])
    expect(await updateRow(database.sql, unheard.id)).toMatchObject({ told: false })
  })
})

describe('of two bridges that claim at once', () => {
  test('one gets it, and only what stands in the row then', async () => {
    const device = await newDevice()
    const store = createDownlinkStore(database.sql, DEVICE_URL)
    const ask = { incarnation: device.incarnation, desired: 'none', commands: 'none', after: 0, cancels: false } as const
    const due = { ...ask, updates: 'due', updateCancels: true } as const
    const { id, of } = await releasedUpdate(database.sql, device)
    const claims = await Promise.all(Array.from({ length: 8 }, () => store.claim([due])))
    expect(claims.filter((claimed) => claimed.get(device.incarnation)?.update)).toHaveLength(1)
    const { job } = await releaseUpdate(database.sql, device, { id, of, attempt: 2 })
    const claimed = await database.sql.begin(async (tx) => {
      await tx`update updates set job = null where id = ${id}`
      return store.claim([due])
    })
    expect(claimed.get(device.incarnation)).toBeUndefined()
    await database.sql`update updates set job = ${JSON.stringify(job)} where id = ${id}`
    expect((await store.claim([due])).get(device.incarnation)).toMatchObject({ update: { id, sends: 1 } })
  })
})

describe('over HTTP', () => {
  interface Asked {
    status: number
    etag: string
    body: { update?: { id: string; job: object; manifest: object; url: string }; updateCancels?: object[] } | undefined
  }

  async function ask(device: TestDevice, etag = '', wait = 0): Promise<Asked> {
    const headers = { authorization: `Bearer ${device.token}`, ...(etag !== '' && { 'if-none-match': etag }) }
    const answer = await fetch(`${bridge.url}/device/v1/pending?wait=${wait}`, { headers })
    const text = await answer.text()
    return { status: answer.status, etag: answer.headers.get('etag') ?? '', body: text === '' ? undefined : JSON.parse(text) }
  }

  test('what is pending has the update, as long as it stands, and is news with each attempt', async () => {
    const device = await newDevice()
    const { id, of, job, link } = await releasedUpdate(database.sql, device)
    const first = await ask(device)
    const url = `${DEVICE_URL}/device/v1/firmware/${of.sha256}?update=${id}&key=${link}`
    const nothing = { serverTime: expect.any(String), commands: [], cancels: [] }
    expect(first.body).toEqual({ ...nothing, update: { id, job, manifest: of.envelope, url } })
    expect(await updateRow(database.sql, id)).toMatchObject({ status: 'notified', sends: 1 })
    expect(await ask(device, first.etag)).toMatchObject({ status: 304 })
    await database.sql`update updates set answered_at = now(), status = 'downloading' where id = ${id}`
    expect(await ask(device, first.etag)).toMatchObject({ status: 304 })
    expect((await ask(device)).body).toMatchObject({ update: { id, job } })
    expect(await updateRow(database.sql, id)).toMatchObject({ status: 'downloading', sends: 1 })
    const next = await releaseUpdate(database.sql, device, { id, of, attempt: 2 })
    const second = await ask(device, first.etag)
    expect([second.status, second.body]).toMatchObject([200, { update: { id, job: next.job } }])
    expect(second.etag).not.toBe(first.etag)
    await cancelUpdate(database.sql, id)
    const third = await ask(device, second.etag)
    expect(third.body).toEqual({ ...nothing, updateCancels: [{ id }] })
    expect(await updateRow(database.sql, id)).toMatchObject({ status: 'cancelled', told: true })
    expect(await ask(device)).toMatchObject({ status: 204 })
  })

  test('who waits is woken by it', async () => {
    const device = await newDevice()
    const { etag } = await ask(device)
    const waiting = ask(device, etag, 60)
    const { id } = await releasedUpdate(database.sql, device)
    await announce(database.sql, device)
    expect((await waiting).body).toMatchObject({ update: { id } })
  })

  test('who only reports finds it in the answer to its report', async () => {
    const device = await newDevice()
    const { id, job } = await releasedUpdate(database.sql, device)
    const report = async () => {
      const headers = { authorization: `Bearer ${device.token}`, 'content-type': 'application/json' }
      const answer = await fetch(`${bridge.url}/device/v1/telemetry`, { method: 'POST', headers, body: '{}' })
      return ((await answer.json()) as { pending?: Asked['body'] }).pending
    }
    expect(await report()).toMatchObject({ update: { id, job } })
    expect(await report()).toBeUndefined()
    await cancelUpdate(database.sql, id)
    await announce(database.sql, device)
    expect(await until(report, 'the answer with the cancel')).toEqual({ commands: [], cancels: [], updateCancels: [{ id }] })
    expect(await updateRow(database.sql, id)).toMatchObject({ told: true })
  })
})
