/** Figure 2, temporalEventsPerIdleTwinHour: 200 devices that stay connected and say nothing for ten minutes, while other figures run. */
import type { Bench } from '../bench.ts'
import { decided } from '../lag.ts'
import { historyEvents } from '../temporal-events.ts'

const TWINS = 200
const PREFIX = 'idle'
const SECONDS = 600
/** What their first message set off is over: routine news waits for its window, and for its turn among all twins. */
const SETTLED_MS = 300_000

let begun: { at: number; events: number } | undefined
let settling: Promise<void> | undefined

/** At the begin; does not wait. */
export async function idleBegins(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  await bench.fleet('small', PREFIX, TWINS)
  settling = decided(castor.sql, PREFIX, SETTLED_MS, bench.say).then(async () => {
    begun = { events: await historyEvents(castor, [PREFIX]), at: performance.now() }
  })
  settling.catch(() => {}) // told at the end
}

/** At the end; waits for what is missing of the ten minutes. */
export async function idleEnds(bench: Bench): Promise<void> {
  await settling
  if (!begun) throw new Error('nobody began to idle')
  const castor = await bench.castor('small')
  const missing = bench.seconds(SECONDS) * 1000 - (performance.now() - begun.at)
  if (missing > 0) {
    bench.say(`the idle twins have to idle for ${Math.round(missing / 1000)} s more`)
    await new Promise((resolve) => setTimeout(resolve, missing))
  }
  const events = (await historyEvents(castor, [PREFIX])) - begun.events
  const hours = (performance.now() - begun.at) / 3_600_000
  bench.figure('temporalEventsPerIdleTwinHour', events / TWINS / hours)
}
