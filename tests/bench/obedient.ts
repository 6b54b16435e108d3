/**
 * Devices that obey, over bare sockets, in a process of their own: they subscribe to what comes down, answer a command at once, and report
 * what is wished under its version. Some refuse; some sleep (they connect when told to). Told by the parent over IPC.
 */
import net from 'node:net'
import mqtt, { type Packet } from 'mqtt-packet'
import type { Credentials } from './packets.ts'

export interface ObedientPlan {
  host: string
  port: number
  /** `prefix` is castor/v1/{tenant}/{device}/ */
  devices: Array<Credentials & { prefix: string; refuses?: boolean }>
}

export interface ObedientReport {
  connected: number
  commands: number
  wishes: number
}

const CONNECTING_AT_ONCE = 100
const KEEPALIVE_SECONDS = 300
const counts: ObedientReport = { connected: 0, commands: 0, wishes: 0 }

process.on('message', (message: ObedientPlan | 'report') => {
  if (message === 'report') process.send?.(counts)
  else void connectAll(message)
})
process.on('disconnect', () => process.exit(0))

async function connectAll(plan: ObedientPlan): Promise<void> {
  const next = plan.devices.values()
  await Promise.all(
    Array.from({ length: CONNECTING_AT_ONCE }, async () => {
      for (const device of next) await live(plan, device)
    }),
  )
  process.send?.(counts)
}

/** Resolves when it has subscribed. */
function live({ host, port }: ObedientPlan, device: ObedientPlan['devices'][number]): Promise<void> {
  const socket = net.connect({ host, port, noDelay: true })
  const parser = mqtt.parser({ protocolVersion: 4 })
  const { clientId, username, password, prefix } = device
  const send = (packet: Packet) => void socket.write(mqtt.generate(packet))
  let messageId = 0
  const say = (topic: string, payload: object) => {
    messageId = (messageId % 65_535) + 1
    const body = JSON.stringify(payload)
    send({ cmd: 'publish', topic: prefix + topic, payload: body, qos: 1, messageId, dup: false, retain: false })
  }
  return new Promise((resolve, reject) => {
    socket.on('data', (bytes) => parser.parse(bytes))
    socket.on('error', reject)
    parser.on('packet', (packet) => {
      if (packet.cmd === 'connack') {
        const subscriptions = [`${prefix}desired`, `${prefix}commands/#`].map((topic) => ({ topic, qos: 1 as const }))
        send({ cmd: 'subscribe', messageId: 1, subscriptions } as Packet)
      } else if (packet.cmd === 'suback') {
        counts.connected++
        setInterval(() => send({ cmd: 'pingreq' }), (KEEPALIVE_SECONDS * 1000) / 2).unref()
        resolve()
      } else if (packet.cmd === 'publish') {
        if (packet.qos === 1) send({ cmd: 'puback', messageId: packet.messageId! } as Packet)
        obey(packet.topic.slice(prefix.length), String(packet.payload), say, device.refuses === true)
      }
    })
    send({
      cmd: 'connect',
      clientId,
      username,
      password: Buffer.from(password),
      keepalive: KEEPALIVE_SECONDS,
      clean: true,
      protocolId: 'MQTT',
      protocolVersion: 4,
    })
  })
}

function obey(topic: string, payload: string, say: (topic: string, payload: object) => void, refuses: boolean): void {
  const [kind, id, what] = topic.split('/')
  if (kind === 'desired') {
    counts.wishes++
    const { version, state } = JSON.parse(payload) as { version: number; state: object }
    const rejected = Object.fromEntries(Object.keys(state).map((name) => [`/${name}`, { code: 'locked', message: 'by its owner' }]))
    say('reported', refuses ? { version, state: {}, rejected } : { version, state })
  } else if (kind === 'commands' && what === 'request') {
    counts.commands++
    say(`commands/${id}/response`, { status: 'succeeded' })
  }
}
