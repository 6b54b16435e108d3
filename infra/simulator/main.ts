/** `npm run simulate`: a fleet of simulated devices against a running Castor. */
import { join } from 'node:path'
import { type Config, ConfigError, readConfig } from '../config.ts'
import { adminKeyOf, reachable } from '../running-castor.ts'
import { createFlash } from './firmware/flash.ts'
import { createFleet } from './fleet.ts'
import { parseArguments } from './options.ts'
import { progressLine, showProgress, summary } from './progress.ts'
import { createRegistrar, RegistrationError } from './registration.ts'
import { openReportFile } from './report.ts'

const KEEPALIVE_SECONDS = 30
const SETTLE_MS = 10_000
const TENANT = 'demo'

try {
  await simulate()
} catch (error) {
  if (!(error instanceof RegistrationError || error instanceof ConfigError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

async function simulate(): Promise<void> {
  const options = parseArguments(process.argv)
  const config = readConfig()
  const urls = urlsOf(config)
  const interrupted = interruption()
  const registrar = createRegistrar({ ...urls, key: adminKeyOf(config), tokensFile: join(config.dataDir, 'simulator-tokens.json') })
  const report = options.report === undefined ? undefined : openReportFile(options.report)
  const fleet = createFleet({
    ...options,
    ...urls,
    keepaliveSeconds: KEEPALIVE_SECONDS,
    tenant: TENANT,
    registrar,
    flash: createFlash(join(config.dataDir, 'simulator-firmware.json')),
    ...(report && { acknowledged: report.add }),
  })

  let phase = () => `registering ${fleet.registered}/${fleet.ids.length}`
  const progress = showProgress(process.stdout, () => phase())
  try {
    await fleet.register(interrupted)
    if (interrupted.aborted) return
    progress.say(`${fleet.ids.length} devices registered (${fleet.ids[0]} and so on), each measures every ${options.intervalMs / 1000} s`)
    const startedAt = Date.now()
    phase = () => progressLine(fleet, Date.now() - startedAt, options.durationMs)
    fleet.start()
    await passed(options.durationMs, interrupted)
    const elapsed = Date.now() - startedAt
    phase = () => `finishing: ${fleet.unacknowledged()} messages wait for their acknowledgement`
    await fleet.settle(SETTLE_MS)
    const online = fleet.figures.online
    await fleet.stop(true)
    progress.stop()
    console.log(summary(fleet, elapsed, online))
  } finally {
    progress.stop()
    report?.close()
  }
}

function urlsOf(config: Config): { restUrl: string; mqttUrl: string; deviceHttpUrl: string } {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  return {
    restUrl: reachable(config.publicUrl),
    mqttUrl: reachable(`mqtt://${host}:${config.mqttPort}`),
    deviceHttpUrl: reachable(config.devicePublicUrl),
  }
}

/** Aborted at SIGINT or SIGTERM. npm and a terminal may each send one: repeats change nothing. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => controller.abort())
  return controller.signal
}

/** setTimeout takes at most 24 days, and would fire at once for more. */
function passed(ms: number, interrupted: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = Number.isFinite(ms) ? setTimeout(resolve, Math.min(ms, 2 ** 31 - 1)) : undefined
    interrupted.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
