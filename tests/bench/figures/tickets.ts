/** Maintenance tickets: a thousand at once, from open to closed: how long the machine takes, what memory they hold, and their history events. */

import { restClient } from '../../support/client.ts'
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import { register } from '../fleet.ts'
import { memoryMb } from '../processes.ts'
import { ticketEvents } from '../temporal-events.ts'
import { until } from '../webhook-kit.ts'

const TICKETS = 1_000
const AT_ONCE = 16
const WAIT_MS = 600_000

export async function tickets(bench: Bench): Promise<void> {
  const castor = await bench.castor('small')
  const count = bench.count(TICKETS)
  const fleet = await register(castor, 'broken-', count)
  const before = memoryMb(castor.pids())
  const from = performance.now()
  const ids = await open(castor, fleet.prefix, count)
  await becomes(castor, count, 'all have told somebody', ['notified', 'reassigned', 'escalated'])
  bench.figure('ticketsOpenedPerSecond', (count * 1000) / (performance.now() - from))
  const held = memoryMb(castor.pids())
  bench.figure('ticketMemoryMb', {
    workerBefore: before.worker,
    workerWith: held.worker,
    temporalBefore: before.temporal,
    temporalWith: held.temporal,
  })
  const asked = performance.now()
  for (const action of ['accept', 'start', 'done']) await act(castor, ids, action)
  await becomes(castor, count, 'all are closed', ['closed'])
  bench.figure('ticketsClosedPerSecond', (count * 1000) / (performance.now() - asked))
  bench.figure('temporalEventsPerTicket', (await ticketEvents(castor, ids)) / count)
}

async function open(castor: Castor, prefix: string, count: number): Promise<string[]> {
  const ask = restClient(`http://${castor.host}:${castor.httpPort}`, castor.adminKey)
  const ids: string[] = []
  await each(
    Array.from({ length: count }, (_, n) => n),
    async (n) => {
      const { status, body } = await ask('POST', '/v1/tickets', {
        device: `${prefix}${n}`,
        title: 'It is broken',
        severity: 'major',
      })
      if (status >= 300) throw new Error(`POST /v1/tickets: ${status} ${JSON.stringify(body)}`)
      ids.push(body.id)
    },
  )
  return ids
}

async function act(castor: Castor, ids: string[], action: string): Promise<void> {
  const ask = restClient(`http://${castor.host}:${castor.httpPort}`, castor.adminKey)
  await each(ids, async (id) => {
    const { status, body } = await ask('POST', `/v1/tickets/${id}/${action}`, { by: 'bench' })
    if (status >= 300) throw new Error(`POST /v1/tickets/${id}/${action}: ${status} ${JSON.stringify(body)}`)
  })
}

async function each<T>(items: T[], one: (item: T) => Promise<void>): Promise<void> {
  const next = items.values()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of next) await one(item)
    }),
  )
}

function becomes(castor: Castor, count: number, what: string, statuses: string[]): Promise<void> {
  return until(WAIT_MS, what, async () => {
    const [row] = await castor.sql<
      Array<{ tickets: number }>
    >`select count(*)::int as tickets from tickets where status = any(${statuses}::text[])`
    return row!.tickets >= count
  })
}
