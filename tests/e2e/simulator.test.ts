/** The simulated fleet over real sockets, against a small stand-in for Castor that can be told to fail. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Aedes, type AuthenticateError, type Client } from 'aedes'
import { Hono } from 'hono'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { factoryFirmware } from '../../infra/simulator/devices/device.ts'
import { thermostat } from '../../infra/simulator/devices/thermostat.ts'
import { createFlash } from '../../infra/simulator/firmware/flash.ts'
import { createFleet, type Fleet, type FleetOptions } from '../../infra/simulator/fleet.ts'
import { summary } from '../../infra/simulator/progress.ts'
import { createRegistrar, RegistrationError } from '../../infra/simulator/registration.ts'
import type { AcknowledgedMessage } from '../../infra/simulator/report.ts'
import type { Json } from '../support/client.ts'
import { jobOf, manifestOf, newKeyPair, signJob, signManifest } from '../support/signed-firmware.ts'
import { until } from '../support/wait.ts'

const UPDATE = '0d9f0a5e-6f0e-4d1c-9a3b-3b1f2f1c7a11'
const ARTIFACT = Buffer.alloc(200_000, 'firmware ')
const director = newKeyPair()
const release = newKeyPair()

let standIn: Awaited<ReturnType<typeof startStandIn>>
let folder: string
let acknowledged: AcknowledgedMessage[]
let fleet: Fleet | undefined

beforeEach(async () => {
  standIn = await startStandIn()
  folder = mkdtempSync(join(tmpdir(), 'castor-simulator-'))
  acknowledged = []
})

afterEach(async () => {
  await fleet?.stop(false)
  fleet = undefined
  await standIn.stop()
  rmSync(folder, { recursive: true })
})

test('registers its devices, says hello, sends, and says goodbye', async () => {
  fleet = fleetWith({ devices: 6 })
  await fleet.register()
  fleet.start()
  await until(() => fleet!.figures.online === 6 && fleet!.figures.acknowledged > 30, 'thirty messages')
  await fleet.settle(5_000)
  expect(fleet.unacknowledged()).toBe(0)
  await fleet.stop(true)

  const ofPump = standIn.received.filter((m) => m.device === 'sim-pump-0003')
  const presence = ofPump.filter((m) => m.path === 'presence').map((m) => JSON.parse(m.payload).status)
  expect(presence).toEqual(['online', 'offline'])
  const { id, ts, values } = JSON.parse(ofPump.find((m) => m.path === 'telemetry')!.payload)
  expect(id).toMatch(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/)
  expect(new Date(ts).toISOString()).toBe(ts)
  expect(Object.keys(values)).toEqual(['vibration', 'temperature', 'flow', 'pressure', 'running'])
})

test('reports exactly what was acknowledged', async () => {
  fleet = fleetWith({ devices: 3, httpShare: 0.34 })
  await fleet.register()
  fleet.start()
  await until(() => fleet!.figures.acknowledged > 20, 'twenty messages')
  await fleet.settle(5_000)
  const key = (device: string, ts: number) => `${device} ${ts}`
  const arrived = standIn.received.filter((m) => m.path === 'telemetry').map((m) => key(m.device, Date.parse(JSON.parse(m.payload).ts)))
  const reported = acknowledged.filter((m) => m.kind === 'telemetry').map((m) => key(m.device, m.ts))
  expect(reported.toSorted()).toEqual(arrived.toSorted())
  expect(standIn.received.some((m) => m.transport === 'http')).toBe(true)
  expect(standIn.received.some((m) => m.transport === 'mqtt')).toBe(true)
})

test('sends again what was not acknowledged when connections break, and loses nothing', async () => {
  fleet = fleetWith({ devices: 4, httpShare: 0.25 })
  await fleet.register()
  fleet.start()
  await until(() => fleet!.figures.acknowledged > 20, 'some messages')
  standIn.withholdAcks = true
  await until(() => fleet!.unacknowledged() > 20, 'messages without acknowledgement')
  standIn.breakConnections()
  standIn.withholdAcks = false
  await until(() => fleet!.figures.retried > 10, 'messages sent again')
  await fleet.settle(20_000)
  expect(fleet.unacknowledged()).toBe(0)
  expect(fleet.figures.dropped).toBe(0)
})

test('reuses saved tokens, which only their owner can read', async () => {
  fleet = fleetWith({ devices: 3 })
  await fleet.register()
  const file = join(folder, 'tokens.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const before = readFileSync(file, 'utf8')
  await fleetWith({ devices: 3 }).register()
  expect(readFileSync(file, 'utf8')).toBe(before)
  expect(standIn.registrations).toBe(3)
})

test('finds its devices with the firmware that they were updated to', async () => {
  const file = join(folder, 'firmware.json')
  fleet = fleetWith({ devices: 1, models: ['thermostat'], flash: createFlash(file) })
  await start(fleet)
  const { version } = offerFirmware('sim-thermostat-0001')
  await until(() => fleet!.figures.updates.installed === 1, 'it is updated')
  await fleet.stop(true)
  const before = standIn.received.length
  fleet = fleetWith({ devices: 1, models: ['thermostat'], flash: createFlash(file) })
  await start(fleet)
  await until(() => hellosOf('sim-thermostat-0001', before).at(-1)?.firmware.version === version, 'it says hello with it')
})

test('gets a new token for a device whose token is lost, and for one whose token is refused', async () => {
  await fleetWith({ devices: 3 }).register()
  rmSync(join(folder, 'tokens.json'))
  fleet = fleetWith({ devices: 3 })
  await fleet.register()
  expect(standIn.renewals).toBe(3)
  standIn.forgetTokens()
  fleet.start()
  await until(() => fleet!.figures.online === 3, 'all devices with new tokens')
  expect(standIn.renewals).toBe(6)
})

test('waits as long as Castor asks for over HTTP', async () => {
  fleet = fleetWith({ devices: 1, httpShare: 1 })
  await fleet.register()
  standIn.unavailable = true
  fleet.start()
  await until(() => standIn.turnedAway > 0, 'a request turned away')
  const before = standIn.turnedAway
  standIn.unavailable = false
  await until(() => fleet!.figures.acknowledged > 3, 'messages after the trouble')
  expect(standIn.turnedAway).toBe(before)
})

test('misbehaves on request, and each piece of garbage can be found by its mark', async () => {
  fleet = fleetWith({ devices: 12, chaos: true, intervalMs: 10, httpShare: 0.2 })
  await fleet.register()
  fleet.start()
  await until(() => acknowledged.filter((m) => m.kind === 'garbage').length > 10, 'garbage', 20_000)
  await until(() => acknowledged.some((m) => m.times === 'receipt'), 'a wrong clock', 20_000)
  for (const { device, mark } of acknowledged.filter((m) => m.kind === 'garbage')) {
    expect(standIn.received.some((m) => m.device === device && m.payload.includes(mark!))).toBe(true)
  }
})

test('obeys over MQTT, and its reports have the version of the wish', async () => {
  fleet = fleetWith({ devices: 1, models: ['thermostat'] })
  await start(fleet)
  standIn.ask('sim-thermostat-0001', 'desired', { version: 4, state: { targetTemperature: 17.5 } })
  const report = await reportOf('sim-thermostat-0001', ({ version }) => version === 4)
  expect(report.state).toEqual({ targetTemperature: 17.5 })
  expect(fleet.figures.wishes).toEqual({ obeyed: 1, refused: 0 })
  expect(summary(fleet, 1_000, 1)).toMatch(/wishes +1 obeyed, 0 refused/)
})

test('obeys over HTTP, in order, and once for each command', async () => {
  fleet = fleetWith({ devices: 1, models: ['lock'], httpShare: 1 })
  await start(fleet)
  standIn.ask('sim-lock-0001', 'commands/c-1/request', { name: 'unlock', expiresAt: inAMinute(), attempt: 1 })
  await until(() => wordsOn('sim-lock-0001', 'c-1').includes('succeeded'), 'the lock is unlocked')
  expect(wordsOn('sim-lock-0001', 'c-1')).toEqual(['acknowledged', 'succeeded'])
  // It stands in the next answer too, as it would until Castor has heard the end.
  standIn.ask('sim-lock-0001', 'desired', { version: 1, state: { autoLockSeconds: 0 } })
  await reportOf('sim-lock-0001', ({ version }) => version === 1)
  await until(() => wordsOn('sim-lock-0001', 'c-1').length > 2, 'the same answer again')
  expect(new Set(wordsOn('sim-lock-0001', 'c-1').slice(2))).toEqual(new Set(['succeeded']))
  expect(fleet.figures.commands).toEqual({ obeyed: 1, refused: 0, cancelled: 0 })
})

test('sends its answers again until they are acknowledged', async () => {
  fleet = fleetWith({ devices: 1, models: ['pump'] })
  await start(fleet)
  standIn.withholdAcks = true
  standIn.ask('sim-pump-0001', 'commands/c-1/request', { name: 'diagnose', expiresAt: inAMinute(), attempt: 1 })
  await until(() => fleet!.figures.commands.obeyed === 1, 'it is done')
  standIn.breakConnections()
  standIn.withholdAcks = false
  await until(() => wordsOn('sim-pump-0001', 'c-1').includes('succeeded'), 'the answer arrives')
  expect(wordsOn('sim-pump-0001', 'c-1')).toEqual(['acknowledged', 'succeeded'])
})

test.each([
  ['MQTT', 0],
  ['HTTP', 1],
])('a sleeper over %s checks in, brings what it measured, does what is pending, and sleeps again', async (_, httpShare) => {
  fleet = fleetWith({ devices: 1, models: ['meter'], sleeperShare: 1, checkInMs: 500, httpShare })
  await start(fleet)
  const isAsleep = () => fleet!.figures.online === 0
  await until(isAsleep, 'it sleeps', 20_000)
  standIn.ask('sim-meter-0001', 'desired', { version: 1, state: { leakThreshold: 2 } })
  const before = standIn.received.length
  const report = await reportOf('sim-meter-0001', ({ version }) => version === 1)
  expect(report.state).toEqual({ leakThreshold: 2 })
  expect(standIn.received.slice(before).some(({ path }) => path === 'telemetry')).toBe(true)
  await until(isAsleep, 'it sleeps again', 20_000)
})

test('refuses when it is to', async () => {
  fleet = fleetWith({ devices: 1, models: ['lock'], refusingShare: 1 })
  await start(fleet)
  standIn.ask('sim-lock-0001', 'desired', { version: 1, state: { autoLockSeconds: 5 } })
  const { state, rejected } = await reportOf('sim-lock-0001', ({ version }) => version === 1)
  expect(state.autoLockSeconds).not.toBe(5)
  expect(rejected).toEqual({ '/autoLockSeconds': { code: 'refused', message: expect.any(String) } })
  standIn.ask('sim-lock-0001', 'commands/c-1/request', { name: 'unlock', expiresAt: inAMinute(), attempt: 1 })
  await until(() => wordsOn('sim-lock-0001', 'c-1').includes('failed'), 'the refusal')
  expect(summary(fleet, 1_000, 1)).toMatch(/wishes +0 obeyed, 1 refused\n +commands +0 obeyed, 1 refused/)
})

test.each([
  ['MQTT', 0],
  ['HTTP', 1],
])('updates its firmware over %s, reboots, and says hello with what runs then', async (_, httpShare) => {
  fleet = fleetWith({ devices: 1, models: ['thermostat'], httpShare, chaos: true })
  await start(fleet)
  const { version, sha256 } = offerFirmware('sim-thermostat-0001')
  await until(() => hellosOf('sim-thermostat-0001').at(-1)?.firmware.version === version, 'it runs the new firmware')
  const [first, last] = [hellosOf('sim-thermostat-0001')[0]!, hellosOf('sim-thermostat-0001').at(-1)!]
  expect(first.firmware).toEqual(factoryFirmware(thermostat))
  expect(last).toMatchObject({ firmware: { version, sha256 }, health: { ok: true } })
  const statuses = standIn.received
    .filter(({ path }) => path === `updates/${UPDATE}/status`)
    .map(({ payload }) => JSON.parse(payload).status)
  expect([...new Set(statuses)]).toEqual(['downloading', 'verifying', 'installing', 'rebooting'])
  expect(fleet.figures.updates).toMatchObject({ installed: 1, failed: 0 })
  expect(summary(fleet, 1_000, 1)).toMatch(/updates +1 installed, 0 failed, 0 rejected, 0 returned, 0 bricked\n +downloaded +200,000 bytes/)
})

test('a device that is to be bricked by an update never comes back, and holds nobody up', async () => {
  fleet = fleetWith({ devices: 1, models: ['thermostat'], fates: { brick: 1 } })
  await start(fleet)
  offerFirmware('sim-thermostat-0001')
  await until(() => fleet!.figures.updates.bricked === 1 && fleet!.figures.online === 0, 'it is gone')
  const before = standIn.received.length
  await fleet.settle(5_000)
  expect(fleet.unacknowledged()).toBe(0)
  expect(standIn.received.slice(before).filter(({ path }) => path === 'telemetry')).toEqual([])
})

test('says where it looked for Castor when none answers', async () => {
  const { restUrl } = standIn
  await standIn.stop()
  const error = await createRegistrar({ restUrl, key: 'key', tokensFile: join(folder, 'tokens.json'), tries: 1 })
    .tokenOf('sim-1', 'thermostat')
    .catch((e) => e)
  expect(error).toBeInstanceOf(RegistrationError)
  expect(error.message).toContain(`No Castor answers at ${restUrl}`)
})

function fleetWith(options: Partial<FleetOptions>): Fleet {
  return createFleet({
    devices: 3,
    intervalMs: 50,
    prefix: 'sim-',
    seed: 'test',
    httpShare: 0,
    chaos: false,
    dayMs: 86_400_000,
    keepaliveSeconds: 10,
    tenant: 'demo',
    mqttUrl: standIn.mqttUrl,
    deviceHttpUrl: standIn.restUrl,
    registrar: createRegistrar({ restUrl: standIn.restUrl, key: 'key', tokensFile: join(folder, 'tokens.json') }),
    acknowledged: (message) => acknowledged.push(message),
    ...options,
  })
}

async function start(started: Fleet): Promise<void> {
  await started.register()
  started.start()
  await until(() => started.figures.online === started.ids.length && standIn.isListening(started.ids), 'all devices are there and listen')
}

async function reportOf(device: string, wanted: (report: Json) => boolean): Promise<Json> {
  const reports = () => standIn.received.filter((m) => m.device === device && m.path === 'reported').map((m) => JSON.parse(m.payload))
  return until(() => reports().find(wanted), 'a report', 20_000)
}

function wordsOn(device: string, command: string): string[] {
  const words = standIn.received.filter((m) => m.device === device && m.path === `commands/${command}/response`)
  return words.map(({ payload }) => JSON.parse(payload).status)
}

function hellosOf(device: string, from = 0): Json[] {
  const words = standIn.received
    .slice(from)
    .filter((m) => m.device === device && m.path === 'presence')
    .map(({ payload }) => JSON.parse(payload))
  return words.filter(({ status }) => status === 'online')
}

/** To the first registration of that device, signed by keys that the stand-in shows. */
function offerFirmware(device: string): { version: string; sha256: string } {
  const manifest = manifestOf(ARTIFACT)
  const job = signJob(jobOf(manifest, Date.now(), { device, update: UPDATE }), director)
  standIn.ask(device, `updates/${UPDATE}/job`, { job, manifest: signManifest(manifest, release), url: `${standIn.restUrl}/artifact` })
  return manifest
}

function inAMinute(): string {
  return new Date(Date.now() + 60_000).toISOString()
}

interface Received {
  transport: 'mqtt' | 'http'
  device: string
  path: string
  payload: string
}

interface State {
  received: Received[]
  /** Asked of devices, by device and topic below it. It is never done with. */
  asked: Map<string, Map<string, Json>>
  /** Devices that have subscribed to what is asked of them, or fetched it. */
  listening: Set<string>
  registrations: number
  renewals: number
  withholdAcks: boolean
  unavailable: boolean
  turnedAway: number
}

/** Takes registrations and messages, keeps what it acknowledged, and asks something of devices. */
async function startStandIn() {
  const tokens = new Map<string, string>()
  const state: State = {
    received: [],
    asked: new Map(),
    listening: new Set(),
    registrations: 0,
    renewals: 0,
    withholdAcks: false,
    unavailable: false,
    turnedAway: 0,
  }
  const issue = (device: string) => {
    const token = `token-${device}-${tokens.size}-${state.renewals}`
    tokens.set(device, token)
    return { token }
  }
  const broker = await brokerOf(state, tokens)
  const sockets = new Set<Socket>()
  const mqtt = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    broker.handle(socket)
  })
  await listening(mqtt)
  const http = serve({ fetch: appOf(state, tokens, issue).fetch, port: 0, hostname: '127.0.0.1' }) as Server
  await new Promise<void>((resolve) => (http.listening ? resolve() : http.once('listening', resolve)))
  let stopped = false
  return Object.assign(state, {
    mqttUrl: `mqtt://127.0.0.1:${portOf(mqtt)}`,
    restUrl: `http://127.0.0.1:${portOf(http)}`,
    /** At once where it is connected, and whenever it comes. */
    ask(device: string, path: string, payload: Json) {
      const asked = state.asked.get(device) ?? new Map()
      state.asked.set(device, asked.set(path, payload))
      tell(broker, device, path, payload)
    },
    isListening: (devices: string[]) => devices.every((device) => state.listening.has(device)),
    breakConnections() {
      for (const socket of sockets) socket.destroy()
    },
    forgetTokens() {
      for (const device of tokens.keys()) tokens.set(device, 'another')
    },
    async stop() {
      if (stopped) return
      stopped = true
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => broker.close(resolve))
      await new Promise((resolve) => mqtt.close(resolve))
      await new Promise((resolve) => http.close(resolve))
    },
  })
}

function tell(broker: Aedes, device: string, path: string, payload: Json): void {
  const bytes = Buffer.from(JSON.stringify(payload))
  broker.publish({ cmd: 'publish', topic: `castor/v1/demo/${device}/${path}`, payload: bytes, qos: 1, dup: false, retain: false }, () => {})
}

async function brokerOf(state: State, tokens: Map<string, string>): Promise<Aedes> {
  const broker = await Aedes.createBroker({
    authenticate(_client: Client, user, password, done) {
      const isKnown = tokens.get(user?.split('/')[1] ?? '') === password?.toString()
      const refused = Object.assign(new Error('bad credential'), { returnCode: 4 }) as AuthenticateError
      done(isKnown ? null : refused, isKnown)
    },
    authorizePublish(_client, packet, done) {
      if (state.withholdAcks) return
      const [, , , device, ...path] = packet.topic.split('/')
      state.received.push({ transport: 'mqtt', device: device!, path: path.join('/'), payload: String(packet.payload) })
      done(null)
    },
  })
  broker.on('subscribe', (subscriptions) => {
    const [, , , device] = subscriptions[0]!.topic.split('/')
    state.listening.add(device!)
    for (const [path, payload] of state.asked.get(device!) ?? []) tell(broker, device!, path, payload)
  })
  return broker
}

function appOf(state: State, tokens: Map<string, string>, issue: (device: string) => { token: string }): Hono {
  const app = new Hono()
  app.post('/v1/devices', async (c) => {
    const { id } = await c.req.json()
    if (tokens.has(id)) return c.json({ title: 'conflict' }, 409)
    state.registrations += 1
    return c.json(issue(id), 201)
  })
  app.post('/v1/devices/:id/token', (c) => {
    state.renewals += 1
    return c.json(issue(c.req.param('id')))
  })
  app.get('/v1/director-keys', (c) => c.json({ items: [{ id: director.id, publicKey: director.pem }] }))
  app.get('/v1/release-keys', (c) => c.json({ items: [{ id: release.id, publicKey: release.pem }] }))
  app.get('/artifact', (c) => {
    const from = Number(/^bytes=(\d+)-$/.exec(c.req.header('range') ?? '')?.[1] ?? 0)
    const range = { 'content-range': `bytes ${from}-${ARTIFACT.length - 1}/${ARTIFACT.length}` }
    return c.body(ARTIFACT.subarray(from), from > 0 ? 206 : 200, from > 0 ? range : {})
  })
  app.post('/device/v1/*', async (c) => {
    const token = c.req.header('authorization')?.slice('Bearer '.length)
    const device = [...tokens].find(([, known]) => known === token)?.[0]
    if (!device) return c.json({}, 401)
    if (state.unavailable) {
      state.turnedAway += 1
      return c.json({}, 503, { 'retry-after': '1' })
    }
    state.received.push({ transport: 'http', device, path: c.req.path.slice('/device/v1/'.length), payload: await c.req.text() })
    return c.json({}, 202)
  })
  app.get('/device/v1/pending', (c) => {
    const device = [...tokens].find(([, known]) => `Bearer ${known}` === c.req.header('authorization'))?.[0]
    if (!device) return c.json({}, 401)
    if (state.unavailable) return c.json({}, 503, { 'retry-after': '1' })
    state.listening.add(device)
    const body = pendingOf(state.asked.get(device) ?? new Map())
    const etag = `"${JSON.stringify(body).length}"`
    return c.req.header('if-none-match') === etag ? c.body(null, 304, { etag }) : c.json(body, 200, { etag })
  })
  return app
}

function pendingOf(asked: Map<string, Json>): Json {
  const commands = [...asked]
    .filter(([path]) => path.endsWith('/request'))
    .map(([path, request]) => ({ id: path.split('/')[1], ...request }))
  const desired = asked.get('desired')
  const job = asked.get(`updates/${UPDATE}/job`)
  const update = job && { id: UPDATE, ...job }
  return { serverTime: new Date().toISOString(), ...(desired && { desired }), commands, cancels: [], ...(update && { update }) }
}

function listening(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
}

function portOf(server: Server): number {
  return (server.address() as { port: number }).port
}
