/** Simulated devices on a whole Castor: their updates go well, fail, brick them, and are rolled back, as they are told to. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { factoryFirmware } from '../../infra/simulator/devices/device.ts'
import { thermostat } from '../../infra/simulator/devices/thermostat.ts'
import type { Fleet, FleetOptions } from '../../infra/simulator/fleet.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { manifestOf, newKeyPair } from '../support/signed-firmware.ts'
import { asked, simulated, upload } from '../support/simulated.ts'
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
  await asked(castor, 'POST', '/v1/release-keys', { name: 'releases', publicKey: release.pem })
  const alarm = { when: "firmware.version = '2.0.0'", severity: 'critical', text: '{id} runs {firmware.version}' }
  await asked(castor, 'PUT', '/v1/rules/two', { status: 'live', filter: "id like 'alarm-%'", ...alarm })
  await upload(castor, release, manifestOf(NEW), NEW)
  await upload(castor, release, manifestOf(FACTORY, { version: '1.4.2', counter: 14, rollbackTo: [] }), FACTORY)
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
  [
    'raises a critical alarm',
    'alarm-',
    {},
    { status: 'failed', code: 'alarm', message: 'Alarm two: alarm-thermostat-0001 runs 2.0.0' },
    '2.0.0',
  ],
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
  expect((await asked(castor, 'GET', `/v1/twins/${device}`)).health).toMatchObject({ ok: true })
})

/** One thermostat that behaves so, with the firmware that it came with. */
async function running(prefix: string, options: Partial<FleetOptions>): Promise<string> {
  const fleet = await simulated(castor, prefix, options)
  fleets.push(fleet)
  return fleet.ids[0]!
}

async function update(device: string, version: string, kind = 'install'): Promise<string> {
  return (await asked(castor, 'POST', '/v1/updates', { device, firmware: { version }, kind, ...TIMES })).id
}

async function ended(id: string): Promise<Json> {
  const look = () => asked(castor, 'GET', `/v1/updates/${id}`)
  return until(async () => [await look()].find(({ endedAt }) => endedAt), 'the update has ended', END_MS)
}

async function firmwareOf(device: string): Promise<Json> {
  return (await asked(castor, 'GET', `/v1/twins/${device}`)).firmware
}
