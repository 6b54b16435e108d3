/**
 * Devices that obey, over bare sockets, in a process of their own: they subscribe to what comes down, answer a command at once, report
 * what is wished under its version, and update their firmware where they have one. Some refuse; some sleep (they connect when told to). Told by
 * the parent over IPC.
 */
import net from 'node:net'
import mqtt, { type Packet } from 'mqtt-packet'
import { createLightUpdates, type LightFirmware, type LightUpdates } from './light-update.ts'
import type { Credentials } from './packets.ts'

export interface ObedientPlan {
  host: string
  port: number
  /** `prefix` is castor/v1/{tenant}/{device}/ */
  devices: ObedientDevice[]
}

export interface ObedientDevice extends Credentials {
  prefix: string
  refuses?: boolean
  /** It says hello with it, and takes updates. */
  firmware?: LightFirmware
  /** Cannot install what is bad. */
  fails?: boolean
}

export interface ObedientReport {
  connected: number
  commands: number
  wishes: number
  updates: number
  /** Of the jobs that were begun and not done. */
  links: string[]
  /** Different ones, by device. */
  jobs: Record<string, number>
}

const CONNECTING_AT_ONCE = 100
const KEEPALIVE_SECONDS = 300
const RECONNECT_MS = 1_000
const counts: ObedientReport = { connected: 0, commands: 0, wishes: 0, updates: 0, links: [], jobs: {} }

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

/** Resolves when it has subscribed; from then on it comes back whenever its connection ends. */
function live(plan: ObedientPlan, device: ObedientDevice): Promise<void> {
  let line: Line | undefined
  const updates =
    device.firmware &&
    createLightUpdates({
      firmware: device.firmware,
      fails: device.fails === true,
      say: (topic, payload) => line?.say(topic, payload),
      reboot: () => line?.endAfterAcknowledgement(),
      held: (url) => counts.links.push(url),
      begins() {
        counts.jobs[device.clientId] = (counts.jobs[device.clientId] ?? 0) + 1
      },
    })
  return new Promise((resolve, reject) => {
    let isKnown = false
    connect()

    function connect(): void {
      line = open(plan, device, updates, {
        subscribed() {
          if (!isKnown) counts.connected++
          isKnown = true
          resolve()
        },
        ended(why) {
          if (isKnown) setTimeout(connect, why ? RECONNECT_MS : 0)
          else reject(why ?? new Error('the connection was closed'))
        },
      })
    }
  })
}

interface Line {
  say(topic: string, payload: object): void
  /** By its own will, when the last message was acknowledged. */
  endAfterAcknowledgement(): void
}

interface LineEvents {
  subscribed(): void
  /** Undefined: by its own will. */
  ended(why: Error | undefined): void
}

function open({ host, port }: ObedientPlan, device: ObedientDevice, updates: LightUpdates | undefined, events: LineEvents): Line {
  const socket = net.connect({ host, port, noDelay: true })
  const parser = mqtt.parser({ protocolVersion: 4 })
  const { clientId, username, password, prefix } = device
  const send = (packet: Packet) => void socket.write(mqtt.generate(packet))
  const pings = setInterval(() => send({ cmd: 'pingreq' }), (KEEPALIVE_SECONDS * 1000) / 2)
  let why: Error | undefined = new Error('closed by the server')
  let messageId = 0
  let endsAfter: number | undefined

  function say(topic: string, payload: object): void {
    messageId = (messageId % 65_535) + 1
    const body = JSON.stringify(payload)
    send({ cmd: 'publish', topic: prefix + topic, payload: body, qos: 1, messageId, dup: false, retain: false })
  }

  socket.on('data', (bytes) => parser.parse(bytes))
  socket.on('error', (error) => {
    why = error
  })
  socket.on('close', () => {
    clearInterval(pings)
    events.ended(why)
  })
  parser.on('packet', (packet) => {
    if (packet.cmd === 'connack') {
      if (updates) say('presence', { status: 'online', firmware: updates.firmware, health: { ok: true } })
      const paths = ['desired', 'commands/#', ...(updates ? ['updates/#'] : [])]
      send({ cmd: 'subscribe', messageId: 1, subscriptions: paths.map((path) => ({ topic: prefix + path, qos: 1 as const })) } as Packet)
    } else if (packet.cmd === 'suback') events.subscribed()
    else if (packet.cmd === 'puback' && packet.messageId === endsAfter) {
      why = undefined
      socket.end(mqtt.generate({ cmd: 'disconnect' } as Packet))
    } else if (packet.cmd === 'publish') {
      if (packet.qos === 1) send({ cmd: 'puback', messageId: packet.messageId! } as Packet)
      obey(packet.topic.slice(prefix.length), String(packet.payload), { say, updates, refuses: device.refuses === true })
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
  return {
    say,
    endAfterAcknowledgement() {
      endsAfter = messageId
    },
  }
}

interface Obeying {
  say(topic: string, payload: object): void
  updates: LightUpdates | undefined
  refuses: boolean
}

function obey(topic: string, payload: string, { say, updates, refuses }: Obeying): void {
  const [kind, id, what] = topic.split('/')
  if (kind === 'desired') {
    counts.wishes++
    const { version, state } = JSON.parse(payload) as { version: number; state: object }
    const rejected = Object.fromEntries(Object.keys(state).map((name) => [`/${name}`, { code: 'locked', message: 'by its owner' }]))
    say('reported', refuses ? { version, state: {}, rejected } : { version, state })
  } else if (kind === 'commands' && what === 'request') {
    counts.commands++
    say(`commands/${id}/response`, { status: 'succeeded' })
  } else if (kind === 'updates' && what === 'job') {
    counts.updates++
    updates?.take(id!, payload)
  }
}
