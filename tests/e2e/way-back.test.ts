/** The way back on the whole of Castor: wishes that converge, commands that end, over MQTT and HTTP, asleep and awake, with processes killed. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { connectDevice, type Json, topicOf } from '../support/client.ts'
import { until } from '../support/wait.ts'

let castor: TestCastor
const devices: Device[] = []

beforeAll(async () => {
  castor = await startCastor()
})
afterAll(() => castor?.stop())
afterEach(async () => {
  for (const device of devices.splice(0)) await device.close()
})

describe('a wish', () => {
  test('reaches a connected device, converges when the device reports it, and every step can be seen', async () => {
    const device = await connected('w-1')
    const written = await castor.rest('PATCH', '/v1/twins/w-1/desired', { targetTemperature: 22.5 })
    expect(written).toMatchObject({
      status: 200,
      body: { version: 1, state: { targetTemperature: 22.5 }, delta: { targetTemperature: 22.5 } },
    })
    expect(written.headers.get('etag')).toBe('"1"')
    const told = await device.next('desired')
    expect(told).toEqual({ version: 1, state: { targetTemperature: 22.5 } })
    await until(async () => (await leaf('w-1')).status === 'sent', 'it is seen as sent')
    device.say('reported', { version: 1, state: { targetTemperature: 18 } })
    await until(async () => (await leaf('w-1')).status === 'acknowledged', 'it is seen as acknowledged')
    device.say('reported', { version: 1, state: { targetTemperature: 22.5 } })
    const twin = await until(async () => {
      const found = await twinOf('w-1')
      return found.desired.metadata['/targetTemperature'].status === 'converged' && found
    }, 'it has converged')
    expect(twin).toMatchObject({ delta: {}, reported: { state: { targetTemperature: 22.5 } } })
  })

  test('waits for a device that is away, and is told when it comes', async () => {
    const token = await castor.register('w-2')
    await castor.rest('PUT', '/v1/twins/w-2/desired', { targetTemperature: 19 })
    const device = await connected('w-2', token)
    expect(await device.next('desired')).toEqual({ version: 1, state: { targetTemperature: 19 } })
  })

  test('that the device refuses has diverged with its reason, and is not sent again', async () => {
    const device = await connected('w-3')
    await castor.rest('PATCH', '/v1/twins/w-3/desired', { targetTemperature: 30 })
    await device.next('desired')
    device.say('reported', { version: 1, state: {}, rejected: { '/targetTemperature': { code: 'locked', message: 'child lock' } } })
    await until(async () => (await leaf('w-3')).status === 'diverged', 'it has diverged')
    expect(await leaf('w-3')).toMatchObject({ reason: 'refused', code: 'locked', message: 'child lock' })
    const again = await connected('w-3', device.token)
    again.say('get', {})
    expect(await castor.rest('POST', '/v1/twins/w-3/commands', { name: 'identify' }, { prefer: 'wait=0' })).toMatchObject({ status: 202 })
    await again.next('commands/+/request')
    expect(again.received('desired')).toEqual([])
  })

  test('is refused when it does not fit the model, or stands on another version', async () => {
    await castor.register('w-4')
    const wish = (body: object, headers = {}) => castor.rest('PATCH', '/v1/twins/w-4/desired', body, headers)
    expect(await wish({ targetTemperature: 'warm' })).toMatchObject({ status: 400, body: { errors: [{ path: '/targetTemperature' }] } })
    expect(await wish({ temperature: 20 })).toMatchObject({ status: 400 })
    expect(await wish({ targetTemperature: 20 }, { 'if-match': '"3"' })).toMatchObject({ status: 412 })
    expect(await wish({ targetTemperature: 20 }, { 'if-match': '"0"' })).toMatchObject({ status: 200 })
  })
})

describe('a command', () => {
  test('goes to the device and comes back with its outcome in one request', async () => {
    const device = await connected('c-1')
    const asked = castor.rest('POST', '/v1/twins/c-1/commands', { name: 'identify' }, { prefer: 'wait=20' })
    const { id, ...request } = await device.nextCommand()
    expect(request).toMatchObject({ name: 'identify', attempt: 1, expiresAt: expect.any(String) })
    device.say(`commands/${id}/response`, { status: 'running', progress: 50 })
    device.say(`commands/${id}/response`, { status: 'succeeded' })
    expect(await asked).toMatchObject({ status: 200, body: { id, status: 'succeeded', attempts: 1, progress: 50 } })
    device.say(`commands/${id}/response`, { status: 'failed', code: 'late' })
    await until(async () => (await commandOf(id)).lateAnswers?.length === 1, 'the late answer is kept')
    expect(await commandOf(id)).toMatchObject({ status: 'succeeded' })
  })

  test('for a sleeper waits, and is sent under the same id after each reconnect until it is answered', async () => {
    const token = await castor.register('c-2')
    const { body } = await castor.rest('POST', '/v1/twins/c-2/commands', { name: 'identify', timeout: '5m' })
    expect(body).toMatchObject({ status: 'queued', attempts: 0 })
    const first = await connected('c-2', token)
    expect((await first.nextCommand()).id).toBe(body.id)
    await first.close()
    const second = await connected('c-2', token)
    expect(await second.nextCommand()).toMatchObject({ id: body.id, attempt: 2 })
    second.say(`commands/${body.id}/response`, { status: 'succeeded' })
    await until(async () => (await commandOf(body.id)).status === 'succeeded', 'it has succeeded')
  })

  test('expires on time, and nothing is sent after', async () => {
    const token = await castor.register('c-3')
    const { body } = await castor.rest('POST', '/v1/twins/c-3/commands', { name: 'identify', timeout: '2s' })
    await until(async () => (await commandOf(body.id)).status === 'expired', 'it has expired', 30_000)
    const device = await connected('c-3', token)
    await castor.rest('PATCH', '/v1/twins/c-3/desired', { targetTemperature: 20 })
    await device.next('desired')
    expect(device.received('commands/+/request')).toEqual([])
  })

  test('is cancelled, and the device that has it is told', async () => {
    const device = await connected('c-4')
    const { body } = await castor.rest('POST', '/v1/twins/c-4/commands', { name: 'identify' })
    await device.nextCommand()
    expect(await castor.rest('DELETE', `/v1/commands/${body.id}`)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
    await device.next('commands/+/cancel')
    expect(await castor.rest('DELETE', `/v1/commands/${body.id}`)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
  })

  test('of an unknown name, or with a wrong input, is refused', async () => {
    await castor.register('c-5')
    for (const body of [{ name: 'dance' }, { name: 'identify', input: { a: 1 }, timeout: 'soon' }, { name: 'identify', timeout: '900d' }])
      expect(await castor.rest('POST', '/v1/twins/c-5/commands', body)).toMatchObject({ status: 400 })
  })
})

describe('a device that speaks HTTP', () => {
  test('asks for what is pending, waits for it, and answers by POST', async () => {
    const token = await castor.register('h-1')
    const http = (method: string, path: string, body?: object) =>
      fetch(`${castor.deviceHttp}/device/v1/${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      })
    const waiting = http('GET', 'pending?wait=30')
    const asked = castor.rest('POST', '/v1/twins/h-1/commands', { name: 'identify' }, { prefer: 'wait=20' })
    const pending = (await (await waiting).json()) as Json
    expect(pending.commands).toMatchObject([{ name: 'identify', attempt: 1 }])
    expect((await http('POST', `commands/${pending.commands[0].id}/response`, { status: 'succeeded' })).status).toBe(202)
    expect(await asked).toMatchObject({ status: 200, body: { status: 'succeeded' } })
  })
})

test('a device that speaks HTTP and waits hears at once what was wrong with its message', async () => {
  const authorization = `Bearer ${await castor.register('h-2')}`
  const waiting = fetch(`${castor.deviceHttp}/device/v1/pending?wait=30`, { headers: { authorization } })
  const headers = { authorization, 'content-type': 'application/json', 'message-id': 'm-1' }
  await fetch(`${castor.deviceHttp}/device/v1/telemetry`, { method: 'POST', headers, body: '{"temperature": "warm"}' })
  expect(((await (await waiting).json()) as Json).errors).toMatchObject([{ code: 'wrong-type', path: '/temperature', id: 'm-1', count: 1 }])
})

describe('whichever process is killed', () => {
  test.each(['bridge', 'processor', 'worker', 'postgres', 'temporal'] as const)(
    '%s: wishes and commands come to their end all the same',
    {
      timeout: 120_000,
    },
    async (name) => {
      const id = `k-${name}`
      const device = await connected(id)
      const { body } = await castor.rest('POST', `/v1/twins/${id}/commands`, { name: 'identify', timeout: '2m' })
      await castor.rest('PATCH', `/v1/twins/${id}/desired`, { targetTemperature: 23 })
      await castor.kill(name)
      await castor.ready()
      await device.close()
      const again = await until(() => connected(id, device.token), 'it can connect again', 30_000)
      expect(await again.nextCommand()).toMatchObject({ id: body.id })
      expect(await again.next('desired')).toMatchObject({ state: { targetTemperature: 23 } })
      again.say(`commands/${body.id}/response`, { status: 'succeeded' })
      again.say('reported', { version: 1, state: { targetTemperature: 23 } })
      await until(async () => (await commandOf(body.id)).status === 'succeeded', 'the command has ended', 60_000)
      await until(async () => Object.keys((await twinOf(id)).delta).length === 0, 'the wish has converged', 60_000)
    },
  )
})

test('a bulk change asks every device that its filter finds, and ends', { timeout: 90_000 }, async () => {
  const fleet = await Promise.all([1, 2, 3].map((n) => connected(`b-${n}`)))
  const { status, body } = await castor.rest('POST', '/v1/bulk-changes', { filter: "id like 'b-%'", wish: { targetTemperature: 17 } })
  expect(status).toBe(201)
  for (const device of fleet) {
    const { version, state } = await device.next('desired', 30_000)
    device.say('reported', { version, state })
  }
  const done = await until(
    async () => {
      const { body: bulk } = await castor.rest('GET', `/v1/bulk-changes/${body.id}`)
      return bulk.status === 'completed' && bulk
    },
    'it is completed',
    60_000,
  )
  expect(done.devices).toMatchObject({ total: 3, succeeded: 3 })
})

test('a thousand writers at once all get an answer', { timeout: 120_000 }, async () => {
  await castor.register('many')
  const writers = Array.from({ length: 1_000 }, (_, n) =>
    castor.rest('PATCH', '/v1/twins/many/desired', { targetTemperature: 5 + (n % 30) }),
  )
  const statuses = new Map<number, number>()
  for (const { status } of await Promise.all(writers)) statuses.set(status, (statuses.get(status) ?? 0) + 1)
  expect([...statuses.keys()].every((status) => status === 200 || status === 202)).toBe(true)
  const { body } = await castor.rest('GET', '/v1/twins/many/desired')
  expect(body.version).toBeLessThanOrEqual(1_000)
})

test('what the twin decided stands in its history, with the cause of each', async () => {
  const { body } = await castor.rest('GET', '/v1/twins/w-1/history')
  const kinds = body.items.map((item: Json) => item.kind)
  for (const kind of ['desired-changed', 'desired-acknowledged', 'desired-converged', 'reported-changed']) expect(kinds).toContain(kind)
  const wished = body.items.find((item: Json) => item.kind === 'desired-changed')
  expect(wished).toMatchObject({ cause: { by: 'request', who: 'admin' } })
})

/** A device that hears all that comes down, acknowledges nothing by itself, and says what it is told to say. */
interface Device {
  token: string
  say(path: string, body: object): void
  /** The next message on a topic of its own (`+` for one level), taken out. */
  next(path: string, timeoutMs?: number): Promise<Json>
  nextCommand(): Promise<Json>
  received(path: string): Json[]
  close(): Promise<void>
}

async function connected(id: string, known?: string): Promise<Device> {
  const token = known ?? (await castor.register(id))
  const client = await connectDevice(castor.mqttUrl, id, token)
  const inbox: Array<{ path: string; body: Json }> = []
  const prefix = topicOf(id, '')
  client.on('message', (topic, payload) => inbox.push({ path: topic.slice(prefix.length), body: JSON.parse(String(payload)) }))
  client.on('error', () => {})
  await client.subscribeAsync([topicOf(id, 'desired'), topicOf(id, 'commands/#'), topicOf(id, 'errors')], { qos: 1 })
  const matches = (path: string) => new RegExp(`^${path.replace('+', '[^/]+')}$`)
  const take = (path: string) => {
    const at = inbox.findIndex((message) => matches(path).test(message.path))
    return at < 0 ? undefined : inbox.splice(at, 1)[0]
  }
  const device: Device = {
    token,
    say: (path, body) => void client.publishAsync(topicOf(id, path), JSON.stringify(body), { qos: 1 }).catch(() => {}),
    next: async (path, timeoutMs) => (await until(() => take(path), `${id} hears ${path}`, timeoutMs)).body,
    nextCommand: async () => {
      const { path, body } = await until(() => take('commands/+/request'), `${id} hears a command`)
      return { id: path.split('/')[1], ...body }
    },
    received: (path) => inbox.filter((message) => matches(path).test(message.path)).map(({ body }) => body),
    close: () => client.endAsync(true),
  }
  devices.push(device)
  return device
}

async function twinOf(id: string): Promise<Json> {
  return (await castor.rest('GET', `/v1/twins/${id}`)).body
}

async function leaf(id: string): Promise<Json> {
  return (await castor.rest('GET', `/v1/twins/${id}/desired`)).body.metadata['/targetTemperature']
}

async function commandOf(id: string): Promise<Json> {
  return (await castor.rest('GET', `/v1/commands/${id}`)).body
}
