/** Rollouts on a whole Castor, of simulated devices that download and check what they install: signed, in waves, halted, and rolled back. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { factoryFirmware } from '../../infra/simulator/devices/device.ts'
import { thermostat } from '../../infra/simulator/devices/thermostat.ts'
import { FATES } from '../../infra/simulator/firmware/fate.ts'
import type { Fleet, FleetOptions } from '../../infra/simulator/fleet.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import type { Json } from '../support/client.ts'
import { sha256Of } from '../support/signed-firmware.ts'
import { asked, simulated } from '../support/simulated.ts'
import { until } from '../support/wait.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const FIRMWARE_COMMAND = join(import.meta.dirname, '../../infra/firmware/main.ts')
const FACTORY = factoryFirmware(thermostat)
const IMAGE = randomBytes(300_000)
const NEW = { version: '2.0.0', sha256: sha256Of(IMAGE) }
const TIMES = { soak: '1s', offerFor: '10m', installTimeout: '40s', silence: '30s', retryAfter: '1s' }
const END_MS = 180_000

let castor: TestCastor
let receiver: WebhookReceiver
let folder: string
const fleets: Fleet[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'castor-rollout-'))
  receiver = await WebhookReceiver.start()
  castor = await startCastor({ env: { CASTOR_WEBHOOK_ALLOW_PRIVATE: 'true' } })
  const types = ['rollout.started', 'rollout.halted', 'rollout.ended', 'update.ended']
  await asked(castor, 'POST', '/v1/webhooks', { url: receiver.url, types, perSecond: 1_000 })
  await command('keygen --out keys')
  await command('trust keys/release.pub --name laptop')
  // What the devices come with, so that there is a way back to it.
  await uploaded(Buffer.from('thermostat 1.4.2'), `--version ${FACTORY.version} --counter 14`)
  await uploaded(IMAGE, '--version 2.0.0 --counter 20 --rollback-to 1.4.2 --expires 365d')
})

afterAll(async () => {
  await Promise.all(fleets.map((fleet) => fleet.stop(false)))
  await castor?.stop()
  await receiver?.stop()
  await rm(folder, { recursive: true, force: true })
})

describe('a rollout', { timeout: 600_000 }, () => {
  test('brings what was signed on a laptop to every device, wave by wave, and each step can be seen', async () => {
    const models = ['thermostat', 'thermostat', 'pump'] as const
    const fleet = await running('a-', { devices: 24, models, httpShare: 0.5, lockShare: 0.1, sleeperShare: 0.1, checkInMs: 2_000 })
    const thermostats = fleet.ids.filter((device) => device.includes('thermostat'))
    const wanted = { ...wantedFor("id like 'a-%'"), waves: [{ count: 2 }, { percent: 50 }, { percent: 100 }] }

    const preview = {
      ...{ found: 24, total: 16, versions: [{ version: FACTORY.version, devices: 16 }], leftOut: [{ reason: 'model', devices: 8 }] },
      waves: [{ devices: 2 }, { devices: 6 }, { devices: 8 }],
    }
    expect(await asked(castor, 'POST', '/v1/rollouts?preview=true', wanted)).toMatchObject(preview)
    const draft = await asked(castor, 'POST', '/v1/rollouts', wanted)
    expect(draft).toMatchObject({ status: 'draft', preview })
    expect((await asked(castor, 'GET', `/v1/rollouts/${draft.id}/devices`)).items).toEqual([])
    await act(draft.id, 'approve')
    const done = await becomes(draft.id, 'completed')
    expect(done).toMatchObject({ approvedBy: 'admin', devices: { total: 16, healthy: 16, failed: 0, left: 0 } })

    for (const device of thermostats) expect((await twinOf(device)).firmware, device).toEqual(NEW)
    expect(fleet.figures.updates).toMatchObject({ installed: 16, bytes: 16 * IMAGE.length })
    const { items } = await asked(castor, 'GET', `/v1/rollouts/${draft.id}/devices?limit=100`)
    for (const wave of [2, 3]) expect(ends(items, wave - 1) <= begins(items, wave), `wave ${wave} waited for its gate`).toBe(true)
    const [header, ...lines] = (await asked(castor, 'GET', `/v1/rollouts/${draft.id}/devices.csv`)).trim().split('\r\n')
    expect(header).toBe('device,wave,from,status,reason,startedAt,endedAt,back')
    expect(lines.filter((line: string) => /^a-thermostat-\d+,[123],1\.4\.2,healthy,,\S+Z,\S+Z,false$/.test(line))).toHaveLength(16)
    expect(lines.filter((line: string) => /^a-pump-\d+,,[\d.]+,skipped,model,,\S+Z,false$/.test(line))).toHaveLength(8)

    await until(() => told(draft.id, 'rollout.ended').length === 1 && told(draft.id, 'update.ended').length === 16, 'all is told')
    expect(told(draft.id, 'rollout.started')).toMatchObject([{ name: wanted.name, devices: { total: 16, healthy: 0 } }])
    expect(told(draft.id, 'rollout.ended')).toMatchObject([{ status: 'completed', devices: { total: 16, healthy: 16 } }])
    expect(told(draft.id, 'rollout.halted')).toEqual([])
    const updates = told(draft.id, 'update.ended')
    expect(updates.map(({ device }) => device).sort()).toEqual(thermostats.toSorted())
    for (const update of updates) expect(update).toMatchObject({ status: 'healthy', firmware: NEW, from: FACTORY })
  })

  test('of bad firmware halts by itself and starts nothing more, goes on when somebody takes that on, and is rolled back', async () => {
    await Promise.all([
      running('b-good-', { devices: 4, httpShare: 0.5 }),
      ...FATES.filter((fate) => fate !== 'reject').map((fate) => running(`b-${fate}-`, { fates: { [fate]: 1 } })),
      running('c-', { devices: 24, httpShare: 0.5, fates: { fail: 0.25, unhealthy: 0.25 } }),
    ])
    await asked(castor, 'PUT', '/v1/groups/canaries', { filter: "id like 'b-%'" })
    const { id } = await asked(castor, 'POST', '/v1/rollouts', {
      ...wantedFor("id like 'b-%' or id like 'c-%'"),
      ...{ waves: [{ group: 'canaries' }, { percent: 100 }], gate: 0.6, failures: { share: 0.2, minimum: 5 } },
      ...{ approval: 'none', rollbackWaves: [{ percent: 20 }, { percent: 100 }], perSecond: 8, atOnce: 8 },
    })

    const halted = await becomes(id, 'halted')
    expect(halted).toMatchObject({ wave: 1, reason: expect.stringMatching(/^Wave 1: \d of \d devices failed, more than 20 %/) })
    await until(async () => (await look(id)).devices.underway === 0, 'what was under way has ended', END_MS)
    expect((await look(id)).waves).toMatchObject([
      { total: 8, healthy: 4, failed: 4, silent: 1 },
      { total: 24, waiting: 24 },
    ])
    expect((await updatesOf(id)).map(({ device, status, code }) => ({ device, status, code }))).toEqual([
      { device: 'b-brick-thermostat-0001', status: 'timed-out', code: 'silent' },
      { device: 'b-fail-thermostat-0001', status: 'failed', code: 'install-failed' },
      ...[1, 2, 3, 4].map((n) => ({ device: `b-good-thermostat-000${n}`, status: 'healthy', code: undefined })),
      { device: 'b-return-thermostat-0001', status: 'rolled-back', code: 'returned' },
      { device: 'b-unhealthy-thermostat-0001', status: 'failed', code: 'unhealthy' },
    ])

    await act(id, 'resume')
    const again = await becomes(id, 'halted', 2)
    expect(again.reason).toMatch(/^Wave 2: /)
    await until(async () => (await look(id)).devices.underway === 0, 'what was under way has ended again', END_MS)
    await until(() => told(id, 'rollout.halted').length === 2, 'both halts are told')
    expect(told(id, 'rollout.halted')).toMatchObject([
      { wave: 1, reason: halted.reason },
      { wave: 2, reason: again.reason },
    ])

    await act(id, 'rollback')
    const back = await becomes(id, 'completed')
    expect(back).toMatchObject({ direction: 'back', devices: { failed: 0, left: 0, waiting: 0, underway: 0 } })
    expect(back.devices.healthy).toBeGreaterThanOrEqual(5)
    const { items } = await asked(castor, 'GET', '/v1/twins?filter=firmware.version%20%3D%20%272.0.0%27&limit=100')
    expect(items.map((twin: Json) => twin.id).filter((device: string) => /^[bc]-/.test(device))).toEqual([])
    for (const { device, wave } of (await asked(castor, 'GET', `/v1/rollouts/${id}/devices?back=true&limit=100`)).items) {
      expect(wave, device).toBeGreaterThan(0)
      expect(await twinOf(device), device).toMatchObject({ firmware: FACTORY, health: { ok: true } })
    }
    await until(() => told(id, 'rollout.ended').length === 1, 'its end is told')
    expect(told(id, 'rollout.ended')).toMatchObject([{ rollback: true, status: 'completed' }])
  })
})

describe('one device', { timeout: 300_000 }, () => {
  test('whose update is cancelled while it works on it installs nothing, and is free for the next one', async () => {
    const fleet = await running('o-', { slowShare: 1 })
    const device = fleet.ids[0]!
    const first = await underWay(device)
    expect(await asked(castor, 'POST', `/v1/updates/${first}/cancel`)).toMatchObject({ status: 'cancelled', code: 'cancelled' })
    // One that went on with the first would say that it is busy.
    const second = await underWay(device)
    expect(await asked(castor, 'GET', `/v1/updates/${second}`)).not.toHaveProperty('code')
    await asked(castor, 'POST', `/v1/updates/${second}/cancel`)
    expect(await asked(castor, 'GET', `/v1/updates?device=${device}&status=cancelled`)).toMatchObject({ items: [{}, {}] })
    expect((await twinOf(device)).firmware).toEqual(FACTORY)
    expect(fleet.figures.updates.installed).toBe(0)
  })

  test('that is pinned is left out, and gets its update when it is not pinned any more; then an older one is refused', async () => {
    const [device] = (await running('p-')).ids
    const request = { device, firmware: { version: '2.0.0' }, ...TIMES }
    await asked(castor, 'PUT', '/v1/groups/museum', { filter: "id like 'p-%'", firmwarePin: FACTORY.version })
    expect(await castor.rest('POST', '/v1/updates', request)).toMatchObject({
      status: 409,
      body: { detail: expect.stringMatching(/pinned to 1\.4\.2/) },
    })
    const { id } = await asked(castor, 'POST', '/v1/rollouts', { ...wantedFor("id like 'p-%'"), approval: 'none' })
    expect(await becomes(id, 'completed')).toMatchObject({ devices: { total: 0 }, leftOut: [{ reason: 'pinned', devices: 1 }] })
    expect(await updatesOf(id)).toEqual([])

    await asked(castor, 'DELETE', '/v1/groups/museum')
    const update = await asked(castor, 'POST', '/v1/updates', request)
    await until(async () => (await asked(castor, 'GET', `/v1/updates/${update.id}`)).status === 'healthy', 'it is healthy', END_MS)
    expect((await twinOf(device!)).firmware).toEqual(NEW)

    const older = { firmware: { name: 'thermostat', version: FACTORY.version } }
    const refused = await castor.rest('POST', '/v1/updates', { device, ...older, ...TIMES })
    expect(refused).toMatchObject({ status: 409, body: { detail: expect.stringMatching(/is not newer/) } })
    const preview = await asked(castor, 'POST', '/v1/rollouts?preview=true', { ...wantedFor("id like 'p-%'"), ...older })
    expect(preview).toMatchObject({ total: 0, leftOut: [{ reason: 'older', devices: 1 }] })
  })

  test('is neither told of an artifact that was withdrawn nor downloads it, though it has the link', async () => {
    const image = randomBytes(10_000)
    const artifact = await uploaded(image, '--version 3.0.0 --counter 30')
    const authorization = `Bearer ${await castor.register('w-1')}`
    const pending = async () => (await fetch(`${castor.deviceHttp}/device/v1/pending`, { headers: { authorization } })).text()
    await asked(castor, 'POST', '/v1/updates', { device: 'w-1', firmware: { version: '3.0.0' }, ...TIMES })
    const { url } = await until(async () => JSON.parse(await pending()).update, 'it is told')
    const range = { range: 'bytes=100-199' }
    const part = await fetch(url, { headers: range })
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, image.subarray(100, 200)])

    await asked(castor, 'POST', `/v1/firmware/${artifact}/withdraw`)
    await until(async () => (await fetch(url, { headers: range })).status === 403, 'the link leads nowhere')
    expect(await pending()).toBe('')
    const wanted = { firmware: { name: 'thermostat', version: '3.0.0' } }
    for (const [path, body] of [
      ['/v1/updates', { device: 'w-1', ...wanted, ...TIMES }],
      ['/v1/rollouts', { ...wantedFor("id = 'w-1'"), ...wanted }],
    ] as const)
      expect(await castor.rest('POST', path, body)).toMatchObject({ status: 409, body: { detail: expect.stringMatching(/withdrawn/) } })
  })
})

async function running(prefix: string, options: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = await simulated(castor, prefix, options)
  fleets.push(fleet)
  return fleet
}

/** As it is typed, in a folder of its own: what it says. */
async function command(words: string): Promise<string> {
  const env = { ...process.env, CASTOR_PUBLIC_URL: castor.api, CASTOR_DATA_DIR: castor.dataDir }
  const { stdout } = await promisify(execFile)(process.execPath, [FIRMWARE_COMMAND, ...words.split(' ')], { cwd: folder, env })
  return stdout
}

/** Signed and uploaded. Its id. */
async function uploaded(image: Buffer, words: string): Promise<string> {
  await writeFile(join(folder, 'image.bin'), image)
  await command(`sign image.bin --key keys/release.key --model thermostat ${words}`)
  return (await command('upload image.bin')).slice(0, 36)
}

function wantedFor(filter: string) {
  return { name: `2.0.0 for ${filter}`, firmware: { name: 'thermostat', version: '2.0.0' }, filter, ...TIMES }
}

function act(id: string, action: string, body?: object): Promise<Json> {
  return asked(castor, 'POST', `/v1/rollouts/${id}/${action}`, body)
}

function look(id: string): Promise<Json> {
  return asked(castor, 'GET', `/v1/rollouts/${id}`)
}

/** In this wave, where one is named; and whatever was asked of it is done. */
function becomes(id: string, status: string, wave?: number): Promise<Json> {
  const isThere = (rollout: Json) =>
    rollout.status === status && rollout.asked.length === 0 && (wave === undefined || rollout.wave === wave)
  return until(async () => [await look(id)].find(isThere), `the rollout is ${status}`, END_MS)
}

async function twinOf(device: string): Promise<Json> {
  return asked(castor, 'GET', `/v1/twins/${device}`)
}

/** Asked for, and so far that its device has said so. Its id. */
async function underWay(device: string): Promise<string> {
  const { id } = await asked(castor, 'POST', '/v1/updates', { device, firmware: { version: '2.0.0' }, ...TIMES })
  const isAtIt = async () => ['verifying', 'installing'].includes((await asked(castor, 'GET', `/v1/updates/${id}`)).status)
  await until(isAtIt, `${device} works on its update`, END_MS)
  return id
}

/** By device. */
async function updatesOf(rollout: string): Promise<Json[]> {
  const { items } = await asked(castor, 'GET', `/v1/updates?rollout=${rollout}&limit=100`)
  return items.toSorted((a: Json, b: Json) => a.device.localeCompare(b.device))
}

/** The data of events of that rollout. */
function told(rollout: string, type: string): Json[] {
  const first = new Map(receiver.received.map(({ id, json }) => [id, json]))
  return [...first.values()].filter((event) => event.type === type && event.data.rollout === rollout).map(({ data }) => data)
}

function begins(devices: Json[], wave: number): string {
  return devices.flatMap((device) => (device.wave === wave ? [device.startedAt] : [])).sort()[0]
}

function ends(devices: Json[], wave: number): string {
  return devices
    .flatMap((device) => (device.wave === wave ? [device.endedAt] : []))
    .sort()
    .at(-1)
}
