/**
 * Webhooks: from what happens until the receiver has it, deliveries a second, a backlog of a million events for a receiver that is dead and comes
 * back, and one receiver beside 99 dead ones.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { connectDevice, topicOf } from '../../support/client.ts'
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import { memoryMb } from '../processes.ts'
import { median, percentile } from '../statistics.ts'
import { paced, until, WebhookKit } from '../webhook-kit.ts'

const PER_SECOND = 100
/** Each is a decision of a twin, so it takes a Temporal that keeps up; two cores decide forty to a hundred a second. */
const DECIDED = { devices: 20, perSecond: 20 }
/** One webhook is sent to at most 1,000 times a second. */
const FAST = { webhooks: 4, events: 12_500 }
const BACKLOG = 1_000_000
const DEAD = 99
const ROUNDS = 3
const ARRIVAL_MS = 30_000
const SORTED_MS = 600_000

export async function webhooks(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  const kit = await WebhookKit.start(castor)
  try {
    await latency(bench, kit)
    await decidedLatency(bench, castor, kit)
    await besideDead(bench, kit)
    await deliveries(bench, kit)
    await backlog(bench, castor, kit)
  } finally {
    await kit.stop()
  }
}

/** Registrations: events that no twin has to decide. */
async function latency(bench: Bench, kit: WebhookKit): Promise<void> {
  const id = await kit.webhook('/created', ['device.created'])
  await kit.registrations('warm-', PER_SECOND, bench.seconds(3))
  const { p50Ms, p99Ms } = await registered(bench, kit, 'created-', bench.seconds(20))
  bench.figure('webhookP50Ms', p50Ms)
  bench.figure('webhookP99Ms', p99Ms)
  await kit.remove([id])
}

/** Device events over MQTT, through ingest, Temporal and the decision write. */
async function decidedLatency(bench: Bench, castor: Castor, kit: WebhookKit): Promise<void> {
  const id = await kit.webhook('/decided', ['device.event'])
  const names = Array.from({ length: DECIDED.devices }, (_, n) => `leaking-${n}`)
  const url = `mqtt://${castor.host}:${castor.mqttPort}`
  const devices = await Promise.all(names.map(async (name) => connectDevice(url, name, await kit.register(name, 'pump'))))
  const say = async (n: number) => {
    const event = { id: `leak-${Date.now()}-${n}`, data: { sentAt: Date.now() } }
    await devices[n % devices.length]!.publishAsync(topicOf(names[n % names.length]!, 'events/leak'), JSON.stringify(event), { qos: 1 })
  }
  try {
    // The first ones start their workflows.
    await kit.mark()
    const first = await paced(DECIDED.perSecond, bench.seconds(5), say)
    await arrived(kit, '/decided', first)
    await kit.mark()
    const count = await paced(DECIDED.perSecond, bench.seconds(20), say)
    const { p50Ms, p99Ms } = await arrived(kit, '/decided', count)
    bench.figure('webhookDecidedP50Ms', p50Ms)
    bench.figure('webhookDecidedP99Ms', p99Ms)
  } finally {
    for (const device of devices) await device.endAsync(true)
    await kit.remove([id])
  }
}

/** Alone and beside 99 dead ones, in turn: while these are being given up, and then, when only probes go out. */
async function besideDead(bench: Bench, kit: WebhookKit): Promise<void> {
  const live = await kit.webhook('/created', ['device.created'])
  const dead: string[] = []
  for (let n = 0; n < DEAD; n++) dead.push(await kit.webhook(`/never-${n}`, ['device.created'], { refused: n % 2 === 0, atOnce: 10 }))
  await kit.steer(dead, 'pause')
  const found: { dying: number[]; dead: number[] } = { dying: [], dead: [] }
  for (let round = 0; round < bench.count(ROUNDS); round++) {
    const seconds = bench.seconds(20)
    const alone = await registered(bench, kit, `alone-${round}-`, seconds)
    await kit.steer(dead, 'resume')
    const dying = await registered(bench, kit, `dying-${round}-`, seconds)
    await until(60_000, 'all dead webhooks are given up', async () => (await kit.givenUp()) === DEAD)
    const beside = await registered(bench, kit, `beside-${round}-`, seconds)
    await kit.steer(dead, 'pause')
    bench.say(`webhook p99 alone ${alone.p99Ms} ms, beside ${DEAD} that are being given up ${dying.p99Ms}, that are ${beside.p99Ms}`)
    found.dying.push(dying.p99Ms / alone.p99Ms)
    found.dead.push(beside.p99Ms / alone.p99Ms)
  }
  bench.figure('webhookBesideDyingRatio', median(found.dying))
  bench.figure('webhookBesideDeadRatio', median(found.dead))
  await kit.remove([live, ...dead])
}

async function deliveries(bench: Bench, kit: WebhookKit): Promise<void> {
  const count = bench.count(FAST.events)
  const ids: string[] = []
  for (let n = 0; n < FAST.webhooks; n++) ids.push(await kit.webhook(`/fast-${n}`, ['twin.changed']))
  await kit.steer(ids, 'pause')
  await kit.insertEvents(count)
  await kit.sorted(SORTED_MS)
  await kit.mark()
  const from = performance.now()
  await kit.steer(ids, 'resume')
  for (let n = 0; n < FAST.webhooks; n++) await arrived(kit, `/fast-${n}`, count, 120_000)
  bench.figure('webhookDeliveriesPerSecond', (FAST.webhooks * count * 1000) / (performance.now() - from))
  await kit.remove(ids)
}

async function backlog(bench: Bench, castor: Castor, kit: WebhookKit): Promise<void> {
  const count = bench.count(BACKLOG)
  const dispatcherMb = () => memoryMb(castor.pids()).dispatcher ?? Number.NaN
  const memory = { before: dispatcherMb(), most: 0, after: 0 }
  const before = await kit.bytes()
  const id = await kit.webhook('/late', ['twin.changed'], { refused: true })
  const from = performance.now()
  await kit.insertEvents(count)
  await kit.sorted(SORTED_MS, () => {
    memory.most = Math.max(memory.most, dispatcherMb())
  })
  bench.figure('webhookSortedPerSecond', (count * 1000) / (performance.now() - from))
  await pause(bench.seconds(10) * 1000)
  memory.after = dispatcherMb()
  const after = await kit.bytes()
  bench.figure('webhookBacklogMemoryMb', memory)
  bench.figure('webhookBacklogBytesPerEvent', (after.webhooks - before.webhooks) / count)
  bench.figure('webhookOutboxBytesPerEvent', (after.outbox - before.outbox) / count)
  await kit.steer([id], 'pause')
  await kit.move(id, '/late')
  await kit.mark()
  await kit.steer([id], 'resume')
  const seconds = bench.seconds(30)
  await pause(seconds * 1000)
  bench.figure('webhookDrainPerSecond', (await kit.came('/late')).count / seconds)
  await kit.remove([id])
}

async function registered(bench: Bench, kit: WebhookKit, prefix: string, seconds: number) {
  await kit.mark()
  const answeredMs = await kit.registrations(prefix, PER_SECOND, seconds)
  const report = await arrived(kit, '/created', answeredMs.length)
  bench.say(`${prefix}: ${JSON.stringify(report)}, answered p99 ${percentile(answeredMs, 99)} ms`)
  return report
}

async function arrived(kit: WebhookKit, path: string, count: number, timeoutMs = ARRIVAL_MS) {
  let report = await kit.came(path)
  await until(timeoutMs, `${count} events have come to ${path}`, async () => {
    report = await kit.came(path)
    return report.count >= count
  })
  return report
}
