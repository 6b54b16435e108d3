/** A simulated fleet as load on a test's Castor, with a ledger of all that was acknowledged. */
import { join } from 'node:path'
import { createFleet, type Fleet } from '../../infra/simulator/fleet.ts'
import { createRegistrar } from '../../infra/simulator/registration.ts'
import type { TestCastor } from '../support/castor.ts'
import { until } from '../support/wait.ts'
import { createLedger, type Ledger } from './ledger.ts'

export interface LoadOptions {
  devices: number
  intervalMs: number
  seed: string
  /** Duplicates, late messages, wrong clocks, garbage, cut connections. */
  mischief: boolean
  httpShare?: number
}

export interface Load {
  fleet: Fleet
  ledger: Ledger
  /** No more mischief; waits until every device is connected and its outbox empty but for what is being sent. */
  calm(timeoutMs: number): Promise<void>
  /** Measures no more, waits for the last acknowledgement, and closes the ledger. Devices stay connected. */
  quiet(timeoutMs: number): Promise<void>
  stop(): Promise<void>
}

/** Short, so that a bridge that stands still is noticed. */
const KEEPALIVE_SECONDS = 10
/** Pumps run and leak often in a short day: device events are wanted. */
const DAY_MS = 20 * 60_000

export type LoadTarget = Pick<TestCastor, 'mqttUrl' | 'deviceHttp' | 'api' | 'key' | 'dataDir'>

export async function startLoad(castor: LoadTarget, options: LoadOptions): Promise<Load> {
  const ledger = createLedger(join(castor.dataDir, 'acknowledged.ndjson'))
  const fleet = createFleet({
    devices: options.devices,
    intervalMs: options.intervalMs,
    prefix: 'sim-',
    seed: options.seed,
    httpShare: options.httpShare ?? 0.2,
    chaos: options.mischief,
    dayMs: DAY_MS,
    keepaliveSeconds: KEEPALIVE_SECONDS,
    tenant: 'demo',
    mqttUrl: castor.mqttUrl,
    deviceHttpUrl: castor.deviceHttp,
    registrar: createRegistrar({ restUrl: castor.api, key: castor.key, tokensFile: join(castor.dataDir, 'simulator-tokens.json') }),
    acknowledged: ledger.add,
  })
  await fleet.register()
  fleet.start()
  return {
    fleet,
    ledger,
    async calm(timeoutMs) {
      fleet.behave()
      const isCalm = () => fleet.figures.online === options.devices && fleet.unacknowledged() < options.devices
      await until(isCalm, `all devices online: ${fleet.figures.online}, ${fleet.unacknowledged()} messages wait`, timeoutMs)
    },
    async quiet(timeoutMs) {
      await fleet.settle(timeoutMs)
      ledger.close()
    },
    stop: () => fleet.stop(false),
  }
}
