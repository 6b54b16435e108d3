/**
 * Devices of the bench, registered straight in Postgres: a hundred thousand over REST would take minutes, and registering is a figure
 * of its own (devicesCreatedPerSecond). The rows are those that REST would write.
 */
import { createHash } from 'node:crypto'
import type { Sql } from '../../infra/postgres/connect.ts'
import type { Castor } from './castor.ts'
import type { GeneratorPlan } from './generator.ts'
import type { Payload } from './packets.ts'

export const TENANT = 'demo'
export const MODEL = 'thermostat'
/** Devices a site: what a filtered search finds. */
export const DEVICES_A_SITE = 10

export interface Fleet {
  prefix: string
  count: number
}

export async function register(castor: Pick<Castor, 'sql'>, prefix: string, count: number): Promise<Fleet> {
  await insertDevices(castor.sql, prefix, count)
  return { prefix, count }
}

export function planFor(
  castor: Pick<Castor, 'host' | 'mqttPort'>,
  fleet: Fleet,
  payload: Payload,
  more: Partial<GeneratorPlan> = {},
): GeneratorPlan {
  const devices = Array.from({ length: fleet.count }, (_, n) => connectionOf(fleet, n))
  return { host: castor.host, port: castor.mqttPort, devices, payload, window: 1, inFlight: fleet.count, ...more }
}

export function connectionOf(fleet: Fleet, n: number) {
  const device = `${fleet.prefix}${n}`
  return {
    device,
    clientId: device,
    username: `${TENANT}/${device}`,
    password: tokenOf(device),
    topic: `castor/v1/${TENANT}/${device}/telemetry`,
  }
}

/** Nothing for so long means that something is broken. */
const STALLED_MS = 60_000

/** Waits until each twin of the fleet has decided something: its workflow runs. Returns the seconds that took. */
export async function twinsStarted(castor: Castor, fleet: Fleet, timeoutMs: number, say: (line: string) => void): Promise<number> {
  const from = performance.now()
  let [best, bestAt, saidAt] = [fleet.count, from, from]
  for (;;) {
    const waiting = await undecided(castor.sql, fleet)
    const now = performance.now()
    if (waiting === 0) return (now - from) / 1000
    if (waiting < best) [best, bestAt] = [waiting, now]
    const stuck = now - from > timeoutMs || now - bestAt > STALLED_MS
    if (stuck) throw new Error(`${waiting} of ${fleet.count} twins have not decided anything after ${Math.round((now - from) / 1000)} s`)
    if (now - saidAt > 5000) {
      say(`  ${fleet.count - waiting} of ${fleet.count} twins run`)
      saidAt = now
    }
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

async function undecided(sql: Sql, { prefix }: Fleet): Promise<number> {
  const [row] = await sql<Array<{ waiting: number }>>`
    select count(*) as waiting from devices where tenant = ${TENANT} and device like ${`${prefix}%`} and revision = 0`
  return row!.waiting
}

function tokenOf(device: string): string {
  return createHash('sha256').update(`bench ${device}`).digest('base64url')
}

async function insertDevices(sql: Sql, prefix: string, count: number): Promise<void> {
  const CHUNK = 5000
  for (let from = 0; from < count; from += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, count - from) }, (_, i) => {
      const device = `${prefix}${from + i}`
      const site = `site-${Math.floor((from + i) / DEVICES_A_SITE)}`
      return { device, attributes: { site, floor: (from + i) % 7 }, token: createHash('sha256').update(tokenOf(device)).digest('hex') }
    })
    await sql`
      insert into devices (tenant, device, model, model_version, attributes, token_hash)
      select ${TENANT}, r.device, ${MODEL}, ${'1.0.0'}, r.attributes, decode(r.token, 'hex')
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as r (device text, attributes jsonb, token text)`
  }
  await sql`analyze devices`
}
