/** One durable timer of a workflow, that may be set anew or switched off. */
import { CancellationScope, sleep } from '@temporalio/workflow'

export class Alarm {
  #at: number | undefined
  #timer: CancellationScope | undefined
  #rang = false

  /** When it will ring, in epoch milliseconds; undefined when it is off. */
  get at(): number | undefined {
    return this.#at
  }

  get rang(): boolean {
    return this.#rang
  }

  /** Set to the same time it costs nothing; else the former timer is cancelled, which is one event where its ringing would be five. */
  set(at: number | undefined): void {
    if (at === this.#at) return
    this.#timer?.cancel()
    this.#at = at
    this.#timer = undefined
    if (at === undefined) return
    const timer = new CancellationScope({ cancellable: true })
    this.#timer = timer
    const ring = () => {
      if (this.#timer !== timer) return
      this.#rang = true
      this.#at = undefined
      this.#timer = undefined
    }
    // Rejected when it is set anew, and when an operator cancels the run. The loop of the workflow ends by that; a rejection that nobody
    // takes would fail every task from then on.
    timer.run(() => sleep(Math.max(at - Date.now(), 1))).then(ring, () => {})
  }

  /** Whoever reacts to it quietens it. */
  quieten(): void {
    this.#rang = false
  }
}
