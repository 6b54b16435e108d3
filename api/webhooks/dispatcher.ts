/**
 * Webhooks, from the outbox to the first attempt. One dispatcher leads at a time; it says for whom each new event is, and hands it to the
 * endpoints' runs. All it holds stands in Postgres: another goes on where it stopped, and sends again at most what was under way.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { EndpointRun, type RunOptions } from './endpoint-run.ts'
import type { EventRow, FannedOut, Match } from './ports.ts'

export interface DispatcherOptions extends RunOptions {
  match: Match
}

const LOOK_MS = { busy: 25, idle: 50 }
const IDLE_AFTER_MS = 5_000
/** Endpoints as they stand: changed over REST, or by their workflows. */
const RELOAD_MS = 1_000

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #runs = new Map<number, EndpointRun>()

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  /** Leads until it is told to stop, or may no longer; `leads` is asked again and again. Throws where Postgres cannot be asked. */
  async run(stopping: AbortSignal, leads: () => Promise<boolean>): Promise<void> {
    let newsAt = performance.now()
    let reloadAt = 0
    try {
      while (!stopping.aborted) {
        const now = performance.now()
        if (now >= reloadAt) {
          if (!(await leads())) return
          await this.#reload()
          reloadAt = now + RELOAD_MS
        }
        const news = await this.#options.store.fanOut(this.#options.match)
        await this.#handOut(news)
        if (news.events.length > 0) newsAt = now
        if (news.more) continue
        const waitMs = now - newsAt > IDLE_AFTER_MS ? LOOK_MS.idle : LOOK_MS.busy
        await pause(waitMs, undefined, { signal: stopping }).catch(() => {})
      }
    } finally {
      await Promise.all([...this.#runs.values()].map((run) => run.stop()))
      this.#runs.clear()
    }
  }

  async #reload(): Promise<void> {
    const endpoints = await this.#options.store.endpoints()
    const numbers = new Set(endpoints.map(({ number }) => number))
    for (const [number, run] of this.#runs) {
      if (numbers.has(number)) continue
      this.#runs.delete(number)
      void run.stop()
    }
    for (const endpoint of endpoints) {
      const run = this.#runs.get(endpoint.number) ?? new EndpointRun(endpoint, this.#options)
      this.#runs.set(endpoint.number, run)
      run.update(endpoint)
    }
  }

  async #handOut({ from, position, events }: FannedOut): Promise<void> {
    const byEndpoint = new Map<number, EventRow[]>()
    for (const { row, endpoints } of events) {
      for (const number of endpoints) {
        const rows = byEndpoint.get(number)
        if (rows) rows.push(row)
        else byEndpoint.set(number, [row])
      }
    }
    // One that was made since the last look.
    if ([...byEndpoint.keys()].some((number) => !this.#runs.has(number))) await this.#reload()
    for (const [number, run] of this.#runs) run.offer(byEndpoint.get(number) ?? [], from, position)
  }
}
