/**
 * Commands: from `POST /v1/twins/{id}/commands` until the answer with the outcome, over an MQTT device that obeys at once, fifty a second, or what is as
 * much for this machine; and what Temporal writes for each.
 */
import type { Bench } from '../bench.ts'
import { answerOf, endOf, forkBeside, runJob } from '../children.ts'
import { connectionOf, register, TENANT } from '../fleet.ts'
import { HttpClient } from '../http.ts'
import { quiet } from '../lag.ts'
import type { ObedientPlan, ObedientReport } from '../obedient.ts'
import { cpuSeconds } from '../processes.ts'
import type { SignalFloorReport } from '../signal-floor.ts'
import { percentile } from '../statistics.ts'
import { historyEvents } from '../temporal-events.ts'
import { perDecision } from './twins.ts'

const DEVICES = 200
const PER_SECOND = 50
/** Fifty commands are a hundred decisions: a quarter of what bare signals reach where that was first measured (some 400 a second). */
const SIGNALS_A_COMMAND = 8
const FLOOR_SECONDS = 15
const QUIET_MS = 180_000

export async function commands(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  const fleet = await register(castor, 'c', DEVICES)
  const child = forkBeside('obedient.ts')
  try {
    const devices = Array.from({ length: DEVICES }, (_, n) => connectionOf(fleet, n))
    const ids = devices.map(({ device }) => device)
    const plan: ObedientPlan = {
      host: castor.host,
      port: castor.mqttPort,
      devices: devices.map((device) => ({ ...device, prefix: `castor/v1/${TENANT}/${device.device}/` })),
    }
    child.send(plan)
    await answerOf<ObedientReport>(child, 'obedient devices')
    await quiet(castor.sql, QUIET_MS, bench.say)
    const floor = await signalFloor(bench)
    bench.figure('signalsPerSecondFloor', floor)
    const perSecond = Math.min(PER_SECOND, floor / SIGNALS_A_COMMAND)
    bench.figure('commandsOfferedPerSecond', perSecond)
    // The first ones are slow: their code is new to every process.
    await ask(bench, ids, perSecond, bench.seconds(10))
    await quiet(castor.sql, QUIET_MS, bench.say)
    const eventsFrom = await historyEvents(castor, ['c'])
    const cpuFrom = cpuSeconds(castor.pids())
    const { latencies, failures } = await ask(bench, ids, perSecond, bench.seconds(30))
    await quiet(castor.sql, QUIET_MS, bench.say)
    const cpuTo = cpuSeconds(castor.pids())
    const events = (await historyEvents(castor, ['c'])) - eventsFrom
    const asked = latencies.length + failures.length
    if (failures.length > 0) bench.say(`commands: ${failures.length} failed, one with ${failures[0]}`)
    bench.figure('commandP50Ms', percentile(latencies, 50))
    bench.figure('commandP99Ms', percentile(latencies, 99))
    bench.figure('commandsFailed', failures.length)
    bench.figure('temporalEventsPerCommand', events / asked)
    bench.figure('commandCpuMs', perDecision(cpuFrom, cpuTo, asked))
  } finally {
    await endOf(child)
  }
}

/** Signals a second that a Temporal of its own brings to their end, each with one local activity. */
export async function signalFloor(bench: Bench): Promise<number> {
  const seconds = bench.seconds(FLOOR_SECONDS)
  const { perSecond } = await runJob<{ seconds: number }, SignalFloorReport>('signal-floor.ts', { seconds }, seconds * 1000 + 120_000)
  return perSecond
}

async function ask(
  bench: Bench,
  devices: string[],
  perSecond: number,
  seconds: number,
): Promise<{ latencies: number[]; failures: string[] }> {
  const castor = await bench.castor('small')
  const free: HttpClient[] = []
  const latencies: number[] = []
  const failures: string[] = []
  const running: Array<Promise<void>> = []
  const from = performance.now()
  for (let n = 0; n < perSecond * seconds; n++) {
    const wait = from + (n * 1000) / perSecond - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    running.push(one(devices[n % devices.length]!))
  }
  await Promise.all(running)
  for (const http of free) http.close()
  return { latencies, failures }

  async function one(device: string): Promise<void> {
    const http = free.pop() ?? new HttpClient(castor.host, castor.httpPort, castor.adminKey)
    const at = performance.now()
    try {
      const { status, body } = await http.post(`/v1/twins/${device}/commands`, { name: 'identify' }, 'Prefer: wait=20\r\n')
      if (status !== 200 || JSON.parse(body.toString()).status !== 'succeeded')
        throw new Error(`${status} ${body.toString('utf8', 0, 300)}`)
      latencies.push(performance.now() - at)
    } catch (error) {
      failures.push((error as Error).message)
    } finally {
      free.push(http)
    }
  }
}
