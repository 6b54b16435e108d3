/**
 * The live stream: 1,000 streams on one api, each with a filter that finds the ten devices of its site, while these devices speak; how long after
 * its PUBLISH a reading, and a decision made of one, is read by who follows.
 */
import type { Bench } from '../bench.ts'
import { answerOf, endOf, forkBeside } from '../children.ts'
import { DEVICES_A_SITE } from '../fleet.ts'
import { quiet } from '../lag.ts'
import type { ListenersPlan, ListenersReport } from '../listeners.ts'

const STREAMS = 1000
const READINGS_PER_SECOND = 500
const DECISIONS_PER_SECOND = 10
const DECIDING = 50
const QUIET_MS = 180_000

export async function live(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  const talking = await bench.fleet('small', 'b', 1000)
  const deciding = await bench.fleet('small', 'live', DECIDING, 'crossing')
  await quiet(castor.sql, QUIET_MS, bench.say)
  const child = forkBeside('listeners.ts')
  try {
    const sites = talking.fleet.count / DEVICES_A_SITE
    const queries = Array.from({ length: STREAMS }, (_, n) => {
      const filter = `attributes.site = 'site-${n % sites}'`
      return `types=reading,decision&filter=${encodeURIComponent(filter)}`
    })
    const plan: ListenersPlan = { host: castor.host, port: castor.httpPort, key: castor.adminKey, queries }
    child.send(plan)
    const opened = await answerOf<ListenersReport>(child, 'listeners')
    bench.say(`${opened.open} streams are open`)
    talking.generator.pace(READINGS_PER_SECOND)
    deciding.generator.pace(DECISIONS_PER_SECOND)
    await talking.generator.measure(bench.seconds(10))
    child.send('mark')
    await talking.generator.measure(bench.seconds(30))
    child.send('report')
    const { open, ended, gaps, ...heard } = await answerOf<ListenersReport>(child, 'listeners')
    bench.say(`live: ${JSON.stringify(heard)}; ${open} open, ${ended} ended, ${gaps} gaps`)
    bench.figure('streamReadingP50Ms', heard.readingP50Ms)
    bench.figure('streamReadingP99Ms', heard.readingP99Ms)
    bench.figure('streamDecisionP50Ms', heard.decisionP50Ms)
    bench.figure('streamDecisionP99Ms', heard.decisionP99Ms)
    bench.figure('streamEventsPerSecond', (heard.readings + heard.decisions) / bench.seconds(30))
    bench.figure('streamsEndedOrWithGap', ended + gaps)
  } finally {
    talking.generator.pace(0)
    deciding.generator.pace(0)
    await endOf(child)
  }
}
