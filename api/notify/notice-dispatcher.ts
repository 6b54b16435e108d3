/**
 * Notices, from the outbox to their targets. One dispatcher leads at a time: it reads what happened to alarms, and gives targets their turns, one
 * message each. All it knows stands in Postgres: another goes on where it stopped, and sends again at most what was under way, under the same id.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { FairTurns } from './fair-turns.ts'
import type { Claimed, NoticeStore, NoticeTried, ReadyTarget, SendNotices } from './ports.ts'

export interface NoticeDispatcherOptions {
  store: NoticeStore
  send: SendNotices
  now(): number
  /** Postgres could not be asked, or told. */
  trouble(error: unknown): void
  /** Events that were no longer kept when it was their turn. */
  missed(count: number): void
  /** A target that waits for its group, its pace or its breaker is looked at this often all the same: something else may have come, or changed. */
  soonMs?: number
}

/** Between two looks, while somebody is to be told something and while nobody is. */
const LOOK_MS = { busy: 100, idle: 250 }
/** Whether it still leads. */
const LEADS_MS = 1_000
const SOON_MS = 1_000
const AGAIN_MS = 1_000
const STOP_MS = 2_000

export class NoticeDispatcher {
  readonly #options: NoticeDispatcherOptions
  readonly #turns = new FairTurns()
  /** performance.now() before which a target is not looked at. */
  readonly #lookAt = new Map<number, number>()
  #ready: ReadyTarget[] = []
  #stopped = false

  constructor(options: NoticeDispatcherOptions) {
    this.#options = options
  }

  /** Leads until it is told to stop, or may no longer; `leads` is asked again and again. Throws where Postgres cannot be asked. */
  async run(stopping: AbortSignal, leads: () => Promise<boolean>): Promise<void> {
    const { store, now, missed } = this.#options
    let asksAt = 0
    this.#stopped = false
    try {
      while (!stopping.aborted) {
        if (performance.now() >= asksAt) {
          if (!(await leads())) return
          asksAt = performance.now() + LEADS_MS
        }
        const taken = await store.take()
        if (taken.missed > 0) missed(taken.missed)
        this.#ready = await store.ready(now())
        this.#forgetOthers()
        this.#giveTurns()
        const waitMs = this.#ready.length > 0 ? LOOK_MS.busy : LOOK_MS.idle
        if (!taken.more) await pause(waitMs, undefined, { signal: stopping }).catch(() => {})
      }
    } finally {
      this.#stopped = true
      const until = performance.now() + STOP_MS
      while (this.#turns.underWay > 0 && performance.now() < until) await pause(20)
    }
  }

  #giveTurns(): void {
    if (this.#stopped) return
    const at = performance.now()
    const due = this.#ready.filter(({ number }) => (this.#lookAt.get(number) ?? 0) <= at)
    for (let target = this.#turns.next(due); target; target = this.#turns.next(due)) void this.#turn(target)
  }

  /** One message of this target, if it may have one now. */
  async #turn(target: ReadyTarget): Promise<void> {
    const { store, now, trouble, soonMs = SOON_MS } = this.#options
    try {
      const claimed = await store.claim(target.number, now())
      if (claimed && !('lookAt' in claimed)) await this.#tell(claimed)
      else this.#notBefore(target, claimed ? Math.min(soonMs, claimed.lookAt - now()) : LOOK_MS.busy)
    } catch (error) {
      trouble(error)
      this.#notBefore(target, AGAIN_MS)
    }
    this.#turns.end(target)
    this.#giveTurns()
  }

  async #tell({ target, bundle, isProbe }: Claimed): Promise<void> {
    const tried = await this.#options.send(target, bundle)
    await this.#settle(target.number, bundle.id, { ...tried, isProbe })
  }

  /** Until it is written, or given up: then it is sent again, by whoever leads. */
  async #settle(target: number, bundle: string, tried: NoticeTried & { isProbe: boolean }): Promise<void> {
    const { store, now, trouble } = this.#options
    for (;;) {
      try {
        return await store.settle(target, bundle, tried, now())
      } catch (error) {
        trouble(error)
        if (this.#stopped) return
        await pause(AGAIN_MS)
      }
    }
  }

  #notBefore({ number }: ReadyTarget, ms: number): void {
    this.#lookAt.set(number, performance.now() + ms)
  }

  #forgetOthers(): void {
    this.#turns.forgetOthers(this.#ready)
    const numbers = new Set(this.#ready.map(({ number }) => number))
    for (const number of this.#lookAt.keys()) if (!numbers.has(number)) this.#lookAt.delete(number)
  }
}
