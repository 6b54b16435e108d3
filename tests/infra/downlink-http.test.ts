/** What is pending, over HTTP: asked for, waited for, and in the answers to reports. */
import { describe, expect, test } from 'vitest'
import {
  announce,
  cancelCommand,
  command,
  commandRow,
  hashOf,
  messagesOf,
  startTestBridge,
  type TestDevice,
  wish,
} from '../support/bridge.ts'
import { bridgeOfFile } from '../support/pending.ts'
import { rawConnect } from '../support/raw-mqtt.ts'
import { until } from '../support/wait.ts'

const on = bridgeOfFile('p')
const { newDevice } = on

interface Asked {
  status: number
  etag: string
  body: { serverTime: string; desired?: object; commands: Array<{ id: string; attempt: number }>; cancels: object[] } | undefined
}

async function ask(device: TestDevice, { wait = undefined as number | undefined, etag = '', at = on.bridge } = {}): Promise<Asked> {
  const answer = await fetch(`${at.url}/device/v1/pending${wait === undefined ? '' : `?wait=${wait}`}`, {
    headers: { authorization: `Bearer ${device.token}`, ...(etag !== '' && { 'if-none-match': etag }) },
    signal: on.leaving,
  })
  const text = await answer.text()
  return { status: answer.status, etag: answer.headers.get('etag') ?? '', body: text === '' ? undefined : JSON.parse(text) }
}

async function report(device: TestDevice): Promise<{ receivedAt: string; pending?: Asked['body'] }> {
  const answer = await fetch(`${on.bridge.url}/device/v1/telemetry`, {
    method: 'POST',
    headers: { authorization: `Bearer ${device.token}`, 'content-type': 'application/json' },
    body: '{}',
  })
  expect(answer.status).toBe(202)
  return (await answer.json()) as never
}

/** The bridge says in the log that a device asked, as soon as it waits. */
const askedTimes = async ({ incarnation }: TestDevice) => (await messagesOf(on.sql, incarnation, 'get')).length
const waits = (device: TestDevice, times = 1) => until(async () => (await askedTimes(device)) === times, 'the device to wait')

describe('GET /device/v1/pending', () => {
  test('says 204 when there is nothing, and is a sign of life', async () => {
    const device = await newDevice()
    expect(await ask(device)).toMatchObject({ status: 204, body: undefined, etag: expect.stringMatching(/^W\/".+"$/) })
    expect(await ask(device, { wait: 0 })).toMatchObject({ status: 204 })
    await waits(device, 2)
  })

  test('gives desired state, commands and cancels, which counts as sent', async () => {
    const device = await newDevice()
    const cancelled = await command(on.sql, device)
    await ask(device)
    await cancelCommand(on.sql, cancelled)
    await wish(on.sql, device, { version: 2, state: { targetTemperature: 19 } })
    const id = await command(on.sql, device, { name: 'unlock', input: { door: 1 }, repeatable: false })
    const { status, body } = await ask(device)
    expect([status, body]).toEqual([
      200,
      {
        serverTime: expect.stringMatching(/Z$/),
        desired: { version: 2, state: { targetTemperature: 19 } },
        commands: [{ id, name: 'unlock', input: { door: 1 }, expiresAt: expect.stringMatching(/Z$/), attempt: 1 }],
        cancels: [{ id: cancelled }],
      },
    ])
    expect(Math.abs(Date.parse(body!.serverTime) - Date.now())).toBeLessThan(5000)
    expect(await commandRow(on.sql, id)).toMatchObject({ status: 'sent', attempts: 1 })
    expect(await commandRow(on.sql, cancelled)).toMatchObject({ told: true })
    // What may not be repeated, and cancels, are told once; the wish stands as long as it does.
    expect((await ask(device)).body).toMatchObject({ desired: { version: 2 }, commands: [], cancels: [] })
  })

  test('says 304 to a device that has it all, and hands nothing out', async () => {
    const device = await newDevice()
    const [nothing, ids] = [await ask(device), [await command(on.sql, device), await command(on.sql, device)]]
    const some = await ask(device, { etag: nothing.etag })
    expect(some.body!.commands.map(({ id, attempt }) => [id, attempt])).toEqual(ids.map((id) => [id, 1]))
    for (let i = 0; i < 3; i++) expect(await ask(device, { etag: some.etag })).toMatchObject({ status: 304, etag: some.etag })
    expect(await commandRow(on.sql, ids[0]!)).toMatchObject({ attempts: 1 })
    await cancelCommand(on.sql, ids[0]!)
    await on.sql`update commands set cancel_at = null where id = ${ids[0]!}`
    const less = await ask(device, { etag: some.etag })
    expect([less.status, less.body!.commands]).toMatchObject([200, [{ id: ids[1], attempt: 1 }]])
    await on.sql`update commands set ended_at = now() where id = ${ids[1]!}`
    const none = await ask(device, { etag: less.etag })
    expect(none).toMatchObject({ status: 200, etag: nothing.etag, body: { commands: [], cancels: [] } })
    expect(await ask(device, { etag: nothing.etag })).toMatchObject({ status: 304 })
  })

  test('waits until there is something', async () => {
    const device = await newDevice()
    const waiting = ask(device, { wait: 60 })
    await waits(device)
    const id = await command(on.sql, device, { repeatable: false })
    await announce(on.sql, device)
    const { body, etag } = await waiting
    expect(body!.commands).toMatchObject([{ id, attempt: 1 }])
    // It has been handed out: the next poll waits for something else.
    const next = ask(device, { wait: 60, etag })
    await waits(device, 2)
    await wish(on.sql, device)
    await announce(on.sql, device)
    expect((await next).body).toMatchObject({ desired: { version: 1 }, commands: [] })
  })

  test('finds by itself what nobody told it of', async () => {
    const device = await newDevice()
    const waiting = ask(device, { wait: 60 })
    await waits(device)
    await wish(on.sql, device)
    expect((await waiting).status).toBe(200)
  })

  test('ends with 204 or 304 when the wait is over', async () => {
    const device = await newDevice()
    const { etag } = await ask(device)
    const started = performance.now()
    const [plain, conditional] = await Promise.all([ask(device, { wait: 1 }), ask(device, { wait: 1, etag })])
    expect([plain.status, conditional.status]).toEqual([204, 304])
    expect(performance.now() - started).toBeGreaterThan(990)
  })

  test.each(['-1', '61', '1.5', 'x', '', '1e1', '030', '10&wait=20', '10&more=1'])('refuses wait=%s', async (wait) => {
    const device = await newDevice()
    const answer = await fetch(`${on.bridge.url}/device/v1/pending?wait=${wait}`, { headers: { authorization: `Bearer ${device.token}` } })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ code: 'invalid', errors: [{ path: expect.stringMatching(/^query:/) }] })
    expect(await askedTimes(device)).toBe(0)
  })

  test.each(['HEAD', 'POST', 'DELETE'])('refuses %s, which would hand out unseen', async (method) => {
    const device = await newDevice()
    const id = await command(on.sql, device, { repeatable: false })
    const answer = await fetch(`${on.bridge.url}/device/v1/pending`, { method, headers: { authorization: `Bearer ${device.token}` } })
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET'])
    expect(await commandRow(on.sql, id)).toMatchObject({ attempts: 0 })
  })

  test('refuses a wrong token', async () => {
    expect((await ask({ ...(await newDevice()), token: 'wrong' }, { wait: 30 })).status).toBe(401)
  })

  test('ends within seconds when the token is replaced or the device deleted', async () => {
    const [renewed, deleted, untouched] = [await newDevice(), await newDevice(), await newDevice()]
    const waiting = [ask(renewed, { wait: 60 }), ask(deleted, { wait: 60 })]
    const other = ask(untouched, { wait: 60 })
    for (const device of [renewed, deleted, untouched]) await waits(device)
    const token = `${renewed.token}-new`
    await on.sql`update devices set token_hash = ${hashOf(token)}, token_changed_at = now() where incarnation = ${renewed.incarnation}`
    await on.sql`delete from devices where incarnation = ${deleted.incarnation}`
    const { incarnation, tenant, device } = deleted
    await on.sql`insert into removed_devices (incarnation, tenant, device, lane) values (${incarnation}, ${tenant}, ${device}, 0)`
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([401, 401])
    const again = ask({ ...renewed, token }, { wait: 60 })
    await waits(renewed, 2)
    await wish(on.sql, renewed)
    await wish(on.sql, untouched)
    await announce(on.sql, renewed, untouched)
    expect((await Promise.all([again, other])).map(({ status }) => status)).toEqual([200, 200])
  })

  test('hands nothing out to a device that left', async () => {
    const device = await newDevice()
    const waiting = ask(device, { wait: 60 }).catch(() => 'left')
    await waits(device)
    on.leave()
    expect(await waiting).toBe('left')
    const id = await command(on.sql, device, { repeatable: false })
    // Another device that waits shows that the word has come by.
    const other = await newDevice()
    const witness = ask(other, { wait: 60 })
    await waits(other)
    await wish(on.sql, other)
    await announce(on.sql, device, other)
    await witness
    expect(await commandRow(on.sql, id)).toMatchObject({ attempts: 0 })
    expect((await ask(device)).body!.commands).toMatchObject([{ id, attempt: 1 }])
  })

  test('ends at once when the bridge stops', async () => {
    const stopping = await startTestBridge(on.databaseUrl)
    const device = await newDevice()
    const waiting = ask(device, { wait: 60, at: stopping })
    await waits(device)
    const started = performance.now()
    await stopping.stop()
    expect((await waiting).status).toBe(204)
    expect(performance.now() - started).toBeLessThan(3000)
  })

  test('holds a thousand devices, and wakes those that have something', async () => {
    const devices: TestDevice[] = []
    for (let i = 0; i < 1000; i++) devices.push(await newDevice())
    let ended = 0
    const waiting = devices.map((device) =>
      ask(device, { wait: 60 }).then((answer) => {
        ended++
        return answer
      }),
    )
    const all = async () => on.sql`select from ingest_log where heads like '%"get"%'`
    await until(async () => (await all()).length > 0, 'the first')
    for (const device of devices.slice(-20)) await waits(device)
    await wish(on.sql, devices[500]!)
    await announce(on.sql, devices[500]!)
    expect((await waiting[500]!).status).toBe(200)
    expect(ended).toBe(1)
    for (const device of devices) await wish(on.sql, device, { version: 2 })
    await announce(on.sql, ...devices.slice(0, 500))
    await announce(on.sql, ...devices.slice(501))
    const answers = await Promise.all(waiting)
    expect(answers.every(({ status }) => status === 200)).toBe(true)
    expect(answers.filter(({ body }) => (body!.desired as { version: number }).version === 2)).toHaveLength(999)
  }, 60_000)
})

describe('a device that only reports', () => {
  test('finds what is due in the answer to its next report, once', async () => {
    const device = await newDevice()
    await wish(on.sql, device)
    const id = await command(on.sql, device, { repeatable: false })
    expect(await report(device)).toEqual({
      receivedAt: expect.any(String),
      pending: {
        desired: { version: 1, state: { targetTemperature: 21 } },
        commands: [{ id, name: 'identify', expiresAt: expect.any(String), attempt: 1 }],
        cancels: [],
      },
    })
    expect(await report(device)).toEqual({ receivedAt: expect.any(String) })
    const another = await command(on.sql, device)
    await announce(on.sql, device)
    const found = await until(async () => (await report(device)).pending, 'the answer with the command')
    expect(found.commands).toMatchObject([{ id: another, attempt: 1 }])
    await cancelCommand(on.sql, another)
    await announce(on.sql, device)
    const told = await until(async () => (await report(device)).pending, 'the answer with the cancel')
    expect(told.cancels).toEqual([{ id: another }])
    expect(await commandRow(on.sql, another)).toMatchObject({ told: true })
  })

  test('is another than one that asks, waits, or is connected', async () => {
    const [asks, connected] = [await newDevice(), await newDevice()]
    await ask(asks)
    const { client } = await rawConnect(on.bridge.port, connected)
    for (const device of [asks, connected]) {
      const id = await command(on.sql, device, { repeatable: false })
      await announce(on.sql, device)
      expect(await report(device)).toEqual({ receivedAt: expect.any(String) })
      expect(await commandRow(on.sql, id)).toMatchObject({ attempts: 0 })
    }
    client.end()
  })
})
