/**
 * A bulk change over 10,000 twins: one wish for all of a model, of which 5 % sleep until the others are done, and 5 % refuse. From the request
 * until each that can has converged and each other has its reason.
 */

import type { Progress } from '../../../twin-models/core/pacing.ts'
import type { Bench } from '../bench.ts'
import { answerOf, endOf, forkBeside } from '../children.ts'
import { connectionOf, MODEL, TENANT } from '../fleet.ts'
import { HttpClient } from '../http.ts'
import { quiet } from '../lag.ts'
import type { ObedientPlan, ObedientReport } from '../obedient.ts'
import { largeFleet } from './twins.ts'

const ONE_IN = 20
const QUIET_MS = 300_000
const STALLED_MS = 120_000
const LOOK_MS = 500

export async function bulk(bench: Bench): Promise<void> {
  const castor = await bench.castor('large')
  const { fleet, generator } = await largeFleet(bench)
  await generator.stop() // its devices obey now
  const devices = Array.from({ length: fleet.count }, (_, n) => {
    const connection = connectionOf(fleet, n)
    return { ...connection, prefix: `castor/v1/${TENANT}/${connection.device}/`, refuses: n % ONE_IN === 1 }
  })
  const asleep = devices.filter((_, n) => n % ONE_IN === 0)
  const awake = devices.filter((_, n) => n % ONE_IN !== 0)
  const child = forkBeside('obedient.ts')
  const http = new HttpClient(castor.host, castor.httpPort, castor.adminKey)
  try {
    await connect(awake)
    await quiet(castor.sql, QUIET_MS, bench.say)
    const request = {
      ...{ filter: `model = '${MODEL}'`, wish: { targetTemperature: 18.5 } },
      ...{ perSecond: 1000, atOnce: 2000, errorLimit: { share: 1 } },
    }
    const from = performance.now()
    const { status, body } = await http.post('/v1/bulk-changes', request)
    if (status !== 201) throw new Error(`POST /v1/bulk-changes: ${status} ${body.toString('utf8', 0, 300)}`)
    const path = `/v1/bulk-changes/${JSON.parse(body.toString()).id}`
    const before = await ended(path, awake.length)
    const wokenAt = performance.now()
    await connect(asleep)
    const after = await ended(path, devices.length)
    const endedAt = performance.now()
    bench.figure('bulkConvergedSeconds', (wokenAt - from) / 1000)
    bench.figure('bulkSleepersSeconds', (endedAt - wokenAt) / 1000)
    bench.figure('bulkPerSecond', awake.length / ((wokenAt - from) / 1000))
    bench.figure('bulkDevices', { beforeWaking: before, after })
  } finally {
    http.close()
    await endOf(child)
  }

  async function connect(these: typeof devices): Promise<void> {
    const plan: ObedientPlan = { host: castor.host, port: castor.mqttPort, devices: these }
    child.send(plan)
    await answerOf<ObedientReport>(child, 'obedient devices', QUIET_MS)
  }

  /** Waits until so many devices have ended. */
  async function ended(path: string, most: number): Promise<Progress> {
    let [best, bestAt, saidAt] = [0, performance.now(), performance.now()]
    for (;;) {
      const { body } = await http.get(path)
      const counts = (JSON.parse(body.toString()) as { devices: Progress }).devices
      const done = counts.succeeded + counts.failed + counts.skipped
      const now = performance.now()
      if (done >= most) return counts
      if (done > best) [best, bestAt] = [done, now]
      if (now - bestAt > STALLED_MS) throw new Error(`${most - done} of ${most} devices have not ended: ${JSON.stringify(counts)}`)
      if (now - saidAt > 5000) {
        bench.say(`  ${done} of ${most} devices have ended`)
        saidAt = now
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }
}
