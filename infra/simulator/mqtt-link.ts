/** One MQTT 3.1.1 connection. Reconnecting and resending are the device's business: a link that went down is thrown away. */
import mqtt from 'mqtt'
import { askedBy } from './asked.ts'
import type { Link, LinkEvents, LinkOptions } from './link.ts'
import { pathOf, payloadOf } from './message.ts'

const BAD_CREDENTIAL = 4
const NOT_ALLOWED = 5
const CONNECT_TIMEOUT_MS = 10_000
const END_TIMEOUT_MS = 1_000
/** What is sent down, with its quality of service. */
const DOWN = {
  errors: 0,
  desired: 1,
  'commands/+/request': 1,
  'commands/+/cancel': 1,
  'updates/+/job': 1,
  'updates/+/cancel': 1,
} as const

export function openMqttLink(options: LinkOptions, events: LinkEvents): Link {
  const topic = (path: string) => `castor/v1/${options.tenant}/${options.device}/${path}`
  const client = mqtt.connect(options.url, {
    clientId: options.device,
    username: `${options.tenant}/${options.device}`,
    password: options.token,
    protocolVersion: 4,
    clean: true,
    keepalive: options.keepaliveSeconds,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: 0,
    will: { topic: topic('presence'), payload: payloadOf(options.will), qos: 1, retain: false },
  })
  let isDown = false
  let failure: { message: string; code?: unknown } = { message: 'connection closed' }

  client.on('connect', () => {
    client.subscribe(Object.fromEntries(Object.entries(DOWN).map(([path, qos]) => [topic(path), { qos }])), () => {})
    events.up()
  })
  client.on('message', (from, payload) => {
    const path = from.slice(topic('').length)
    const asked = path === 'errors' ? undefined : askedBy(path, payload.toString())
    if (asked) events.asked(asked)
    else events.told(codeOf(payload))
  })
  client.on('error', (error) => {
    failure = error
  })
  client.on('close', () => {
    if (isDown) return
    isDown = true
    client.end(true)
    const credential = failure.code === BAD_CREDENTIAL || failure.code === NOT_ALLOWED
    events.down({ reason: failure.message, credential })
  })

  return {
    send(message) {
      client.publish(topic(pathOf(message)), payloadOf(message), { qos: 1 }, (error) => {
        // An error here means that the connection is going down, and `close` says so.
        if (!error && !isDown) events.acknowledged(message)
      })
    },
    end() {
      return new Promise((resolve) => {
        const timer = setTimeout(() => client.stream.destroy(), END_TIMEOUT_MS)
        client.once('close', () => {
          clearTimeout(timer)
          resolve()
        })
        if (isDown || !client.connected) {
          clearTimeout(timer)
          resolve()
        }
        client.end()
      })
    },
    cut() {
      client.stream.destroy()
    },
  }
}

function codeOf(payload: Buffer): string {
  try {
    return String(JSON.parse(payload.toString()).code)
  } catch {
    return 'unreadable'
  }
}
