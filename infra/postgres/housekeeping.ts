/**
 * Housekeeping: retention each minute, fleet metrics each half minute. Every processor runs it, one at a time does the work: the one that
 * holds the advisory lock, on a connection that is kept for it. When it dies, its connection ends, and another takes over.
 */
import { statfs } from 'node:fs/promises'
import { metrics } from '@opentelemetry/api'
import type { Logger } from 'pino'
import type { ConnectOptions, Sql } from './connect.ts'
import { type Fleet, readFleet } from './fleet.ts'
import { createLeadership } from './leadership.ts'
import { limitsFor, type RetentionLimits, retain } from './retention.ts'

/** For the pool that housekeeping has to itself: one connection holds the lock, one works. It gives way to others: short waits for locks. */
export const HOUSEKEEPING_CONNECTIONS: ConnectOptions = {
  max: 2,
  name: 'housekeeping',
  statementTimeoutMs: 60_000,
  transactionTimeoutMs: 60_000,
  lockTimeoutMs: 2_000,
}

/** Any number that nobody else locks. */
const HOUSEKEEPING_LOCK = 7_204_811_003
const FLEET_MS = 30_000
const RETENTION_MS = 60_000
/** Counting the fleet takes at most this share of the time, however large it grows. */
const FLEET_SHARE = 0.01

export interface HousekeepingOptions {
  /** A pool of its own, made with HOUSEKEEPING_CONNECTIONS. */
  sql: Sql
  log: Logger
  /** Epoch ms. */
  now?: () => number
  /** Instead of a share of the disk that Postgres is on. */
  limits?: RetentionLimits
  fleetEveryMs?: number
  retentionEveryMs?: number
}

export interface Housekeeping {
  /** Ends within the statement under way. */
  stop(): Promise<void>
}

export function startHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { sql, log, now = Date.now, fleetEveryMs = FLEET_MS, retentionEveryMs = RETENTION_MS } = options
  const leader = createLeadership(sql, HOUSEKEEPING_LOCK)
  const gauges = fleetGauges()
  const due = { fleet: 0, retention: now() + Math.min(5_000, retentionEveryMs) }
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let running = round()

  async function round(): Promise<void> {
    try {
      if (await leader.lead()) await work()
      else gauges.show(undefined)
    } catch (error) {
      gauges.show(undefined)
      log.warn({ err: error }, 'Housekeeping failed and is tried again')
    }
    if (stopped) return
    timer = setTimeout(() => {
      running = round()
    }, Math.min(fleetEveryMs, retentionEveryMs) / 2)
  }

  async function work(): Promise<void> {
    if (now() >= due.fleet) {
      const started = performance.now()
      gauges.show(await readFleet(sql, now()))
      due.fleet = now() + Math.max(fleetEveryMs, (performance.now() - started) / FLEET_SHARE)
    }
    if (now() >= due.retention && !stopped) {
      await retain({ sql, log, limits: options.limits ?? limitsFor(await diskBytes(sql)), now: now() })
      due.retention = now() + retentionEveryMs
    }
  }

  return {
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await running
      gauges.stop()
      await leader.resign()
    },
  }
}

/** Only who counts shows the numbers: else a sum over processors would count twice. */
function fleetGauges() {
  const meter = metrics.getMeter('castor')
  let fleet: Fleet | undefined
  const shown: Array<[name: string, description: string, value: (fleet: Fleet) => number]> = [
    ['castor_devices_registered', 'Registered devices', ({ registered }) => registered],
    ['castor_devices_online', 'Devices that are online by decision of their twins', ({ online }) => online],
    ['castor_devices_online_ratio', 'Devices online, of those registered', ({ online, registered }) => ratio(online, registered)],
    [
      'castor_devices_inactive_ratio',
      'Registered devices not seen for 24 hours',
      ({ inactive, registered }) => ratio(inactive, registered),
    ],
  ]
  const removals = shown.map(([name, description, value]) => {
    const gauge = meter.createObservableGauge(name, { description })
    const observe: Parameters<typeof gauge.addCallback>[0] = (result) => {
      if (fleet !== undefined) result.observe(value(fleet))
    }
    gauge.addCallback(observe)
    return () => gauge.removeCallback(observe)
  })
  return {
    show: (next: Fleet | undefined) => {
      fleet = next
    },
    stop: () => {
      for (const remove of removals) remove()
    },
  }
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}

/** Of the disk that Postgres writes to, where that is a disk of this machine. */
async function diskBytes(sql: Sql): Promise<number | undefined> {
  try {
    const [row] = await sql<[{ folder: string; local: boolean }]>`
      select current_setting('data_directory') as folder,
        coalesce(inet_server_addr() << '127.0.0.0/8' or inet_server_addr() = '::1', true) as local`
    if (!row.local) return undefined
    const { blocks, bsize } = await statfs(row.folder)
    return blocks * bsize
  } catch {
    return undefined
  }
}
