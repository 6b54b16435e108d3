/** The load generator's packets are bytes by hand: a real parser must read them as what they are meant to be. */
import { type Packet, parser } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { connectPacket, type Payload, PublishTemplate, subscribePacket, WIDE_PROPERTIES } from './packets.ts'

const TOPIC = 'castor/v1/demo/t-1/telemetry'
const TS = 1_790_000_000_123

describe('packets of the load generator', () => {
  it('connect with a client id, a user and a password', () => {
    const packet = read(connectPacket({ clientId: 't-1', username: 'demo/t-1', password: 'secret' }, 60))
    expect(packet).toMatchObject({ cmd: 'connect', clientId: 't-1', username: 'demo/t-1', keepalive: 60, clean: true, protocolVersion: 4 })
    expect(String((packet as { password: Buffer }).password)).toBe('secret')
  })

  it('publish three values with a time of their own, again and again from the same bytes', () => {
    const template = new PublishTemplate(TOPIC, 300, 'three')
    for (const n of [0, 1, 4711]) {
      const { packet, body } = publish(template.fill(n, TS + n))
      expect(packet).toMatchObject({ cmd: 'publish', topic: TOPIC, qos: 1, dup: false, messageId: 300 })
      expect(body).toEqual({
        ts: TS + n,
        values: { temperature: expect.any(Number), humidity: expect.any(Number), targetTemperature: 21.5 },
      })
    }
    expect(read(template.again())).toMatchObject({ dup: true, messageId: 300 })
  })

  it('cross the range with every message when asked to', () => {
    const template = new PublishTemplate(TOPIC, 1, 'crossing')
    const temperatures = [0, 1, 2, 3].map((n) => publish(template.fill(n, TS)).body.values.temperature!)
    expect(temperatures.map((value) => value > 80)).toEqual([true, false, true, false])
  })

  it('rotate over all properties of a wide document', () => {
    const template = new PublishTemplate(TOPIC, 1, 'wide')
    const messages = Array.from({ length: 20 }, (_, n) => Object.keys(publish(template.fill(n, TS)).body.values))
    expect(messages.every((names) => new Set(names).size === 3)).toBe(true)
    expect(new Set(messages.flat()).size).toBe(WIDE_PROPERTIES)
  })

  it('subscribe at QoS 1', () => {
    expect(read(subscribePacket(7, 'castor/v1/demo/t-1/errors'))).toMatchObject({
      cmd: 'subscribe',
      messageId: 7,
      subscriptions: [{ topic: 'castor/v1/demo/t-1/errors', qos: 1 }],
    })
  })

  it.each<Payload>(['three', 'crossing', 'wide'])('keep their length: %s', (kind) => {
    const template = new PublishTemplate(TOPIC, 1, kind)
    const length = template.bytes.length
    expect(publish(template.fill(999_999, TS)).body.ts).toBe(TS)
    expect(template.bytes.length).toBe(length)
  })
})

function publish(bytes: Buffer): { packet: Packet; body: { ts: number; values: Record<string, number> } } {
  const packet = read(Buffer.from(bytes))
  return { packet, body: JSON.parse(String((packet as { payload: Buffer }).payload)) }
}

function read(bytes: Buffer): Packet {
  const packets: Packet[] = []
  const reader = parser()
  reader.on('packet', (packet: Packet) => packets.push(packet))
  expect(reader.parse(bytes)).toBe(0)
  expect(packets).toHaveLength(1)
  return packets[0]!
}
