/**
 * MQTT 3.1.1 packets by hand, as few bytes and as little work as the load generator can do with: CONNECT, PINGREQ,
 * and a PUBLISH whose digits are patched in place. A packet library would be measured instead of the server.
 */

export const CONNACK = 2
export const PUBLISH = 3
export const PUBACK = 4
export const PINGRESP = 13

export const PINGREQ = Buffer.from([0xc0, 0x00])
export const DISCONNECT = Buffer.from([0xe0, 0x00])

/** What a message says: three values of a thermostat, the same beyond and inside the normal range in turn, or three of twenty. */
export type Payload = 'three' | 'crossing' | 'wide'
export const WIDE_PROPERTIES = 20

export interface Credentials {
  clientId: string
  username: string
  password: string
}

export function connectPacket(who: Credentials, keepaliveSeconds: number): Buffer {
  const [clean, password, user] = [0x02, 0x40, 0x80]
  const head = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, clean | password | user, keepaliveSeconds >> 8, keepaliveSeconds & 255])
  return packet(0x10, Buffer.concat([head, text(who.clientId), text(who.username), text(who.password)]))
}

export function subscribePacket(id: number, filter: string): Buffer {
  return packet(0x82, Buffer.concat([Buffer.from([id >> 8, id & 255]), text(filter), Buffer.from([1])]))
}

/** A PUBLISH at QoS 1 that is written again and again: same length, other digits. */
export class PublishTemplate {
  readonly bytes: Buffer
  readonly #payload: number
  readonly #kind: Payload

  constructor(topic: string, packetId: number, kind: Payload) {
    const payload = Buffer.from(kind === 'wide' ? WIDE : THREE)
    this.bytes = packet(0x32, Buffer.concat([text(topic), Buffer.from([packetId >> 8, packetId & 255]), payload]))
    this.#payload = this.bytes.length - payload.length
    this.#kind = kind
  }

  /** `n` is the device's message number, `ts` the message's own time. */
  fill(n: number, ts: number): Buffer {
    const at = this.#payload
    this.bytes[0] = 0x32
    this.#digits(at + 6, ts, 13)
    if (this.#kind === 'wide') {
      for (let i = 0; i < 3; i++) {
        this.#digits(at + WIDE_NAMES[i]!, (n * 3 + i) % WIDE_PROPERTIES, 2)
        this.#digits(at + WIDE_VALUES[i]!, (n * 37 + i * 11) % 100, 2)
      }
    } else {
      const beyond = this.#kind === 'crossing' && n % 2 === 0
      this.#digits(at + TEMPERATURE, beyond ? 88 : 20 + (n % 3), 2)
      this.#digits(at + TEMPERATURE + 3, (n * 37) % 100, 2)
      this.#digits(at + HUMIDITY, (n * 41) % 100, 2)
    }
    return this.bytes
  }

  /** The same bytes as a redelivery (MQTT-3.3.1-1). */
  again(): Buffer {
    this.bytes[0] = 0x3a
    return this.bytes
  }

  #digits(at: number, value: number, width: number): void {
    let rest = value
    for (let i = at + width - 1; i >= at; i--) {
      this.bytes[i] = 48 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
  }
}

const THREE = '{"ts":0000000000000,"values":{"temperature":20.00,"humidity":45.00,"targetTemperature":21.5}}'
const TEMPERATURE = THREE.indexOf('20.00')
const HUMIDITY = THREE.indexOf('45.00') + 3
const WIDE = '{"ts":0000000000000,"values":{"property00":10.00,"property01":10.00,"property02":10.00}}'
const WIDE_NAMES = [...WIDE.matchAll(/property/g)].map((match) => match.index + 8)
const WIDE_VALUES = [...WIDE.matchAll(/10\.00/g)].map((match) => match.index + 3)

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

function packet(first: number, body: Buffer): Buffer {
  const length: number[] = []
  let rest = body.length
  do {
    length.push((rest & 127) | (rest > 127 ? 128 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from([first, ...length]), body])
}
