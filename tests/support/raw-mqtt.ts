/** An MQTT client of bare packets, for what a well-behaved client library does not do or does not show. */
import { connect, type Socket } from 'node:net'
import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet'
import { until } from './wait.ts'

export class RawClient {
  /** All that came, in order. */
  readonly packets: Packet[] = []
  readonly socket: Socket
  closed = false
  /** Answers QoS 1 by itself. */
  acknowledges = false
  #packetId = 60_000

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const parser = mqttPacket.parser()
    parser.on('packet', (packet) => {
      this.packets.push(packet)
      if (this.acknowledges && packet.cmd === 'publish' && packet.qos === 1) this.send({ cmd: 'puback', messageId: packet.messageId! })
    })
    this.socket.on('data', (chunk) => parser.parse(chunk))
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
    })
  }

  send(...packets: Packet[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet))))
  }

  /** Waits until `n` packets of a kind came, and gives them. */
  async got(cmd: Packet['cmd'], n = 1): Promise<Packet[]> {
    const found = () => this.packets.filter((packet) => packet.cmd === cmd)
    await until(() => found().length >= n, `${n} ${cmd}; there came ${this.packets.map(({ cmd }) => cmd).join(', ')}`)
    return found()
  }

  /** Gives what was granted. */
  async subscribe(topics: string | string[], qos: 0 | 1 = 1): Promise<number[]> {
    const messageId = ++this.#packetId
    this.send({ cmd: 'subscribe', messageId, subscriptions: [topics].flat().map((topic) => ({ topic, qos })) })
    const isAnswer = (packet: Packet) => packet.cmd === 'suback' && packet.messageId === messageId
    const suback = await until(() => this.packets.find(isAnswer), 'SUBACK')
    return (suback as { granted: number[] }).granted
  }

  /** What came down, in order: topic below the device's, and payload. */
  came(): Array<[subtopic: string, payload: Record<string, unknown>]> {
    return this.packets.flatMap((packet) =>
      packet.cmd === 'publish' ? [[packet.topic.split('/').slice(4).join('/'), JSON.parse(packet.payload.toString())] as never] : [],
    )
  }

  /** Waits until `n` have come down, and gives all. */
  async down(n: number): Promise<Array<[subtopic: string, payload: Record<string, unknown>]>> {
    await this.got('publish', n)
    return this.came()
  }

  async ended(): Promise<void> {
    await until(() => this.closed, 'the connection to be closed')
  }

  end(): void {
    this.socket.destroy()
  }
}

export interface Login {
  tenant: string
  device: string
  token: string
}

export function connectPacket(login: Login, rest: Partial<IConnectPacket> = {}): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: login.device,
    keepalive: 60,
    username: `${login.tenant}/${login.device}`,
    password: Buffer.from(login.token),
    ...rest,
  }
}

/** Connects; gives the client and the code of CONNACK. */
export async function rawConnect(
  port: number,
  login: Login,
  rest: Partial<IConnectPacket> = {},
): Promise<{ client: RawClient; code: number }> {
  const client = new RawClient(port)
  client.send(connectPacket(login, rest))
  const [connack] = await client.got('connack')
  return { client, code: (connack as { returnCode: number }).returnCode }
}

export function publishPacket(topic: string, payload: string | Buffer, messageId: number, qos: 0 | 1 | 2 = 1, dup = false): Packet {
  return { cmd: 'publish', topic, payload, qos, dup, retain: false, ...(qos > 0 && { messageId }) } as Packet
}
