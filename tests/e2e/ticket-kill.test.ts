/**
 * Tickets on a whole Castor, in whose midst each process is killed once: each comes to its end, what people said of it is done once, and nothing of it
 * is forgotten. Alarms are played by SQL; nobody is on call, so that nobody is told.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTicket } from '../../infra/postgres/ticket-open.ts'
import { createRandom } from '../../infra/simulator/random.ts'
import { DEFAULT_DEADLINES } from '../../twin-models/core/ticket-types.ts'
import { CASTOR_PROCESSES, startCastor, type TestCastor } from '../support/castor.ts'
import { alarmsOf, storyOf, type TestDevice, ticketOf } from '../support/ticket-devices.ts'
import { until } from '../support/wait.ts'

const TICKETS = 20
/** Every third is not repaired at first. */
const relapses = (n: number) => n % 3 === 0
type Pump = TestDevice & { token: string }
/** Until all is there again after the supervisor was killed, on a busy machine. */
const START_MS = 120_000
const STEP_MS = 180_000

let castor: TestCastor
beforeAll(async () => {
  castor = await startCastor()
}, 400_000)
afterAll(() => castor?.stop())

test('whatever is killed in their midst, tickets come to their ends, and each step is done once', { timeout: 900_000 }, async () => {
  const { sql } = castor
  const devices: Pump[] = []
  for (let n = 0; n < TICKETS; n++) {
    const token = await castor.register(`p-${n}`, 'pump')
    const [row] = await sql<[{ incarnation: number }]>`select incarnation from devices where device = ${`p-${n}`}`
    devices.push({ device: `p-${n}`, incarnation: row.incarnation, token })
  }
  let done = 0
  const repairs = devices.map(async (device, n) => {
    await until(() => done >= n - 6, 'it is its turn', STEP_MS * 4, 100)
    const id = await repaired(device, n)
    done++
    return id
  })
  const random = createRandom(randomUUID())
  const killed: string[] = []
  for (const name of [...CASTOR_PROCESSES].sort(() => random.between(0, 1) - 0.5)) {
    const before = done
    await until(() => castor.kill(name), `${name} runs, after ${killed.join(', ') || 'nothing'} was killed`, START_MS)
    if (name === 'supervisor') await castor.start()
    killed.push(`${name} at ${before}`)
    await until(() => done >= Math.min(TICKETS, before + 2), `tickets go on after ${killed.join(', ')} were killed`, STEP_MS, 100)
  }
  const ids = await Promise.all(repairs)
  for (const [n, id] of ids.entries()) {
    const story = await storyOf(sql, id)
    const again = relapses(n) ? ['reopened', 'told', 'cancelled'] : ['closed']
    expect(story, `ticket ${n}; killed were ${killed.join(', ')}`).toEqual([
      'opened',
      'told',
      'accepted',
      'started',
      'done',
      'verifying',
      ...again,
    ])
    const [row] = await sql<[{ status: string; events: number; requests: number; wakes: Date | null }]>`
      select status, wakes_at as wakes, (select count(*)::int from outbox where kind like 'ticket-%' and event::json #>> '{ticket,id}' = ${id}) as events,
        (select count(*)::int from twin_requests where kind = 'maintenance' and body::json ->> 'by' = ${id}) as requests
      from tickets where id = ${id}`
    expect(row).toEqual({ status: relapses(n) ? 'cancelled' : 'closed', events: relapses(n) ? 7 : 6, requests: 2, wakes: null })
  }
})

/** What people do with one, until it is over. */
async function repaired(device: Pump, n: number): Promise<string> {
  const { sql } = castor
  const alarms = alarmsOf(sql, device)
  const alarm = await patiently(() => alarms.raise())
  const deadlines = { ...DEFAULT_DEADLINES, major: { acceptMs: 3_600_000, doneMs: 7_200_000 } }
  const more = { onCall: [], deadlines, verifyForMs: relapses(n) ? 3_600_000 : 1_000 }
  const { id } = (await patiently(() => openTicket(sql, ticketOf(device, alarm, more))))!
  await becomes(id, 'notified')
  await ask(id, 'accept', 'accepted')
  await ask(id, 'start', 'in-progress')
  await patiently(() => alarms.clear())
  await ask(id, 'done', 'verifying')
  await speaks(device)
  if (relapses(n)) {
    await patiently(() => alarms.raise())
    await becomes(id, 'reopened')
    await ask(id, 'cancel', 'cancelled')
  }
  await becomes(id, relapses(n) ? 'cancelled' : 'closed')
  return id
}

/** A pump that says nothing shows nothing. */
async function speaks({ token }: Pump): Promise<void> {
  await patiently(async () => {
    const { status } = await fetch(`${castor.deviceHttp}/device/v1/telemetry`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{"vibration": 1.5}',
      signal: AbortSignal.timeout(5_000),
    })
    if (status >= 300) throw new Error(`It got ${status}`)
  })
}

/** Asked again while nobody answers; who asked in vain may have been heard. */
async function ask(id: string, action: string, ...statuses: string[]): Promise<void> {
  await until(
    async () => {
      const { status } = await castor.rest('POST', `/v1/tickets/${id}/${action}`, { by: 'ann' })
      return status === 202 || status === 409
    },
    `it takes ${action}`,
    STEP_MS,
    100,
  )
  await becomes(id, ...statuses)
}

async function becomes(id: string, ...statuses: string[]): Promise<void> {
  await until(
    async () => {
      const [row] = await castor.sql<Array<{ status: string }>>`select status from tickets where id = ${id}`
      return statuses.includes(row!.status)
    },
    `ticket ${id} is ${statuses.join(' or ')}`,
    STEP_MS,
    100,
  )
}

/** What is written twice is written once: by its key, or since it says the same. */
async function patiently<T>(write: () => Promise<T>): Promise<T> {
  let written: { value: T } | undefined
  await until(
    async () => {
      written = { value: await write() }
      return true
    },
    'it is taken',
    STEP_MS,
    100,
  )
  return written!.value
}
