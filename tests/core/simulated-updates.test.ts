/** What a simulated device believes of an update, and what it does with it. */
import { describe, expect, test } from 'vitest'
import type { AskedUpdate } from '../../infra/simulator/asked.ts'
import { createSimulatedDevice, factoryFirmware } from '../../infra/simulator/devices/device.ts'
import { thermostat } from '../../infra/simulator/devices/thermostat.ts'
import type { Download, DownloadOptions } from '../../infra/simulator/firmware/download.ts'
import { FATES, type Fate, fateOf } from '../../infra/simulator/firmware/fate.ts'
import { createFlash, type Flash } from '../../infra/simulator/firmware/flash.ts'
import { createUpdater } from '../../infra/simulator/firmware/updater.ts'
import { type Self, type Trust, verifyUpdate } from '../../infra/simulator/firmware/verify.ts'
import { type Outgoing, pathOf, payloadOf } from '../../infra/simulator/message.ts'
import { createRandom } from '../../infra/simulator/random.ts'
import { createFigures } from '../../infra/simulator/report.ts'
import { JOB_TYPE, type Job } from '../../twin-models/firmware/job.ts'
import { MANIFEST_TYPE, type Manifest } from '../../twin-models/firmware/manifest.ts'
import { AskedTwin } from '../support/asked-twin.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { jobOf, manifestOf, newKeyPair, signJob, signManifest } from '../support/signed-firmware.ts'

const NOW = Date.UTC(2026, 10, 27)
const MINUTE = 60_000
const NEW = 'the image of 2.0.0'
const FACTORY = 'thermostat 1.4.2'
const director = newKeyPair()
const release = newKeyPair()
const stranger = newKeyPair()
const trust: Trust = { director: new Map([[director.id, director.publicKey]]), release: new Map([[release.id, release.publicKey]]) }

/** A thermostat as it came from the factory, and has had a job before. */
const self: Self = {
  tenant: 'demo',
  device: 't-1',
  model: 'thermostat',
  hardware: 'sim-1',
  registration: 7,
  runs: factoryFirmware(thermostat),
  manifest: undefined,
  counters: new Map(),
  nonces: new Set(),
  battery: 80,
  freeBytes: 1_000_000,
}
/** The same with 2.0.0. */
const updated: Self = { ...self, runs: manifestOf(NEW), manifest: manifestOf(NEW), counters: new Map([['thermostat', 20]]) }
/** Then another line was installed. */
const beta = manifestOf('the image of beta', { name: 'beta', version: '0.1', counter: 1 })
const onBeta: Self = { ...updated, runs: beta, manifest: beta, counters: new Map([...updated.counters, ['beta', 1]]) }

interface Made {
  manifest?: Partial<Manifest>
  job?: Partial<Job>
  /** Of the device. */
  self?: Partial<Self>
  offer?: Partial<{ id: string; job: unknown; manifest: unknown }>
}

function verdictOn({ manifest: changes, job: jobChanges, self: selfChanges, offer }: Made, from = self) {
  const manifest = manifestOf(NEW, changes)
  const job = jobOf(manifest, NOW, jobChanges)
  const whole = { id: job.update, job: signJob(job, director), manifest: signManifest(manifest, release), ...offer }
  return verifyUpdate(whole, { ...from, ...selfChanges }, trust, NOW)
}

describe('a device takes', () => {
  test.each<[string, Made, Self?]>([
    ['an update that is right', {}],
    ['one whose registration it does not know yet', { self: { registration: undefined } }],
    ['one for its hardware', { manifest: { hardware: ['sim-0', 'sim-1'] } }],
    [
      'one that may be installed over what runs',
      { manifest: { prerequisites: { from: ['1.4.2'], minBattery: 80, freeBytes: 1_000_000 } } },
    ],
    ['a later release', { manifest: { version: '2.0.1', counter: 21, sha256: 'a'.repeat(64) } }, updated],
    ['what runs once more', {}, updated],
    ['the first of another line of releases', { manifest: { name: 'beta', version: '0.1', counter: 1, sha256: 'a'.repeat(64) } }, updated],
    ['what it ran before it went to another line', {}, onBeta],
    ['a rollback to what the manifest of what runs names', rollback('1.4.2'), updated],
    ['members of the manifest that it does not know', { manifest: { delta: { from: '1.4.2' } } as Partial<Manifest> }],
  ])('%s', (_, made, from) => {
    expect(verdictOn(made, from)).toMatchObject({ status: 'accepted' })
  })
})

const older = manifestOf('the image of 1.9.0', { version: '1.9.0', counter: 19 })

describe('a device refuses', () => {
  test.each<[attack: string, status: string, code: string, Made, Self?]>([
    ['a swapped artifact: the director alone', 'rejected', 'mismatch', { job: { firmware: { version: '2.0.0', sha256: 'e'.repeat(64) } } }],
    ['a manifest signed by a stranger', 'rejected', 'untrusted', { offer: { manifest: signManifest(manifestOf(NEW), stranger) } }],
    ['a manifest signed by the director', 'rejected', 'untrusted', { offer: { manifest: signManifest(manifestOf(NEW), director) } }],
    ['a job signed by a stranger', 'rejected', 'untrusted', withJob((job) => signJob(job, stranger))],
    ['a job signed by the release key', 'rejected', 'untrusted', withJob((job) => signJob(job, release))],
    [
      'a stranger’s signature under the key id of the director',
      'rejected',
      'bad-signature',
      withJob((job) => passedOff(signJob(job, stranger))),
    ],
    ['a changed job', 'rejected', 'bad-signature', withJob((job) => changed(signJob(job, director)))],
    ['a changed manifest', 'rejected', 'bad-signature', { offer: { manifest: changed(signManifest(manifestOf(NEW), release)) } }],
    [
      'another statement of the director in place of the job',
      'rejected',
      'bad-signature',
      withJob((job) => signJob(job, director, MANIFEST_TYPE)),
    ],
    [
      'another statement of the release key',
      'rejected',
      'bad-signature',
      { offer: { manifest: signManifest(manifestOf(NEW), release, JOB_TYPE) } },
    ],
    [
      'mix and match: a job and the manifest of another version',
      'rejected',
      'mismatch',
      { offer: { manifest: signManifest(older, release) } },
    ],
    [
      'mix and match: the version of one and the content of another',
      'rejected',
      'mismatch',
      { job: { firmware: { version: '2.0.0', sha256: older.sha256 } }, offer: { manifest: signManifest(older, release) } },
    ],
    ['a replayed older manifest, with a job for it', 'rejected', 'downgrade', { manifest: older }, updated],
    ['an install of the factory’s image, which only a rollback may bring', 'rejected', 'downgrade', rollback('1.4.2', 'install'), updated],
    ['other content under the counter of what runs', 'rejected', 'downgrade', { manifest: { sha256: 'e'.repeat(64) } }, updated],
    ['a rollback to what the manifest of what runs does not name', 'rejected', 'no-way-back', rollback('1.3.0'), updated],
    ['a rollback into another line', 'rejected', 'no-way-back', rollback('1.4.2', 'rollback', 'beta'), updated],
    ['a rollback from the factory’s image, which names nothing', 'rejected', 'no-way-back', rollback('1.4.2')],
    ['a forged job: for another device', 'rejected', 'other-device', { job: { device: 't-2' } }],
    ['a forged job: for a device of that name of another tenant', 'rejected', 'other-device', { job: { tenant: 'other' } }],
    ['a forged job: for an earlier registration of that device', 'rejected', 'other-device', { job: { registration: 6 } }],
    ['a job under the id of another update', 'rejected', 'other-update', { offer: { id: 'b3f6a4a4-6b60-4a1e-8f52-0b6a1c2d3e4f' } }],
    ['a job that it has answered', 'rejected', 'replayed', { job: { nonce: 'n'.repeat(20) }, self: { nonces: new Set(['n'.repeat(20)]) } }],
    ['an expired job', 'failed', 'job-expired', { job: { expires: new Date(NOW).toISOString() } }],
    ['an expired manifest', 'rejected', 'manifest-expired', { manifest: { expires: new Date(NOW).toISOString() } }],
    ['firmware of another model', 'rejected', 'wrong-model', { manifest: { model: 'pump' } }],
    ['firmware of other hardware', 'rejected', 'wrong-hardware', { manifest: { hardware: ['sim-2'] } }],
    ['firmware that cannot be installed over what runs', 'rejected', 'from-version', { manifest: { prerequisites: { from: ['1.5.0'] } } }],
    ['what needs more battery', 'failed', 'low-battery', { manifest: { prerequisites: { minBattery: 81 } } }],
    ['what needs more space', 'failed', 'no-space', { manifest: { prerequisites: { freeBytes: 1_000_001 } } }],
    ['endless data: more than it can hold', 'failed', 'no-space', { manifest: { size: 1_000_001 } }],
    ['no envelope', 'rejected', 'unreadable', { offer: { job: { payload: 'x' } } }],
    ['no manifest', 'rejected', 'unreadable', { offer: { manifest: undefined } }],
    ['a job without a nonce', 'rejected', 'unreadable', withJob(({ nonce: _, ...rest }) => signJob(rest, director))],
    ['two signatures of which one is right', 'rejected', 'unreadable', withJob((job) => doubled(signJob(job, director)))],
  ])('%s', (_, status, code, made, from) => {
    expect(verdictOn(made, from)).toMatchObject({ status, code, message: expect.any(String) })
  })

  test('a job for another device without learning from it which registration it has', () => {
    const forged = verdictOn({ job: { device: 't-2', registration: 99 }, self: { registration: undefined } })
    expect(forged).not.toHaveProperty('job')
    expect(verdictOn({ job: { expires: new Date(NOW).toISOString() } })).toHaveProperty('job.registration', 7)
  })
})

describe('a simulated device with a job', () => {
  test('goes through all steps, boots, and runs the new firmware', async () => {
    const { offer, does, said, device, figures, rebooted } = updatable()
    await does(offer())
    expect(said()).toEqual([
      { status: 'downloading', progress: 0 },
      { status: 'verifying' },
      { status: 'installing' },
      { status: 'rebooting' },
    ])
    expect(rebooted()).toBe(1)
    expect(device.firmware).toEqual({ version: '2.0.0', sha256: manifestOf(NEW).sha256 })
    expect(device.health().ok).toBe(true)
    expect(figures.updates).toMatchObject({ installed: 1, failed: 0, rejected: 0, bytes: NEW.length, resumes: 1 })
  })

  test('tells its words on the topic of the update', async () => {
    const { offer, does, messages } = updatable()
    const asked = offer()
    await does(asked)
    expect(new Set(messages.map(pathOf))).toEqual(new Set([`updates/${asked.id}/status`]))
  })

  test('does the same job once, and repeats its last word under the same id', async () => {
    const { offer, does, messages, rebooted } = updatable()
    const asked = offer()
    await does(asked)
    await does(asked)
    expect(rebooted()).toBe(1)
    expect(messages).toHaveLength(5)
    expect(payloadOf(messages[4]!)).toEqual(payloadOf(messages[3]!))
  })

  test('does not begin twice when the job comes again meanwhile, and tells another that it is busy', async () => {
    const { offer, updater, settles, said, rebooted } = updatable()
    const asked = offer()
    const other = offer()
    for (const each of [asked, asked, other]) updater.take(each)
    await settles()
    expect(rebooted()).toBe(1)
    expect(said()).toContainEqual(expect.objectContaining({ status: 'failed', code: 'busy' }))
    expect(said().filter(({ status }) => status === 'rebooting')).toHaveLength(1)
  })

  test('is called off until it reboots, and forgets a job whose cancel came first', async () => {
    const { offer, updater, does, settles, passes, said, rebooted } = updatable()
    const asked = offer()
    updater.take(asked)
    await settles(0)
    updater.cancel(asked.id)
    await settles()
    expect(said().at(-1)).toEqual({ status: 'verifying' })
    const late = offer()
    updater.cancel(late.id)
    await does(late)
    passes(MINUTE)
    expect([rebooted(), updater.isBusy]).toEqual([0, false])
  })

  test('rejects what it does not believe, and downloads nothing', async () => {
    const { offer, does, said, figures, downloads } = updatable()
    await does(offer({ job: { device: 't-2' } }))
    expect(said()).toEqual([{ status: 'rejected', code: 'other-device', message: expect.any(String) }])
    expect(downloads()).toBe(0)
    expect(figures.updates).toMatchObject({ installed: 0, rejected: 1 })
  })

  test('says why a download failed, and installs nothing', async () => {
    const failure = { code: 'hash-mismatch', message: 'The content is another one.' } as const
    const { offer, does, said, device } = updatable({ got: { bytes: 3, resumes: 0, failure } })
    await does(offer())
    expect(said().at(-1)).toEqual({ status: 'failed', ...failure })
    expect(device.firmware.version).toBe('1.4.2')
  })

  test('asks once more for the keys when it does not know one', async () => {
    const known = updatable({ trusts: { ...trust, release: new Map() }, learns: trust })
    await known.does(known.offer())
    expect(known.rebooted()).toBe(1)
    const unknown = updatable({ trusts: { ...trust, director: new Map() } })
    await unknown.does(unknown.offer())
    expect(unknown.said()).toEqual([{ status: 'rejected', code: 'untrusted', message: expect.any(String) }])
  })

  test('that is locked says so, and takes the next job when the lock is gone', async () => {
    const { offer, does, passes, said, rebooted } = updatable({ locks: true })
    await does(offer())
    expect(said()).toEqual([{ status: 'failed', code: 'locked', message: expect.any(String) }])
    passes(MINUTE)
    await does(offer())
    expect(rebooted()).toBe(1)
  })

  test('learns its registration from the first job, and anew when it got another token', async () => {
    const { offer, does, updater, said } = updatable()
    await does(offer())
    await does(offer({ job: { registration: 8 } }))
    expect(said().at(-1)).toMatchObject({ status: 'rejected', code: 'other-device' })
    updater.forgetRegistration()
    await does(offer({ job: { registration: 8 } }))
    expect(said().at(-1)).toEqual({ status: 'rebooting' })
  })

  test.each<[Fate, last: object, runs: string]>([
    ['fail', { status: 'failed', code: 'install-failed', message: expect.any(String) }, '1.4.2'],
    ['reject', { status: 'rejected', code: 'refused', message: expect.any(String) }, '1.4.2'],
    ['return', { status: 'rebooting' }, '1.4.2'],
    ['unhealthy', { status: 'rebooting' }, '2.0.0'],
    ['brick', { status: 'rebooting' }, '1.4.2'],
  ])('whose fate is to %s does so', async (fate, last, runs) => {
    const { offer, does, said, device, rebooted, died, figures } = updatable({ fate })
    await does(offer())
    expect(said().at(-1)).toEqual(last)
    expect(device.firmware.version).toBe(runs)
    expect(device.health().ok).toBe(fate !== 'unhealthy')
    expect([rebooted(), died()]).toEqual([fate === 'return' || fate === 'unhealthy' ? 1 : 0, fate === 'brick' ? 1 : 0])
    const counted = { fail: 'failed', reject: 'rejected', return: 'returned', unhealthy: 'installed', brick: 'bricked' } as const
    expect(figures.updates[counted[fate]]).toBe(1)
  })

  test('goes back to the factory’s image by a rollback, and is well again', async () => {
    const { offer, does, device } = updatable({ fate: 'unhealthy' })
    await does(offer())
    const { manifest, job } = rollback('1.4.2')
    await does(offer({ manifest, job }))
    expect(device.firmware).toEqual(factoryFirmware(thermostat))
    expect(device.health().ok).toBe(true)
  })
})

test('the twin of one that boots what ran before notices within a minute', async () => {
  const { offer, does, said, device } = updatable({ fate: 'return' })
  const twin = new AskedTwin()
  const hello = () => twin.hello({ firmware: device.firmware, health: device.health() })
  hello()
  const { version, sha256 } = manifestOf(NEW)
  twin.update('u', { firmware: { version, sha256 }, installMs: 3_600_000 })
  await does(offer())
  for (const { status } of said())
    if (status === 'installing' || status === 'rebooting') twin.give({ kind: 'update-step', at: twin.now, id: 'u', status })
  const back = twin.now
  hello()
  expect(twin.state.update?.deadlineAt).toBe(back + MINUTE)
  twin.due(back + MINUTE, [], { id: 'u', sentAt: back - 10, status: 'rebooting' })
  expect(twin.events.at(-1)).toMatchObject({ kind: 'update-ended', status: 'rolled-back', code: 'returned' })
})

test('a device that is started again runs what it was updated to, and goes back from there', async () => {
  const flash = createFlash()
  const first = updatable({ flash, fate: 'unhealthy' })
  await first.does(first.offer())
  const again = updatable({ flash })
  expect(again.device.firmware).toEqual(first.device.firmware)
  expect(again.device.health().ok).toBe(false)
  await again.does(again.offer(rollback('1.3.0')))
  expect(again.said().at(-1)).toMatchObject({ code: 'no-way-back' })
  await again.does(again.offer(rollback('1.4.2')))
  expect(again.device.firmware).toEqual(factoryFirmware(thermostat))
})

test('fates are dealt out by their shares, evenly, also among every third device', () => {
  const shares = { fail: 0.3, brick: 0.1, return: 0.1, unhealthy: 0.1, reject: 0.05 }
  const counts = (step: number) => {
    const dealt = Array.from({ length: 1000 }, (_, i) => fateOf(shares, i * step))
    return Object.fromEntries(FATES.map((fate) => [fate, dealt.filter((one) => one === fate).length]))
  }
  for (const step of [1, 3])
    for (const [fate, count] of Object.entries(counts(step))) expect(Math.abs(count - shares[fate as Fate] * 1000)).toBeLessThan(10)
  expect(fateOf({}, 5)).toBeUndefined()
  expect(fateOf({ brick: 1 }, 5)).toBe('brick')
})

function rollback(version: string, kind: Job['kind'] = 'rollback', name = 'thermostat'): Required<Pick<Made, 'manifest' | 'job'>> {
  const manifest = manifestOf(FACTORY, { name, version, counter: 14, rollbackTo: [] })
  return { manifest, job: { kind } }
}

function withJob(make: (job: Job) => unknown): Made {
  const job = jobOf(manifestOf(NEW), NOW)
  return { offer: { id: job.update, job: make(job) } }
}

function changed<T extends { payload: string }>(envelope: T): T {
  const text = Buffer.from(envelope.payload, 'base64').toString().replace('2.0.0', '2.0.9')
  return { ...envelope, payload: Buffer.from(text).toString('base64') }
}

function passedOff<T extends { signatures: Array<{ keyid: string; sig: string }> }>(envelope: T): T {
  return { ...envelope, signatures: envelope.signatures.map(({ sig }) => ({ keyid: director.id, sig })) }
}

function doubled<T extends { signatures: unknown[] }>(envelope: T): T {
  return { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] }
}

interface Setting {
  fate?: Fate
  locks?: boolean
  got?: Download
  trusts?: Trust
  /** When it asks again. */
  learns?: Trust
  flash?: Flash
}

/** A thermostat whose downloads, reboots and time are the test's. */
function updatable({
  fate,
  locks = false,
  got = { bytes: NEW.length, resumes: 1 },
  trusts = trust,
  learns,
  flash = createFlash(),
}: Setting = {}) {
  const device = createSimulatedDevice('thermostat', createRandom('updatable'), NOW, 86_400_000)
  const clock = fakeClock(NOW)
  const messages: Outgoing[] = []
  const figures = createFigures()
  const counts = { reboots: 0, deaths: 0, ids: 0 }
  const downloads: DownloadOptions[] = []
  const keys = {
    trust: trusts,
    async refresh() {
      keys.trust = learns ?? keys.trust
    },
  }
  const updater = createUpdater({
    ...{
      tenant: 'demo',
      id: 't-1',
      hardware: 'sim-1',
      device,
      fate,
      locks,
      slow: false,
      keys,
      flash,
      figures,
      random: createRandom('updates'),
    },
    say(message, then) {
      messages.push(message)
      then?.()
    },
    nextId: () => `m-${++counts.ids}`,
    now: clock.now,
    later: clock.later,
    async download(options) {
      downloads.push(options)
      return got
    },
    breaksAfter: () => undefined,
    reboot(ms, boot) {
      counts.reboots += 1
      clock.later(ms, boot)
    },
    die() {
      counts.deaths += 1
    },
  })
  /** What was begun comes to its end, within so much time. */
  async function settles(ms = 4_000): Promise<void> {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve()
    clock.passes(ms)
  }
  return {
    ...{ device, figures, updater, messages, settles, passes: clock.passes },
    offer(made: Made = {}): AskedUpdate {
      const manifest = manifestOf(NEW, made.manifest)
      const job = jobOf(manifest, clock.now(), made.job)
      return { kind: 'update', id: job.update, job: signJob(job, director), manifest: signManifest(manifest, release), url: 'http://x/' }
    },
    async does(asked: AskedUpdate) {
      updater.take(asked)
      await settles()
    },
    said: () => messages.map((message) => message.values),
    rebooted: () => counts.reboots,
    died: () => counts.deaths,
    downloads: () => downloads.length,
  }
}
