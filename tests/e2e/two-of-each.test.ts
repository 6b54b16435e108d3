/** Two bridges and two processors, started alone, on one Postgres and one Temporal: one of each is killed under load. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Load, startLoad } from '../chaos/load.ts'
import { decided } from '../chaos/settled.ts'
import { verify } from '../chaos/verify.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { restClient } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { type TestDatabase, testDatabase } from '../support/postgres.ts'
import { startProcess, type TestProcess } from '../support/process.ts'
import { testTemporal } from '../support/temporal.ts'
import { until } from '../support/wait.ts'

const KEY = 'two-of-each-admin-key'
const DEVICES = 24

let database: TestDatabase
let folder: string
let processes: Record<string, TestProcess> = {}
let balancers: { mqtt: Balancer; http: Balancer }
let api: string
let load: Load

beforeAll(async () => {
  database = await testDatabase()
  const temporal = await testTemporal()
  folder = await mkdtemp(join(tmpdir(), 'castor-two-'))
  const start = async (name: string, ports: Record<string, number> = {}) => {
    const health = await freePort()
    const process = startProcess([name], {
      DATABASE_URL: database.url,
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      CASTOR_DATA_DIR: folder,
      CASTOR_ADMIN_KEY: KEY,
      CASTOR_HEALTH_PORT: String(health),
      ...Object.fromEntries(Object.entries(ports).map(([variable, port]) => [variable, String(port)])),
    })
    return { process, ready: () => until(() => isReady(process, health), `${name} is ready\n${process.output()}`, 60_000) }
  }
  const [http, mqtt1, mqtt2, device1, device2] = await Promise.all(Array.from({ length: 5 }, freePort))
  const started = {
    api: await start('api', { CASTOR_HTTP_PORT: http! }),
    worker: await start('worker'),
    bridge1: await start('bridge', { CASTOR_MQTT_PORT: mqtt1!, CASTOR_DEVICE_HTTP_PORT: device1! }),
    bridge2: await start('bridge', { CASTOR_MQTT_PORT: mqtt2!, CASTOR_DEVICE_HTTP_PORT: device2! }),
    processor1: await start('processor'),
    processor2: await start('processor'),
  }
  processes = Object.fromEntries(Object.entries(started).map(([name, { process }]) => [name, process]))
  await Promise.all(Object.values(started).map(({ ready }) => ready()))
  api = `http://127.0.0.1:${http}`
  balancers = { mqtt: await startBalancer([mqtt1!, mqtt2!]), http: await startBalancer([device1!, device2!]) }
})

afterAll(async () => {
  await load?.stop()
  await Promise.all(Object.values(processes).map((process) => process.kill()))
  await balancers?.mqtt.close()
  await balancers?.http.close()
  await database?.drop()
  await rm(folder, { recursive: true, force: true })
})

test('one bridge and one processor are killed: their work is taken over, nothing is lost and nothing counted twice', {
  timeout: 120_000,
}, async () => {
  const target = {
    api,
    key: KEY,
    mqttUrl: `mqtt://127.0.0.1:${balancers.mqtt.port}`,
    deviceHttp: `http://127.0.0.1:${balancers.http.port}`,
    dataDir: folder,
  }
  load = await startLoad(target, { devices: DEVICES, intervalMs: 250, seed: 'two of each', mischief: true })
  const { fleet } = load
  await until(() => fleet.figures.online === DEVICES && fleet.figures.acknowledged > 200, 'the fleet is at work')
  await until(async () => (await owners()).size === 2, 'both processors have lanes')
  const before = await owners()

  await processes.bridge1!.kill()
  const acknowledged = fleet.figures.acknowledged
  await until(
    () => fleet.figures.online === DEVICES && fleet.figures.acknowledged > acknowledged + 200,
    'the other bridge serves all',
    60_000,
  )

  await processes.processor1!.kill()
  await until(async () => isTakenOver(before, await owners()), 'the other processor owns all lanes', 30_000)

  await load.calm(60_000)
  await load.quiet(30_000)
  await decided(database.sql, 60_000)
  const rest = restClient(api, KEY)
  const twin = async (device: string) => (await rest('GET', `/v1/twins/${device}`)).body
  const { findings, acknowledged: count } = await verify({
    sql: database.sql,
    tenant: 'demo',
    devices: fleet.ids,
    ledger: load.ledger,
    twin,
  })
  expect(findings.lines()).toEqual([])
  expect(count).toBeGreaterThan(400)
})

test('the bridge and the processor that are left stop in order when asked', async () => {
  await load.stop()
  expect(await processes.bridge2!.stop()).toBe(0)
  expect(await processes.processor2!.stop()).toBe(0)
})

/** Owner → how many lanes. */
async function owners(): Promise<Map<string, number>> {
  const rows = await database.sql<{ owner: string; lanes: number }[]>`
    select owner, count(*)::int as lanes from lanes where owner is not null and lease_until > now() group by owner`
  return new Map(rows.map(({ owner, lanes }) => [owner, lanes]))
}

function isTakenOver(before: Map<string, number>, now: Map<string, number>): boolean {
  return now.size === 1 && before.has([...now.keys()][0]!) && [...now.values()][0] === 16
}

async function isReady(process: TestProcess, port: number): Promise<boolean> {
  if (process.exit) throw new Error(`It ended: ${JSON.stringify(process.exit)}\n${process.output()}`)
  return (await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok
}
