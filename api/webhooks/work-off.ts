/**
 * Works off what failed of one endpoint, for its workflow: deliveries that are due, one probe while the breaker is open, and what waited behind them.
 * For a bounded time; then it says how things stand and when to look again.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { allowedBy, type Breaker, halfOpensNext } from '../../twin-models/core/delivery.ts'
import { eventTypeOf } from '../../twin-models/webhook-events/catalogue.ts'
import type { WebhookAsk, WebhookReport } from '../../workflows/messages.ts'
import type { Endpoint, EventRow, Settled, Settlement, Try } from './ports.ts'
import { Turns } from './turns.ts'

/** A delivery whose turn it is. `row` is null where the event is no longer kept. */
export interface DueDelivery extends Omit<Settled, 'tried'> {
  row: EventRow | null
}

export interface WorkStore {
  find(tenant: string, id: string): Promise<Endpoint | undefined>
  /** Those whose time has come; of an ordered endpoint with what waits behind them, each device in order. `probe`: one, whatever its time. */
  due(endpoint: Endpoint, now: number, probe: boolean): Promise<DueDelivery[]>
  settle(settlement: Settlement, now: number): Promise<Pick<Endpoint, 'status' | 'health'> | undefined>
  /** Their events are no longer kept. */
  giveUp(number: number, positions: number[]): Promise<void>
  retryNow(number: number): Promise<void>
  skip(number: number): Promise<void>
  halfOpen(number: number): Promise<void>
  disable(endpoint: Endpoint, reason: string): Promise<void>
  /** Notes when the workflow looks next, not before then; `done`: nothing is left, and it ends. */
  report(endpoint: Endpoint, now: number, notBefore: number): Promise<WebhookReport>
}

export interface WorkOptions {
  store: WorkStore
  attempt: Try
  now?: () => number
  /** It goes on in another piece of work after this. */
  mostMs?: number
}

const MOST_MS = 20_000

/** Begins no attempt when `stopping`. */
export async function workOff(ask: WebhookAsk, options: WorkOptions, stopping?: AbortSignal): Promise<WebhookReport> {
  const { tenant, id, wanted, notBefore = 0 } = ask
  const { store, attempt, now = Date.now, mostMs = MOST_MS } = options
  const end = performance.now() + mostMs
  const known = await store.find(tenant, id)
  if (known === undefined) return { status: 'removed', done: true }
  if (wanted === 'skip') await store.skip(known.number)
  if (wanted === 'retryNow') await store.retryNow(known.number)
  if (wanted === 'stop') await store.disable(known, 'An operator stopped it.')
  const turns = new Turns(notBefore === 0 ? 0 : performance.now() + notBefore - now())
  let isForced = wanted === 'retryNow'
  const isOver = () => performance.now() >= end || stopping?.aborted === true
  let endpoint = known
  while (!isOver()) {
    const found = await store.find(tenant, id)
    if (found === undefined) return { status: 'removed', done: true }
    endpoint = found
    if (endpoint.status !== 'active') break
    const allowed = allowedBy(endpoint.health, now())
    if (allowed === 'nothing' && !isForced) break
    const isProbe = allowed === 'a probe' || allowed === 'nothing'
    const due = isProbe && !isForced && halfOpensNext(endpoint.health) ? [] : await store.due(endpoint, now(), isProbe)
    isForced = false
    if (due.length > 0) await tryAll(endpoint, due, isProbe)
    else if (isProbe) await store.halfOpen(endpoint.number)
    else break
  }
  return store.report(endpoint, now(), Math.round(now() + Math.max(0, turns.at - performance.now())))

  /** As many at once, and a second, as the endpoint takes. Those that it no longer takes meanwhile stay for another time. */
  async function tryAll(target: Endpoint, due: DueDelivery[], isProbe: boolean): Promise<void> {
    const { number, perSecond } = target
    const gone = due.filter(({ row }) => row === null).map(({ position }) => position)
    if (gone.length > 0) await store.giveUp(number, gone)
    const lines = linesOf(target, due).values()
    const atOnce = allowedBy(target.health, now()) === 'everything' ? target.atOnce : 1
    let health: Breaker = target.health
    let isRefused = false
    const mayGoOn = () => !isRefused && !isOver() && (isProbe || health.probeAt === null)
    const settle = inTurn<Settled>(async (settled) => {
      const after = await store.settle({ number, settled }, now())
      if (after?.status === 'active') health = after.health
      else isRefused = true
    })
    await Promise.all(
      Array.from({ length: Math.min(atOnce, due.length) }, async () => {
        for (const line of lines) {
          for (const { row, ...delivery } of line) {
            if (!mayGoOn() || turns.at >= end) return
            await pause(turns.next(perSecond, performance.now()))
            if (!mayGoOn()) return
            const tried = { ...(await attempt(target, row)), isProbe }
            await settle({ ...delivery, type: eventTypeOf(row), tried })
            // The rest of the line waits behind it.
            if (tried.outcome.kind !== 'delivered') break
          }
        }
      }),
    )
  }
}

type Kept = DueDelivery & { row: EventRow }

/** What must go one after the other: the deliveries of one device, where order was asked for. */
function linesOf({ ordered }: Endpoint, due: DueDelivery[]): Kept[][] {
  const kept = due.filter((delivery): delivery is Kept => delivery.row !== null)
  return ordered ? [...Map.groupBy(kept, ({ incarnation }) => incarnation).values()] : kept.map((delivery) => [delivery])
}

/** One call at a time, with all that came meanwhile: so an endpoint holds one connection. Resolves when what was given is done. */
function inTurn<T>(work: (items: T[]) => Promise<void>): (item: T) => Promise<void> {
  let waiting: T[] = []
  let turn = Promise.resolve()
  return (item) => {
    waiting.push(item)
    turn = turn.then(async () => {
      const items = waiting
      waiting = []
      if (items.length > 0) await work(items)
    })
    return turn
  }
}
