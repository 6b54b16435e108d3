/**
 * The load generator, a process of its own: many device connections, closed loop or paced, told by its parent over IPC.
 * It sends counts; whoever wants rates takes two of them.
 */
import { build, type Histogram } from 'hdr-histogram-js'
import { DeviceConnection, type DeviceListener } from './connection.ts'
import type { Credentials, Payload } from './packets.ts'

export interface GeneratorPlan {
  host: string
  port: number
  devices: Array<Credentials & { topic: string }>
  payload: Payload
  /** In flight a connection. */
  window: number
  /** In flight over all connections. */
  inFlight: number
}

export type GeneratorCommand =
  | { kind: 'plan'; plan: GeneratorPlan }
  /** Messages a second; 0 holds, null is as fast as the answers come. `total` ends it after so many messages more. */
  | { kind: 'pace'; perSecond: number | null; total?: number }
  /** Forget the latencies so far. */
  | { kind: 'mark' }
  | { kind: 'report' }
  | { kind: 'stop' }

export interface GeneratorReport {
  kind: 'report'
  connected: number
  sent: number
  acknowledged: number
  /** Connections that ended, and the last reason. */
  closed: number
  why: string
  /** Messages that a pace asked for and no free connection could take. */
  missed: number
  /** PUBACK latency since the last mark. */
  p50Ms: number
  p99Ms: number
  maxMs: number
}

const CONNECTING_AT_ONCE = 100
const TICK_MS = 2

const devices: DeviceConnection[] = []
/** Connections with a free slot, longest free first: a ring, since it turns tens of thousands of times a second. */
let ring: Array<DeviceConnection | undefined> = []
let head = 0
let waiting = 0
let inFlight = 0
let inFlightMost = 0
let perSecond: number | null = 0
let credit = 0
let creditAt = performance.now()
let left = Number.POSITIVE_INFINITY
let unconnected = 0
const counts = { connected: 0, sent: 0, acknowledged: 0, closed: 0, why: '', missed: 0 }
const latency: Histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: 3 })

const listener: DeviceListener = {
  connected(device) {
    counts.connected++
    connectNext()
    if (device.free > 0) enqueue(device)
    pump()
  },
  acknowledged(device, sentAt) {
    counts.acknowledged++
    inFlight--
    latency.recordValue(Math.max(1, Math.round((performance.now() - sentAt) * 1000)))
    if (device.free === 1) enqueue(device)
    pump()
  },
  closed(_device, why) {
    counts.closed++
    counts.connected = Math.max(0, counts.connected - 1)
    counts.why = why
  },
}

process.on('message', (command: GeneratorCommand) => {
  if (command.kind === 'plan') begin(command.plan)
  else if (command.kind === 'pace') pace(command.perSecond, command.total)
  else if (command.kind === 'mark') latency.reset()
  else if (command.kind === 'report') process.send?.(report())
  else stop()
})
process.on('disconnect', stop)
setInterval(tick, TICK_MS)
setInterval(() => {
  const now = performance.now()
  for (const device of devices) device.pingIfQuiet(now)
}, 5000)

function begin(plan: GeneratorPlan): void {
  inFlightMost = plan.inFlight
  ring = new Array(plan.devices.length)
  for (const { topic, ...credentials } of plan.devices) {
    const { host, port, payload, window } = plan
    devices.push(new DeviceConnection({ host, port, credentials, topic, payload, window }, listener))
  }
  for (let i = 0; i < CONNECTING_AT_ONCE; i++) connectNext()
}

function connectNext(): void {
  devices[unconnected++]?.connect()
}

function pace(rate: number | null, total?: number): void {
  perSecond = rate
  left = total ?? Number.POSITIVE_INFINITY
  credit = 0
  creditAt = performance.now()
  pump()
}

function tick(): void {
  if (perSecond === null || perSecond === 0) return
  const now = performance.now()
  credit += ((now - creditAt) / 1000) * perSecond
  creditAt = now
  pump()
  // What could not be sent within a fifth of a second is not made up for later in one burst.
  const most = perSecond / 5 + 1
  if (credit > most) {
    counts.missed += Math.floor(credit - most)
    credit = most
  }
}

function pump(): void {
  if (perSecond === 0) return
  const now = performance.now()
  while (waiting > 0 && inFlight < inFlightMost && left > 0 && (perSecond === null || credit >= 1)) {
    const device = ring[head]!
    ring[head] = undefined
    head = (head + 1) % ring.length
    waiting--
    if (!device.ready || device.free === 0) continue
    if (perSecond !== null) credit--
    left--
    inFlight++
    counts.sent++
    device.publish(now)
    if (device.free > 0) enqueue(device)
  }
}

function enqueue(device: DeviceConnection): void {
  if (waiting === ring.length) return
  ring[(head + waiting) % ring.length] = device
  waiting++
}

function report(): GeneratorReport {
  const ms = (percentile: number) => latency.getValueAtPercentile(percentile) / 1000
  return { kind: 'report', ...counts, p50Ms: ms(50), p99Ms: ms(99), maxMs: ms(100) }
}

function stop(): void {
  for (const device of devices) device.stop()
  process.exit(0)
}
