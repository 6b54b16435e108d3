/** Simulated devices on a whole Castor: their updates go well, fail, brick them, and are rolled back, as they are told to. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { factoryFirmware } from '../../infra/simulator/devices/device.ts'
import { thermostat } from '../../infra/simulator/devices/thermostat.ts'
import { createFleet, type Fleet, type FleetOptions } from '../../infra/simulator/fleet.ts'
import { createRegistrar } from '../../infra/simulator/registration.ts'
import type { Manifest } from '../../twin-models/firmware/manifest.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { manifestOf, newKeyPair, signManifest } from '../support/signed-firmware.ts'
import { until } from '../support/wait.ts'

const NEW = Buffer.alloc(300_000, 'the firmware 2.0.0 ')
const FACTORY = Buffer.from('thermostat 1.4.2')
const TIMES = { soak: '1s', installTimeout: '15s', silence: '5s', retryAfter: '1s' }
const END_MS = 90_000
const release = newKeyPair()

let castor: TestCastor
const fleets: Fleet[] = []

beforeAll(async () => {
  castor = await startCastor()
  await asked('POST', '/v1/release-keys', { name: 'releases', publicKey: release.pem })
  await upload(manifestOf(NEW), NEW)
  await upload(manifestOf(FACTORY, { version: '1.4.2', counter: 14, rollbackTo: [] }), FACTORY)
})

afterAll(async () => {
  for (const fleet of fleets) await fleet.stop(false)
  await castor?.stop()
})

test.concurrent.each<[what: string, prefix: string, options: Partial<FleetOptions>, end: object, runs: string]>([
  ['goes well over MQTT', 'mqtt-', {}, { status: 'healthy' }, '2.0.0'],
  ['goes well over HTTP', 'http-', { httpShare: 1 }, { status: 'healthy' }, '2.0.0'],
  ['goes well through broken lines', 'chaos-', { chaos: true, intervalMs: 200 }, { status: 'healthy' }, '2.0.0'],
  ['goes well after a lock', 'lock-', { lockShare: 1 }, { status: 'healthy' }, '2.0.0'],
  ['cannot be installed', 'fail-', { fates: { fail: 1 } }, { status: 'failed', code: 'install-failed' }, '1.4.2'],
  ['is refused', 'reject-', { fates: { reject: 1 } }, { status: 'rejected', code: 'refused' }, '1.4.2'],
  ['bricks it', 'brick-', { fates: { brick: 1 } }, { status: 'timed-out', code: 'silent' }, '1.4.2'],
  ['leads back to what ran before', 'return-', { fates: { return: 1 } }, { status: 'rolled-back', code: 'returned' }, '1.4.2'],
  ['makes it unhealthy', 'unhealthy-', { fates: { unhealthy: 1 } }, { status: 'failed', code: 'unhealthy' }, '2.0.0'],
])('an update of a simulated device that %s ends so', { timeout: 180_000 }, async (_, prefix, options, end, runs) => {
  const device = await running(prefix, options)
  expect(await ended(await update(device, '2.0.0'))).toMatchObject({ device, ...end })
  await until(async () => (await firmwareOf(device)).version === runs, `its twin knows that ${runs} runs`)
})

test('a simulated device that an update made unhealthy is rolled back to what it came with, and well again', {
  timeout: 180_000,
}, async () => {
  const device = await running('back-', { fates: { unhealthy: 1 } })
  await ended(await update(device, '2.0.0'))
  expect(await ended(await update(device, '1.4.2', 'rollback'))).toMatchObject({ status: 'healthy' })
  expect(await firmwareOf(device)).toEqual(factoryFirmware(thermostat))
  expect((await asked('GET', `/v1/twins/${device}`)).health).toMatchObject({ ok: true })
})

/** One thermostat that behaves so, with the firmware that it came with. */
async function running(prefix: string, options: Partial<FleetOptions>): Promise<string> {
  const fleet = createFleet({
    ...{ devices: 1, models: ['thermostat'], intervalMs: 2_000, prefix, seed: prefix, httpShare: 0, chaos: false, dayMs: 86_400_000 },
    ...{ keepaliveSeconds: 10, tenant: 'demo', mqttUrl: castor.mqttUrl, deviceHttpUrl: castor.deviceHttp },
    registrar: createRegistrar({ restUrl: castor.api, key: castor.key, tokensFile: join(castor.dataDir, `${prefix}tokens.json`) }),
    ...options,
  })
  fleets.push(fleet)
  await fleet.register()
  fleet.start()
  const device = fleet.ids[0]!
  await until(async () => (await firmwareOf(device))?.version === '1.4.2', 'its twin knows what runs', 60_000)
  return device
}

async function update(device: string, version: string, kind = 'install'): Promise<string> {
  return (await asked('POST', '/v1/updates', { device, firmware: { version }, kind, ...TIMES })).id
}

async function ended(id: string): Promise<Json> {
  const path = `/v1/updates/${id}`
  return until(async () => ((await asked('GET', path)).endedAt ? asked('GET', path) : undefined), 'the update has ended', END_MS)
}

async function firmwareOf(device: string): Promise<Json> {
  return (await asked('GET', `/v1/twins/${device}`)).firmware
}

async function upload(manifest: Manifest, content: Buffer): Promise<void> {
  const form = new FormData()
  form.append('manifest', JSON.stringify(signManifest(manifest, release)))
  form.append('file', new Blob([new Uint8Array(content)]), 'image.bin')
  const headers = { authorization: `Bearer ${castor.key}` }
  const { status } = await fetch(`${castor.api}/v1/firmware`, { method: 'POST', headers, body: form })
  expect(status).toBe(201)
}

async function asked(method: string, path: string, body?: unknown): Promise<Json> {
  const answer = await castor.rest(method, path, body)
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}
