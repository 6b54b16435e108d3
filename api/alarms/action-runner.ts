/**
 * The actions of rules, from the outbox to what they do. One runner leads at a time; it takes the turns of alarms into rows, in order, and works
 * off the rows, some at once: fair over tenants, and those of one rule on one device one after the other, so that what was to be done when an
 * alarm was raised is done before what was to be done when it was cleared.
 *
 * All it holds stands in Postgres, each row is done in one transaction with its effect, and only while it waits: another goes on where it
 * stopped, and two at a time do nothing twice.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { planActions } from './plan-actions.ts'
import type { ActionStore, Carried, CarryOut, DueAction } from './ports.ts'

export interface ActionRunnerOptions {
  store: ActionStore
  act: CarryOut
  /** Told of each that has ended. */
  carried?: (action: DueAction, carried: Carried) => void
}

const LOOK_MS = { busy: 25, idle: 50 }
const IDLE_AFTER_MS = 5_000
/** Whether it still leads; and what waited for its time, or was asked for again over REST. */
const AGAIN_MS = 1_000
const AT_ONCE = 4

export class ActionRunner {
  readonly #options: ActionRunnerOptions

  constructor(options: ActionRunnerOptions) {
    this.#options = options
  }

  /** Leads until it is told to stop, or may no longer; `leads` is asked again and again. Throws where Postgres cannot be asked. */
  async run(stopping: AbortSignal, leads: () => Promise<boolean>): Promise<void> {
    let newsAt = performance.now()
    let againAt = 0
    let isMore = true
    while (!stopping.aborted) {
      const now = performance.now()
      if (now >= againAt) {
        if (!(await leads())) return
        againAt = now + AGAIN_MS
        isMore = true
      }
      const taken = await this.#options.store.take(planActions)
      if (taken.actions > 0) {
        newsAt = now
        isMore = true
      }
      if (isMore) isMore = await this.#workOff(stopping)
      if (taken.more || isMore) continue
      const waitMs = now - newsAt > IDLE_AFTER_MS ? LOOK_MS.idle : LOOK_MS.busy
      await pause(waitMs, undefined, { signal: stopping }).catch(() => {})
    }
  }

  /** A page of them. Whether there may be others. */
  async #workOff(stopping: AbortSignal): Promise<boolean> {
    const due = await this.#options.store.due()
    const lines = Map.groupBy(due, ({ line }) => line).values()
    let hasMoved = false
    const worker = async () => {
      for (const line of lines)
        for (const action of line) {
          if (stopping.aborted) return
          const carried = await this.#options.store.carryOut(action.id, this.#options.act)
          this.#options.carried?.(action, carried)
          hasMoved ||= carried.outcome === 'done' || carried.outcome === 'failed'
          // The rest of the line waits behind it.
          if (carried.outcome === 'waiting') break
        }
    }
    const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    return hasMoved
  }
}
