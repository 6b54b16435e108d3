/** What is under Castor stands still for a while: it presses back or goes on without, stays small, and recovers by itself. */
import { Client, Connection } from '@temporalio/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseTwinWorkflowId } from '../../twin-models/ids.ts'
import { type Load, startLoad } from '../chaos/load.ts'
import { decided } from '../chaos/settled.ts'
import { verify } from '../chaos/verify.ts'
import { startCastor, type TestCastor } from '../support/castor.ts'
import { watchMemory } from '../support/memory.ts'
import { childrenOf } from '../support/process.ts'
import { until } from '../support/wait.ts'

const DEVICES = 20
/** The worker has a thread for each of its three queues, and rests at some 600. */
const MEMORY_LIMIT_MB = 800

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
  const rest = await castor.rest('GET', '/v1/twins/extra')
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
  const events = 100
  const pump = await castor.register('pump', 'pump')
  const leak = (n: number) => sendOverHttp(pump, 'events/leak', { id: `leak-${n}`, data: { litresPerMinute: n } })
  expect((await leak(0)).status).toBe(202)
  await until(async () => (await leaks('pump')).length === 1, 'the twin of the pump has decided')
  const before = await signals()

  await castor.kill('temporal', 'SIGSTOP')
  const acknowledged = fleet.figures.acknowledged
  // Each of these is urgent: with Temporal there, it would be a signal of its own.
  for (let n = 1; n <= events; n += 1) expect((await leak(n)).status).toBe(202)
  await until(() => fleet.figures.acknowledged > acknowledged + DEVICES * 40, 'devices go on being acknowledged', 60_000)
  const { status, body } = await castor.rest('GET', `/v1/twins/${fleet.ids[0]}`)
  expect(status).toBe(200)
  expect(Date.now() - Date.parse(body.telemetry.temperature.ts)).toBeLessThan(10_000)
  await castor.kill('temporal', 'SIGCONT')

  await until(async () => (await leaks('pump')).length === events + 1, 'the twin has decided on every event', 60_000)
  await decided(castor.sql, 60_000)
  expect(await leaks('pump')).toEqual(Array.from({ length: events + 1 }, (_, n) => n))
  const after = await signals()
  // One seal for all; tries that Temporal could not answer arrive besides, and the twin ignores them.
  expect(after.get('pump')! - before.get('pump')!).toBeLessThanOrEqual(10)
  const total = (counts: Map<string, number>) => [...counts.values()].reduce((sum, count) => sum + count, 0)
  expect(total(after) - total(before)).toBeLessThanOrEqual(DEVICES * 3)
})

test('and everything that was acknowledged meanwhile is there', { timeout: 90_000 }, async () => {
  const { fleet, ledger } = load
  await load.quiet(30_000)
  await decided(castor.sql, 60_000)
  const twin = async (device: string) => (await castor.rest('GET', `/v1/twins/${device}`)).body
  const { findings } = await verify({ sql: castor.sql, tenant: 'demo', devices: fleet.ids, ledger, twin })
  expect(findings.lines()).toEqual([])
})

function sendOverHttp(credential = token, path = 'telemetry', body: unknown = { temperature: 20 }): Promise<Response> {
  return fetch(`${castor.deviceHttp}/device/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
}

/** Its backends too: the server itself only starts them. */
async function stopPostgres(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const { postgres } = await castor.pids()
  for (const pid of [...childrenOf(postgres!.pid), postgres!.pid]) process.kill(pid, signal)
}

/** Litres of each leak that the twin decided on, in its order. */
async function leaks(device: string): Promise<number[]> {
  const rows = await castor.sql<{ event: string }[]>`
    select event from twin_history h join devices d using (incarnation)
    where d.device = ${device} and h.kind = 'device-event' order by h.revision, h.n`
  return rows.map(({ event }) => JSON.parse(event).data.litresPerMinute)
}

/** Device → how many signals its twin has had. */
async function signals(): Promise<Map<string, number>> {
  const connection = await Connection.connect({ address: castor.temporalAddress })
  try {
    const { workflow } = new Client({ connection })
    const counts = new Map<string, number>()
    for await (const { workflowId, runId } of workflow.list({ query: 'WorkflowType = "deviceTwin"' })) {
      const { events } = await workflow.getHandle(workflowId, runId).fetchHistory()
      const device = parseTwinWorkflowId(workflowId)!.device
      const count = events?.filter((event) => event.workflowExecutionSignaledEventAttributes).length ?? 0
      counts.set(device, (counts.get(device) ?? 0) + count)
    }
    return counts
  } finally {
    await connection.close()
  }
}
