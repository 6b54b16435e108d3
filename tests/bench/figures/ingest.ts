/**
 * Figures 1, 2 and 7: sustained messages a second from 200 and from 1,000 connections beside the floor, Temporal's history events for
 * them, and the memory of the processes meanwhile.
 */
import type { Bench } from '../bench.ts'
import { quiet } from '../lag.ts'
import { memoryMb } from '../processes.ts'
import { median } from '../statistics.ts'
import { type Sustained, sustained } from '../sustained.ts'
import { historyEvents } from '../temporal-events.ts'

const ROUNDS = 3
const CONNECTIONS = [200, 1000] as const
const QUIET_MS = 180_000

export async function ingest(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  if (!bench.figures.memoryMbAtRest) bench.figure('memoryMbAtRest', memoryMb(castor.pids()))
  const fleets = { 200: await bench.fleet('small', 'a', 200), 1000: await bench.fleet('small', 'b', 1000) }
  const floors: Record<number, number[]> = { 200: [], 1000: [] }
  const runs: Record<number, Sustained[]> = { 200: [], 1000: [] }
  await quiet(castor.sql, QUIET_MS, bench.say)
  const eventsFrom = await historyEvents(castor, ['a', 'b'])
  for (let round = 0; round < bench.count(ROUNDS); round++) {
    if (round > 0) await quiet(castor.sql, QUIET_MS, bench.say)
    for (const connections of CONNECTIONS) floors[connections]!.push(await bench.floorRate(connections))
    for (const connections of CONNECTIONS) {
      const options = { warmUpSeconds: bench.seconds(8), seconds: bench.seconds(20), perSecond: 10_000 }
      const run = await sustained(castor, fleets[connections].generator, options)
      runs[connections]!.push(run)
      bench.say(`castor, ${connections} connections: ${JSON.stringify(run)}`)
      if (connections === 1000) bench.figures.memoryMbInIngest = memoryMb(castor.pids())
    }
  }
  await quiet(castor.sql, QUIET_MS, bench.say)
  const events = (await historyEvents(castor, ['a', 'b'])) - eventsFrom
  const reports = await Promise.all(CONNECTIONS.map((connections) => fleets[connections].generator.report()))
  const messages = reports.reduce((sum, report) => sum + report.acknowledged, 0) - CONNECTIONS.reduce((sum, n) => sum + n, 0)

  for (const connections of CONNECTIONS) {
    const pairs = runs[connections]!.map((run, round) => run.perSecond / floors[connections]![round]!)
    bench.figure(`ingestRatio${connections}`, median(pairs))
    bench.figure(`ingestPerSecond${connections}`, median(runs[connections]!.map((run) => run.perSecond)))
    bench.figure(`floorPerSecond${connections}`, median(floors[connections]!))
    bench.figure(`ingestPubackP99Ms${connections}`, median(runs[connections]!.map((run) => run.p99Ms)))
  }
  bench.figure('ingestCpuMicros1000', runs[1000]!.at(-1)!.cpuMicros)
  bench.figure('memoryMbInIngest', bench.figures.memoryMbInIngest as Record<string, number>)
  bench.figure('temporalEventsPer1000', (events / messages) * 1000)
}

/** For figures that lean on this one when they run alone: a short look. */
export async function roughRate(bench: Bench): Promise<number> {
  const known = bench.figures.ingestPerSecond1000
  if (typeof known === 'number') return known
  const castor = await bench.castor('small')
  const { generator } = await bench.fleet('small', 'b', 1000)
  const run = await sustained(castor, generator, { warmUpSeconds: bench.seconds(8), seconds: bench.seconds(10), perSecond: 10_000 })
  bench.figure('ingestPerSecond1000', run.perSecond)
  return run.perSecond
}
