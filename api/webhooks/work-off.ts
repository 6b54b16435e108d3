/**
 * Works off what failed of one endpoint, for its workflow: deliveries that are due, one probe while the breaker is open, and what waited behind them.
 * For a bounded time; then it says how things stand and when to look again.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { allowedBy, type Breaker } from '../../twin-models/core/delivery.ts'
import { eventTypeOf } from '../../twin-models/webhook-events/catalogue.ts'
import type { WebhookAsk, WebhookReport } from '../../workflows/messages.ts'
import type { Endpoint, EventRow, Settled, Settlement, Try } from './ports.ts'

/** A delivery whose turn it is. `row` is null where the event is no longer kept. */
export interface DueDelivery extends Omit<Settled, 'tried'> {
  row: EventRow | null
}

export interface WorkStore {
  find(tenant: string, id: string): Promise<Endpoint | undefined>
  /** The oldest of each device of an ordered endpoint; of others those whose time has come. `probe`: the oldest of all, whatever its time. */
  due(endpoint: Endpoint, now: number, probe: boolean): Promise<DueDelivery[]>
  settle(settlement: Settlement, now: number): Promise<Pick<Endpoint, 'status' | 'health'> | undefined>
  /** Their events are no longer kept. */
  giveUp(number: number, positions: number[]): Promise<void>
  retryNow(number: number): Promise<void>
  skip(number: number): Promise<void>
  disable(endpoint: Endpoint, reason: string): Promise<void>
  /** Notes when the workflow looks next; `done`: nothing is left, and it ends. */
  report(endpoint: Endpoint, now: number): Promise<WebhookReport>
}

export interface WorkOptions {
  store: WorkStore
  attempt: Try
  now?: () => number
  /** It goes on in another piece of work after this. */
  mostMs?: number
}

const MOST_MS = 20_000

export async function workOff({ tenant, id, wanted }: WebhookAsk, options: WorkOptions, alive: () => void): Promise<WebhookReport> {
  const { store, attempt, now = Date.now, mostMs = MOST_MS } = options
  let endpoint = await store.find(tenant, id)
  if (endpoint === undefined) return { status: 'removed', done: true }
  if (wanted === 'skip') await store.skip(endpoint.number)
  if (wanted === 'retryNow') await store.retryNow(endpoint.number)
  if (wanted === 'stop') await store.disable(endpoint, 'An operator stopped it.')
  const until = now() + mostMs
  let isForced = wanted === 'retryNow'
  while (now() < until) {
    endpoint = await store.find(tenant, id)
    if (endpoint === undefined) return { status: 'removed', done: true }
    if (endpoint.status !== 'active') break
    const allowed = isForced ? 'a probe' : allowedBy(endpoint.health, now())
    isForced = false
    if (allowed === 'nothing') break
    const due = await store.due(endpoint, now(), allowed === 'a probe')
    if (due.length === 0) break
    await tryAll(endpoint, allowed === 'a probe' ? due.slice(0, 1) : due)
    alive()
  }
  return store.report(endpoint, now())

  /** As many at once, and a second, as the endpoint takes. Those that it no longer takes meanwhile stay for another time. */
  async function tryAll(target: Endpoint, due: DueDelivery[]): Promise<void> {
    const { number, atOnce, perSecond } = target
    const gone = due.filter(({ row }) => row === null).map(({ position }) => position)
    if (gone.length > 0) await store.giveUp(number, gone)
    const next = due.values()
    let health: Breaker = target.health
    const wasOpen = allowedBy(health, 0) !== 'everything'
    await Promise.all(
      Array.from({ length: Math.min(atOnce, due.length) }, async () => {
        for (const { row, ...delivery } of next) {
          if (row === null) continue
          if (!wasOpen && allowedBy(health, 0) !== 'everything') return
          const from = performance.now()
          const tried = await attempt(target, row)
          const after = await store.settle({ number, settled: [{ ...delivery, type: eventTypeOf(row), tried }] }, now())
          if (after === undefined || after.status !== 'active') return
          health = after.health
          alive()
          // So many at once, each with its share of the rate.
          await pause(Math.max(0, (1000 * atOnce) / perSecond - (performance.now() - from)))
        }
      }),
    )
  }
}
