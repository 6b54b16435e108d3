/** The first minutes with Castor, as README shows them, on the whole of it: values are checked, not only answers. */
import { Client, Connection } from '@temporalio/client'
import type { MqttClient } from 'mqtt'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { twinWorkflowId } from '../../twin-models/ids.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { connectDevice, type Json, topicOf } from '../support/client.ts'
import { until } from '../support/wait.ts'

let castor: TestCastor
const connections: MqttClient[] = []

beforeAll(async () => {
  castor = await startCastor()
})

afterAll(() => castor?.stop())

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.endAsync(true)
})

describe('a device that speaks', () => {
  test('can be read at once after its registration, before it ever spoke', async () => {
    const { status, body, headers } = await castor.rest('POST', '/v1/devices', {
      id: 't-1',
      model: 'thermostat',
      attributes: { site: 'north' },
    })
    expect(status).toBe(201)
    expect(body.token.length).toBeGreaterThan(20)
    expect(headers.get('location')).toBe('/v1/devices/t-1')
    const twin = await twinOf('t-1')
    expect(twin).toMatchObject({
      id: 't-1',
      tenant: 'demo',
      model: 'thermostat',
      status: 'active',
      attributes: { site: 'north' },
      telemetry: {},
    })
    expect(twin.presence).toMatchObject({ status: 'never', connected: false })
  })

  test('shows its values in REST with exact numbers and times, and comes online by a decision of its twin', async () => {
    const device = await connected('t-2')
    const ts = new Date(Date.now() - 90_000).toISOString()
    const before = new Date().toISOString()
    await device.publishAsync(
      topicOf('t-2', 'telemetry'),
      JSON.stringify({ id: 'm-1', ts, values: { temperature: 21.375, humidity: 40 } }),
      { qos: 1 },
    )
    const twin = await until(async () => {
      const found = await twinOf('t-2')
      return found.presence.status === 'online' && found.telemetry.temperature && found
    }, 'the twin shows it')
    expect(twin.telemetry.temperature).toEqual({
      value: 21.375,
      unit: 'Cel',
      ts,
      receivedAt: expect.any(String),
      messageId: 'm-1',
      stale: expect.any(Boolean),
    })
    expect(twin.telemetry.humidity).toMatchObject({ value: 40, unit: '%', ts })
    expect(twin.telemetry.temperature.receivedAt >= before).toBe(true)
    expect(twin.telemetry.temperature.receivedAt <= new Date().toISOString()).toBe(true)
    expect(twin.presence).toMatchObject({ connected: true, reason: 'message' })
    expect(twin.revision).toBeGreaterThan(0)
  })

  test('keeps numbers as they are, from the smallest to the largest', async () => {
    const device = await connected('t-3')
    const numbers = { a: 0.1 + 0.2, b: 5e-324, c: 1.7976931348623157e308, d: -1e-7, e: 9007199254740991, f: 100, g: 1e21 }
    const ts = new Date().toISOString()
    await device.publishAsync(topicOf('t-3', 'telemetry'), JSON.stringify({ ts, values: numbers }), { qos: 1 })
    const { telemetry } = await until(async () => {
      const found = await twinOf('t-3')
      return found.telemetry.g && found
    }, 'the twin shows it')
    for (const [name, value] of Object.entries(numbers)) {
      expect(telemetry[name].value, name).toBe(value)
      const stored = await castor.rest('GET', `/v1/twins/t-3/telemetry?name=${name}`)
      expect(stored.body.items).toEqual([{ name, ts, receivedAt: expect.any(String), value }])
    }
  })

  test('may speak HTTP instead', async () => {
    const token = await castor.register('t-4', 'pump')
    const post = (path: string, body: unknown) =>
      fetch(`${castor.deviceHttp}/device/v1/${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    expect((await post('telemetry', { vibration: 1.25, running: true })).status).toBe(202)
    expect((await post('events/leak', { id: 'leak-1', data: { litresPerMinute: 2 } })).status).toBe(202)
    const { telemetry } = await until(async () => {
      const found = await twinOf('t-4')
      return found.telemetry.running && found
    }, 'the twin shows it')
    expect(telemetry.vibration).toMatchObject({ value: 1.25, unit: 'mm/s' })
    expect(telemetry.running).toMatchObject({ value: true })
    await until(async () => (await deviceEvents('t-4')).length === 1, 'the event stands in the history')
    expect((await deviceEvents('t-4'))[0]).toMatchObject({ name: 'leak', data: { litresPerMinute: 2 } })
  })

  test('counts a message once, however often it comes', async () => {
    const device = await connected('t-5', 'pump')
    for (let i = 0; i < 5; i += 1) {
      await device.publishAsync(topicOf('t-5', 'events/leak'), JSON.stringify({ id: 'same', data: { litresPerMinute: 1 } }), { qos: 1 })
    }
    await device.publishAsync(topicOf('t-5', 'events/leak'), JSON.stringify({ id: 'another', data: { litresPerMinute: 3 } }), { qos: 1 })
    await until(async () => (await deviceEvents('t-5')).length >= 2, 'the events stand in the history')
    await castor.rest('GET', '/v1/twins/t-5?consistency=strong')
    expect((await deviceEvents('t-5')).map((event) => event.data.litresPerMinute)).toEqual([1, 3])
  })
})

describe('a strongly consistent read', () => {
  test('shows what was acknowledged before it was asked', async () => {
    const device = await connected('t-6')
    for (let i = 0; i < 8; i += 1) {
      await device.publishAsync(topicOf('t-6', 'telemetry'), JSON.stringify({ temperature: i }), { qos: 1 })
      const { status, body } = await castor.rest('GET', '/v1/twins/t-6?consistency=strong')
      expect(status).toBe(200)
      expect(body.telemetry.temperature.value).toBe(i)
      expect(body.presence.status).toBe('online')
    }
  })
})

describe('bad content', () => {
  test('becomes a dead letter and a word on the errors topic, and the next good message works', async () => {
    const device = await connected('t-7')
    const told: Json[] = []
    device.on('message', (_topic, payload) => told.push(JSON.parse(payload.toString())))
    await device.subscribeAsync(topicOf('t-7', 'errors'))
    await device.publishAsync(topicOf('t-7', 'telemetry'), '{"temperature": 2', { qos: 1 })
    await device.publishAsync(topicOf('t-7', 'telemetry'), JSON.stringify({ id: 'bad', values: { temperature: 'warm' } }), { qos: 1 })
    await device.publishAsync(topicOf('t-7', 'telemetry'), JSON.stringify({ temperature: 19 }), { qos: 1 })
    await until(async () => (await twinOf('t-7')).telemetry.temperature?.value === 19, 'the good message counts')

    const { body } = await castor.rest('GET', '/v1/dead-letters?device=t-7')
    expect(body.items).toHaveLength(2)
    const [wrongType, broken] = body.items
    expect(broken).toMatchObject({ device: 't-7', raw: '{"temperature": 2', rawEncoding: 'utf-8' })
    expect(wrongType).toMatchObject({ device: 't-7', messageId: 'bad' })
    expect(wrongType.path).toContain('temperature')
    await until(() => told.length >= 2, 'both words on the errors topic')
    expect(told.some((word) => word.id === 'bad')).toBe(true)
    for (const word of told) expect(word).toMatchObject({ code: expect.any(String), detail: expect.any(String), count: expect.any(Number) })
  })
})

describe('a device that is deleted', () => {
  test('loses connection, credential and twin, and starts clean when registered again while old messages are under way', async () => {
    const device = await connected('t-8')
    const oldToken = tokens.get('t-8')!
    let closed = false
    device.on('close', () => (closed = true))
    await device.publishAsync(topicOf('t-8', 'telemetry'), JSON.stringify({ temperature: 1 }), { qos: 1 })
    await until(async () => (await twinOf('t-8')).telemetry.temperature?.value === 1, 'the twin shows it')
    const workflow = await workflowOf('t-8')
    expect(await statusOf(workflow)).toBe('RUNNING')
    const flood = flooding(device, 't-8')

    expect((await castor.rest('DELETE', '/v1/devices/t-8')).status).toBe(204)
    expect((await castor.rest('GET', '/v1/twins/t-8')).status).toBe(404)
    const token = await castor.register('t-8')
    await until(() => closed, 'the old connection is closed')
    await flood
    await expect(connectDevice(castor.mqttUrl, 't-8', oldToken)).rejects.toMatchObject({ code: 4 })

    const again = await connectDevice(castor.mqttUrl, 't-8', token)
    connections.push(again)
    await again.publishAsync(topicOf('t-8', 'telemetry'), JSON.stringify({ humidity: 50 }), { qos: 1 })
    const { body } = await castor.rest('GET', '/v1/twins/t-8?consistency=strong')
    expect(Object.keys(body.telemetry)).toEqual(['humidity'])
    expect((await castor.rest('GET', '/v1/twins/t-8/telemetry?name=temperature')).body.items).toEqual([])
    await until(async () => (await statusOf(workflow)) === 'COMPLETED', 'the old workflow has ended')
    expect(await workflowOf('t-8')).not.toBe(workflow)
  })
})

const tokens = new Map<string, string>()

async function connected(id: string, model?: string): Promise<MqttClient> {
  const token = await castor.register(id, model)
  tokens.set(id, token)
  const connection = await connectDevice(castor.mqttUrl, id, token)
  connections.push(connection)
  return connection
}

async function twinOf(id: string): Promise<Json> {
  const { status, body } = await castor.rest('GET', `/v1/twins/${id}`)
  if (status !== 200) throw new Error(`status ${status}: ${JSON.stringify(body)}`)
  return body
}

async function workflowOf(device: string): Promise<string> {
  const [row] = await castor.sql<{ incarnation: number }[]>`select incarnation from devices where device = ${device}`
  return twinWorkflowId({ tenant: 'demo', device, incarnation: row!.incarnation })
}

async function statusOf(workflow: string): Promise<string> {
  const connection = await Connection.connect({ address: castor.temporalAddress })
  try {
    return (await new Client({ connection }).workflow.getHandle(workflow).describe()).status.name
  } finally {
    await connection.close()
  }
}

async function deviceEvents(device: string): Promise<Json[]> {
  const rows = await castor.sql<{ event: string }[]>`
    select event from twin_history h join devices d using (incarnation)
    where d.device = ${device} and h.kind = 'device-event' order by h.revision, h.n`
  return rows.map(({ event }) => JSON.parse(event))
}

/** Publishes as fast as it may until the connection is gone. */
async function flooding(device: MqttClient, id: string): Promise<void> {
  const closed = new Promise<void>((resolve) => device.once('close', () => resolve()))
  for (let i = 2; device.connected; i += 1) {
    const sent = device.publishAsync(topicOf(id, 'telemetry'), JSON.stringify({ temperature: i }), { qos: 1 })
    await Promise.race([sent.catch(() => {}), closed])
  }
}
