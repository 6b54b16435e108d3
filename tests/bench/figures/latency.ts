/** Figure 3: from publish until REST shows it, and until the twin has decided, while half of the sustained rate goes on beside. */
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import { runJob } from '../children.ts'
import { connectionOf, type Fleet } from '../fleet.ts'
import { workedOff } from '../lag.ts'
import type { ProbeJob, ProbeReport } from '../probe.ts'
import { roughRate } from './ingest.ts'

const PROBES = 4

export async function latency(bench: Bench): Promise<void> {
  const half = (await roughRate(bench)) / 2
  const castor = await bench.castor('small')
  const { fleet, generator: probes } = await bench.fleet('small', 'probe', PROBES * 2)
  await probes.stop() // its devices are the probes' now
  const { generator } = await bench.fleet('small', 'b', 1000)
  await workedOff(castor.sql, 60_000, bench.say)
  generator.pace(half)
  await generator.measure(bench.seconds(5))
  const rest = await probe(castor, fleet, 0, 'value', bench.seconds(25))
  const decided = await probe(castor, fleet, PROBES, 'decision', bench.seconds(25))
  generator.pace(0)
  bench.say(
    `publish to REST: ${JSON.stringify(rest)}; publish to decided: ${JSON.stringify(decided)}; beside ${Math.round(half)} messages/s`,
  )
  bench.figure('publishToRestP50Ms', rest.p50Ms)
  bench.figure('publishToRestP99Ms', rest.p99Ms)
  bench.figure('publishToDecidedP50Ms', decided.p50Ms)
  bench.figure('publishToDecidedP99Ms', decided.p99Ms)
  bench.figure('publishUnseen', rest.unseen + decided.unseen)
}

function probe(castor: Castor, fleet: Fleet, from: number, until: ProbeJob['until'], seconds: number): Promise<ProbeReport> {
  const job: ProbeJob = {
    mqtt: { host: castor.host, port: castor.mqttPort },
    http: { host: castor.host, port: castor.httpPort, key: castor.adminKey },
    devices: Array.from({ length: PROBES }, (_, i) => connectionOf(fleet, from + i)),
    until,
    seconds,
  }
  return runJob('probe.ts', job, seconds * 1000 + 60_000)
}
