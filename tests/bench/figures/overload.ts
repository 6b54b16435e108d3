/**
 * Figure 1, far beyond: ten times the sustained rate is offered for a minute, in an open loop over 1,000 connections. What they cannot get
 * rid of is pressed back (late PUBACKs); memory stays bounded, nothing acknowledged is lost, and the recovery is timed.
 */
import type { Bench } from '../bench.ts'
import { Generator } from '../children.ts'
import { planFor } from '../fleet.ts'
import { workedOff } from '../lag.ts'
import { memoryMb } from '../processes.ts'
import { roughRate } from './ingest.ts'

const TIMES = 10
/** In flight a connection: a device that does not wait for its answers. */
const WINDOW = 20
const VALUES_A_MESSAGE = 3
const RECOVERY_MS = 300_000

export async function overload(bench: Bench): Promise<void> {
  const offered = TIMES * (await roughRate(bench))
  const castor = await bench.castor('small')
  const { fleet, generator: usual } = await bench.fleet('small', 'b', 1000)
  await usual.stop()
  await workedOff(castor.sql, RECOVERY_MS, bench.say)
  const before = await storedValues()
  const generator = await Generator.start(planFor(castor, fleet, 'three', { window: WINDOW, inFlight: WINDOW * fleet.count }))
  const peaks: Record<string, number> = {}
  generator.pace(offered)
  const { rate, p99Ms } = await generator.measure(bench.seconds(60), async () => {
    for (const [name, mb] of Object.entries(memoryMb(castor.pids()))) peaks[name] = Math.max(peaks[name] ?? 0, mb)
  })
  generator.pace(0)
  const from = performance.now()
  const { acknowledged, missed, closed } = await allAnswered(generator)
  await workedOff(castor.sql, RECOVERY_MS, bench.say)
  const recovery = (performance.now() - from) / 1000
  bench.say(`overload: ${Math.round(offered)}/s offered, ${Math.round(rate)}/s accepted, ${missed} not sent, ${closed} connections closed`)
  bench.figure('overloadOfferedPerSecond', offered)
  bench.figure('overloadAcceptedPerSecond', rate)
  bench.figure('overloadPubackP99Ms', p99Ms)
  bench.figure('overloadConnectionsClosed', closed)
  bench.figure('overloadRecoverySeconds', recovery)
  bench.figure('overloadValuesMissing', VALUES_A_MESSAGE * acknowledged - ((await storedValues()) - before))
  bench.figure('memoryMbInOverload', peaks)
  await generator.stop()
  await bench.reconnected(castor, fleet, 'three')

  async function storedValues(): Promise<number> {
    return (await castor.sql<Array<{ values: number }>>`select count(*) as values from telemetry`)[0]!.values
  }
}

/** What is in flight when the minute ends is still answered. */
async function allAnswered(generator: Generator) {
  for (;;) {
    const report = await generator.report()
    if (report.acknowledged >= report.sent || report.closed > 0) return report
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
