/**
 * Rollouts of firmware: devices a second through 1, 5, 25 and 100 %, and history events an update; everything killed in their midst; many
 * downloads at once; and firmware that 30 % of the devices cannot install: how many have been touched when it halts.
 */
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import { runJob } from '../children.ts'
import type { DownloadsJob, DownloadsReport } from '../downloads.ts'
import { type Fleet, register } from '../fleet.ts'
import { quiet } from '../lag.ts'
import { RolloutKit } from '../rollout-kit.ts'
import { rounded } from '../statistics.ts'
import { historyEvents, rolloutEvents } from '../temporal-events.ts'
import { until } from '../webhook-kit.ts'
import { signalFloor } from './commands.ts'
import { largeFleet } from './twins.ts'

const DEVICES = 1_000
const FLEET = 'r'
const LINKS = 500
const ARTIFACT_BYTES = 4 * 2 ** 20
const PART_BYTES = 2 ** 20
/** Of ten devices, so many cannot install what is bad. */
const BAD_OF_TEN = 3
const LIMIT = { share: 0.1, minimum: 10 }
const QUIET_MS = 300_000
/** Of a device's update: it is let go, and healthy. */
const DECISIONS = 2

/** On a Castor with some twins. */
export async function rollout(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  const kit = await RolloutKit.start(castor, bench.say)
  try {
    const fleet = await register(castor, FLEET, bench.count(DEVICES))
    await kit.connect(fleet, 'r-1', (n) => n % 10 < BAD_OF_TEN)
    await quiet(castor.sql, QUIET_MS, bench.say)
    await wellAndGood(bench, castor, kit, fleet)
    await restarted(bench, castor, kit, fleet)
    await downloads(bench, kit, fleet)
    await bad(bench, kit, fleet)
  } finally {
    await kit.stop()
  }
}

/** Ten thousand. */
export async function largeRollout(bench: Bench): Promise<void> {
  const castor = await bench.castor('large')
  const { fleet, generator } = await largeFleet(bench)
  await generator.stop() // its devices update now
  const kit = await RolloutKit.start(castor, bench.say)
  try {
    await kit.connect(fleet, 't-1')
    await quiet(castor.sql, QUIET_MS, bench.say)
    await kit.firmware('t-2')
    const { seconds, counts } = await kit.becomes(await kit.rollout('t-1', 't-2', { atOnce: 2_000 }), 'completed')
    bench.say(`rollout of ${fleet.count}: ${JSON.stringify(counts)}`)
    bench.figure('rolloutDevicesPerSecond10k', (counts.healthy ?? 0) / seconds)
  } finally {
    await kit.stop()
  }
}

async function wellAndGood(bench: Bench, castor: Castor, kit: RolloutKit, fleet: Fleet): Promise<void> {
  await kit.firmware('r-2')
  const floor = await signalFloor(bench)
  const eventsFrom = await historyEvents(castor, [FLEET])
  const started = await kit.rollout('r-1', 'r-2')
  const { seconds, counts } = await kit.becomes(started, 'completed')
  await quiet(castor.sql, QUIET_MS, bench.say)
  const events = (await historyEvents(castor, [FLEET])) - eventsFrom
  bench.say(`rollout of ${fleet.count}: ${JSON.stringify(counts)}, in ${seconds.toFixed(1)} s`)
  const perSecond = (counts.healthy ?? 0) / seconds
  bench.figure('rolloutDevicesPerSecond', perSecond)
  bench.figure('rolloutSignalsPerSecondFloor', floor)
  bench.figure('rolloutRatio', (perSecond * DECISIONS) / floor)
  bench.figure('temporalEventsPerUpdate', events / fleet.count)
  bench.figure('temporalEventsOfRollout', await rolloutEvents(castor, started.id))
}

/** Every process is killed when a third of the devices are healthy, and started again. */
async function restarted(bench: Bench, castor: Castor, kit: RolloutKit, fleet: Fleet): Promise<void> {
  await kit.firmware('r-3')
  const started = await kit.rollout('r-2', 'r-3')
  const healthy = async () => (await kit.counts(started.id)).healthy ?? 0
  await until(QUIET_MS, 'a third of the devices are healthy', async () => (await healthy()) >= fleet.count / 3)
  const before = await healthy()
  const killedAt = performance.now()
  await castor.killAndStart()
  const readyAt = performance.now()
  await until(QUIET_MS, 'the rollout goes on', async () => (await healthy()) > before)
  const since = (at: number) => rounded((at - killedAt) / 1000)
  bench.figure('rolloutRestartSeconds', { ready: since(readyAt), goesOn: since(performance.now()) })
  const { counts } = await kit.becomes(started, 'completed', 'halted')
  bench.figure('rolloutAfterRestart', counts)
}

/** Devices that begin to download and never end; their links are used by others, all at once. */
async function downloads(bench: Bench, kit: RolloutKit, fleet: Fleet): Promise<void> {
  const count = Math.min(LINKS, fleet.count)
  const { size, sha256 } = await kit.firmware('r-4-hold', ARTIFACT_BYTES)
  const started = await kit.rollout('r-3', 'r-4-hold', { waves: [{ count }, { percent: 100 }], gate: 1 })
  await until(QUIET_MS, `${count} devices have their links`, async () => (await kit.report()).links.length >= count)
  const links = [...new Set((await kit.report()).links)].slice(0, count)
  const job = { links, size, sha256, partBytes: PART_BYTES }
  const report = await runJob<DownloadsJob, DownloadsReport>('downloads.ts', job, QUIET_MS)
  if (report.failed > 0) bench.say(`downloads: ${report.failed} failed, one with ${report.failure}`)
  bench.figure('downloadMegabytesPerSecond', report.megabytesPerSecond)
  bench.figure('downloadMs', { p50: rounded(report.p50Ms), p99: rounded(report.p99Ms), failed: report.failed })
  await kit.act(started.id, 'cancel', { running: 'cancel' })
  await until(QUIET_MS, 'all its updates have ended', async () => ((await kit.counts(started.id)).underway ?? 0) === 0)
}

/** In the usual waves, and all in one: there the pace alone is between the limit and the fleet. */
async function bad(bench: Bench, kit: RolloutKit, fleet: Fleet): Promise<void> {
  const touched: Record<string, number> = { devices: fleet.count, limit: LIMIT.minimum }
  for (const [name, version, more] of [
    ['inWaves', 'r-5-bad', {}],
    ['inOneWave', 'r-6-bad', { waves: [{ percent: 100 }], perSecond: 50 }],
  ] as const) {
    await kit.firmware(version)
    const started = await kit.rollout('r-3', version, { failures: LIMIT, attempts: 1, ...more })
    const { status, counts } = await kit.becomes(started, 'halted', 'completed')
    bench.say(`${version}: ${status} ${JSON.stringify(counts)}`)
    await until(QUIET_MS, 'what was under way has ended', async () => ((await kit.counts(started.id)).underway ?? 0) === 0)
    touched[name] = await kit.touched(started.id)
    await kit.act(started.id, 'cancel')
  }
  bench.figure('rolloutTouchedWhenBad', touched)
}
