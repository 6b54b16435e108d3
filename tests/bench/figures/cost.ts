/**
 * Figure 4, costRatio100k: CPU seconds a message of all of Castor's processes, Postgres and Temporal included, with 100,000 registered
 * devices and with a thousand or so. The same thousand devices speak, at the same pace, half of the sustained rate.
 */
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import type { Generator } from '../children.ts'
import { register } from '../fleet.ts'
import { workedOff } from '../lag.ts'
import { cpuSeconds } from '../processes.ts'
import { median } from '../statistics.ts'
import { perMessage } from '../sustained.ts'
import { roughRate } from './ingest.ts'

const ROUNDS = 3
const REGISTERED = 100_000

export async function cost(bench: Bench): Promise<void> {
  const pace = (await roughRate(bench)) / 2
  const castor = await bench.castor('small')
  const { generator } = await bench.fleet('small', 'b', 1000)
  const few = await microsAMessage(bench, castor, generator, pace)
  bench.say(`registering ${REGISTERED} devices`)
  await register(castor, 'registered', REGISTERED - 1000)
  const many = await microsAMessage(bench, castor, generator, pace)
  bench.figure('cpuMicrosPerMessage1k', few)
  bench.figure('cpuMicrosPerMessage100k', many)
  bench.figure('costRatio100k', many / few)
}

async function microsAMessage(bench: Bench, castor: Castor, generator: Generator, pace: number): Promise<number> {
  const found: number[] = []
  generator.pace(pace)
  await generator.measure(bench.seconds(5))
  for (let round = 0; round < ROUNDS; round++) {
    const from = cpuSeconds(castor.pids())
    const { rate, seconds } = await generator.measure(bench.seconds(12))
    const byProcess = perMessage(from, cpuSeconds(castor.pids()), rate * seconds)
    bench.say(`CPU µs a message at ${Math.round(rate)}/s: ${JSON.stringify(byProcess)}`)
    found.push(Object.values(byProcess).reduce((sum, micros) => sum + micros, 0))
  }
  generator.pace(0)
  await workedOff(castor.sql, 60_000, bench.say)
  return median(found)
}
