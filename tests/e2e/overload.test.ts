/** What is under Castor stands still for a while: it presses back or goes on without, stays small, and recovers by itself. */
import { Client, Connection } from '@temporalio/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Load, startLoad } from '../chaos/load.ts'
import { decided } from '../chaos/settled.ts'
import { verify } from '../chaos/verify.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { watchMemory } from '../support/memory.ts'
import { childrenOf } from '../support/process.ts'
import { until } from '../support/wait.ts'

const DEVICES = 20
const MEMORY_LIMIT_MB = 600

let castor: TestCastor
let load: Load
let token: string

beforeAll(async () => {
  castor = await startCastor()
  token = await castor.register('extra')
  load = await startLoad(castor, { devices: DEVICES, intervalMs: 200, seed: 'overload', mischief: false })
  const { fleet } = load
  await until(() => fleet.figures.online === DEVICES && fleet.figures.acknowledged > 200, 'the fleet is at work')
})

afterAll(async () => {
  // What was stopped with SIGSTOP must run to be ended in order.
  await castor?.kill('postgres', 'SIGCONT')
  await castor?.kill('temporal', 'SIGCONT')
  await load?.stop()
  await castor?.stop()
})

test('while Postgres stands still nothing is acknowledged, HTTP says 503 with Retry-After, and then all goes on by itself', {
  timeout: 120_000,
}, async () => {
  const memory = watchMemory(castor.pids)
  const { fleet } = load
  const refusals = fleet.figures.refused
  await stopPostgres('SIGSTOP')
  // Sent before it stood still: those may still be acknowledged.
  await until(() => fleet.unacknowledged() > DEVICES * 10, 'messages pile up in the devices', 60_000)
  const response = await sendOverHttp()
  expect(response.status).toBe(503)
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
  const rest = await fetch(`${castor.api}/v1/twins/extra`, { headers: { authorization: `Bearer ${castor.key}` } })
  expect(rest.status).toBe(503)
  expect(Number(rest.headers.get('retry-after'))).toBeGreaterThan(0)
  await stopPostgres('SIGCONT')

  await until(() => fleet.figures.online === DEVICES && fleet.unacknowledged() < DEVICES * 2, 'the devices catch up', 60_000)
  await until(async () => (await sendOverHttp()).status === 202, 'HTTP accepts again')
  memory.stop()
  expect(fleet.figures.refused).toBe(refusals)
  expect(fleet.figures.dropped).toBe(0)
  for (const [name, peak] of Object.entries(memory.peaks())) expect(peak, name).toBeLessThan(MEMORY_LIMIT_MB)
})

test('while Temporal stands still devices and REST go on, and afterwards a device costs about one signal', {
  timeout: 150_000,
}, async () => {
  const { fleet } = load
  await decided(castor.sql, 30_000)
  const before = await signals()
  await castor.kill('temporal', 'SIGSTOP')
  const acknowledged = fleet.figures.acknowledged
  await until(() => fleet.figures.acknowledged > acknowledged + DEVICES * 60, 'devices go on being acknowledged', 60_000)
  const { status, body } = await castor.rest('GET', `/v1/twins/${fleet.ids[0]}`)
  expect(status).toBe(200)
  expect(Date.now() - Date.parse(body.telemetry.temperature.ts)).toBeLessThan(10_000)
  await castor.kill('temporal', 'SIGCONT')

  await decided(castor.sql, 60_000)
  const during = (await signals()) - before
  // Each was due once at most in that time, and what was tried in vain may arrive besides.
  expect(during).toBeLessThanOrEqual(DEVICES * 3)
})

test('and everything that was acknowledged meanwhile is there', { timeout: 90_000 }, async () => {
  const { fleet, ledger } = load
  await load.quiet(30_000)
  await decided(castor.sql, 60_000)
  const twin = async (device: string) => (await castor.rest('GET', `/v1/twins/${device}`)).body
  const { findings } = await verify({ sql: castor.sql, tenant: 'demo', devices: fleet.ids, ledger, twin })
  expect(findings.lines()).toEqual([])
})

function sendOverHttp(): Promise<Response> {
  return fetch(`${castor.deviceHttp}/device/v1/telemetry`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ temperature: 20 }),
    signal: AbortSignal.timeout(30_000),
  })
}

/** Its backends too: the server itself only starts them. */
async function stopPostgres(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const { postgres } = await castor.pids()
  for (const pid of [...childrenOf(postgres!.pid), postgres!.pid]) process.kill(pid, signal)
}

/** How many signals all twins have had. */
async function signals(): Promise<number> {
  const connection = await Connection.connect({ address: castor.temporalAddress })
  try {
    const { workflow } = new Client({ connection })
    let count = 0
    for await (const { workflowId, runId } of workflow.list({ query: 'WorkflowType = "deviceTwin"' })) {
      const { events } = await workflow.getHandle(workflowId, runId).fetchHistory()
      count += events?.filter((event) => event.workflowExecutionSignaledEventAttributes).length ?? 0
    }
    return count
  } finally {
    await connection.close()
  }
}
