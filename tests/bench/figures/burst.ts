/** Figure 1, the burst: as much as 1,000 connections can offer for a minute, beside the floor; then how long until it is worked off. */
import type { Bench } from '../bench.ts'
import { quiet, unprocessed, workedOff } from '../lag.ts'
import { memoryMb } from '../processes.ts'

const RECOVERY_MS = 300_000

export async function burst(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  const { generator } = await bench.fleet('small', 'b', 1000)
  await quiet(castor.sql, 180_000, bench.say)
  const floor = await bench.floorRate(1000)
  generator.pace(null)
  const { rate, p99Ms, seconds } = await generator.measure(bench.seconds(60))
  generator.pace(0)
  const waiting = await unprocessed(castor.sql)
  const memory = memoryMb(castor.pids())
  bench.say(`burst: ${Math.round(rate)}/s accepted for ${Math.round(seconds)} s, ${waiting} wait`)
  const recovery = await workedOff(castor.sql, RECOVERY_MS, bench.say)
  bench.figure('burstAcceptedPerSecond', rate)
  bench.figure('burstAcceptedRatio', rate / floor)
  bench.figure('burstWaiting', waiting)
  bench.figure('burstRecoverySeconds', recovery)
  bench.figure('burstPubackP99Ms', p99Ms)
  bench.figure('memoryMbAfterBurst', memory)
}
