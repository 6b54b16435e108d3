/** Each process of a whole Castor is killed once with SIGKILL, under load. `npm run chaos` is the long form. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRandom } from '../../infra/simulator/random.ts'
import { killOne } from '../chaos/kills.ts'
import { type Load, startLoad } from '../chaos/load.ts'
import { decided } from '../chaos/settled.ts'
import { createFindings, incarnationsOf, verify } from '../chaos/verify.ts'
import { verifyOnline } from '../chaos/verify-twins.ts'
import { CASTOR_PROCESSES, startCastor, type TestCastor } from '../support/castor.ts'
import { until } from '../support/wait.ts'

const DEVICES = 20

let castor: TestCastor
let load: Load

beforeAll(async () => {
  castor = await startCastor()
})

afterAll(async () => {
  await load?.stop()
  await castor?.stop()
})

test('whichever process is killed, nothing acknowledged is lost or counted twice, and nobody is wrongly offline', {
  timeout: 300_000,
}, async () => {
  load = await startLoad(castor, { devices: DEVICES, intervalMs: 250, seed: 'kill', mischief: true })
  const { fleet, ledger } = load
  await until(() => fleet.figures.online === DEVICES && fleet.figures.acknowledged > 100, 'the fleet is at work')

  for (const name of CASTOR_PROCESSES) {
    const before = fleet.figures.acknowledged
    expect(await killOne(castor, name, createRandom(name), () => {}), `${name} runs`).toBe(true)
    await until(() => fleet.figures.acknowledged > before + 100, `messages are acknowledged after ${name} was killed`, 90_000)
  }

  await castor.ready()
  await load.calm(60_000)
  const twin = async (device: string) => (await castor.rest('GET', `/v1/twins/${device}`)).body
  const incarnations = await incarnationsOf(castor.sql, 'demo', fleet.ids)
  await until(
    async () => {
      const found = createFindings()
      await verifyOnline({ twin, incarnations }, found)
      return found.count === 0
    },
    'every device is shown online',
    60_000,
  )

  await load.quiet(60_000)
  await decided(castor.sql, 60_000)
  const { findings } = await verify({ sql: castor.sql, tenant: 'demo', devices: fleet.ids, ledger, twin })
  expect(findings.lines()).toEqual([])
})
