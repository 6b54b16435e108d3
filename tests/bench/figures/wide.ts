/**
 * Figure 1, ingestRatioWide: 10,000 devices whose documents have 20 properties, three in a message. Each device has a connection of its
 * own; a thousand messages are in flight over all. Its floor runs first, while there are no twins that disturb it.
 */
import type { Bench } from '../bench.ts'
import { workedOff } from '../lag.ts'
import { WIDE_PROPERTIES } from '../packets.ts'
import { median } from '../statistics.ts'
import { type Sustained, sustained } from '../sustained.ts'
import { LARGE_FLEET, largeFleet, TWINS } from './twins.ts'

const ROUNDS = 2
const IN_FLIGHT = 1000
const VALUES_A_MESSAGE = 3

export async function wideFloor(bench: Bench): Promise<void> {
  await bench.castor('large')
  if (bench.running(LARGE_FLEET)) throw new Error('the floor of the wide figure comes before its twins')
  const floors: number[] = []
  for (let round = 0; round < ROUNDS; round++) floors.push(await bench.floorRate(bench.count(TWINS), 'wide', IN_FLIGHT))
  bench.figure('floorPerSecondWide', median(floors))
}

export async function wide(bench: Bench): Promise<void> {
  const castor = await bench.castor('large')
  const { generator, fleet } = await largeFleet(bench)
  bench.say(`filling the documents with ${WIDE_PROPERTIES} properties`)
  const messages = fleet.count * Math.ceil(WIDE_PROPERTIES / VALUES_A_MESSAGE)
  const before = (await generator.report()).acknowledged
  generator.pace(15_000, messages)
  while ((await generator.report()).acknowledged < before + messages) await generator.measure(1)
  await workedOff(castor.sql, 120_000, bench.say)
  const runs: Sustained[] = []
  for (let round = 0; round < bench.count(ROUNDS); round++) {
    const run = await sustained(castor, generator, { warmUpSeconds: bench.seconds(8), seconds: bench.seconds(20), perSecond: 10_000 })
    bench.say(`castor, wide: ${JSON.stringify(run)}`)
    runs.push(run)
  }
  await workedOff(castor.sql, 120_000, bench.say)
  const perSecond = median(runs.map((run) => run.perSecond))
  bench.figure('ingestPerSecondWide', perSecond)
  bench.figure('ingestRatioWide', perSecond / (bench.figures.floorPerSecondWide as number))
  bench.figure('ingestCpuMicrosWide', runs.at(-1)!.cpuMicros)
}
