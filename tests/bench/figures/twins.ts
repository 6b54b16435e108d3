/** Figure 4: 10,000 twins: how long they take to start, and how many decide a second when decisions are spread evenly over all. */
import type { Bench, RunningFleet } from '../bench.ts'
import { twinsStarted } from '../fleet.ts'
import { cpuSeconds, memoryMb } from '../processes.ts'

export const TWINS = 10_000
export const LARGE_FLEET = 't'
/** More than can be decided, so that the pace is Temporal's. */
const OFFERED_PER_SECOND = 500
const START_MS = 900_000

/** The 10,000 twins of the large Castor, started and measured once. */
export async function largeFleet(bench: Bench): Promise<RunningFleet> {
  const castor = await bench.castor('large')
  const known = bench.running(LARGE_FLEET)
  if (known) return known
  const count = bench.count(TWINS)
  const made = await bench.connectedFleet(castor, LARGE_FLEET, count, 'wide', 1000)
  const cpuFrom = cpuSeconds(castor.pids())
  made.generator.pace(null, count)
  const seconds = await twinsStarted(castor, made.fleet, START_MS, bench.say)
  made.generator.pace(0)
  bench.figure('twinStartCpuMs', perDecision(cpuFrom, cpuSeconds(castor.pids()), count))
  bench.figure('twinStartSeconds10k', seconds)
  bench.figure('twinStartsPerSecond', count / seconds)
  return made
}

export async function decisions(bench: Bench): Promise<void> {
  const castor = await bench.castor('large')
  const { fleet, generator } = await largeFleet(bench)
  await generator.stop()
  const crossing = await bench.reconnected(castor, fleet, 'crossing')
  const decided = async () => {
    const [row] = await castor.sql<Array<{ at: number; decisions: number }>>`
      select extract(epoch from clock_timestamp())::float8 as at, sum(revision)::bigint as decisions from devices`
    return row!
  }
  crossing.pace(OFFERED_PER_SECOND)
  await crossing.measure(bench.seconds(20))
  const [from, cpuFrom] = [await decided(), cpuSeconds(castor.pids())]
  await crossing.measure(bench.seconds(30))
  const [to, cpuTo] = [await decided(), cpuSeconds(castor.pids())]
  crossing.pace(0)
  bench.figure('decisionCpuMs', perDecision(cpuFrom, cpuTo, to.decisions - from.decisions))
  bench.figure('decisionsPerSecond10k', (to.decisions - from.decisions) / (to.at - from.at))
  bench.figure('memoryMbWith10kTwins', memoryMb(castor.pids()))
}

/** CPU milliseconds of each process, by decisions written or commands asked meanwhile. */
export function perDecision(from: Record<string, number>, to: Record<string, number>, decided: number): Record<string, number> {
  const millis = (name: string) => Number((((to[name]! - (from[name] ?? 0)) * 1000) / Math.max(1, decided)).toFixed(2))
  return Object.fromEntries(Object.keys(to).map((name) => [name, millis(name)]))
}
