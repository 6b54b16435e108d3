/** What works only while it leads (dispatchers, runners): begun as the one that leads, and ended in order or dropped. */

export interface Leader {
  run(stopping: AbortSignal, leads: () => Promise<boolean>): Promise<void>
}

export interface RunningLeader {
  /** In order, as at SIGTERM. */
  stop(): Promise<void>
  /** What made it end. */
  readonly error: unknown
}

export class Leaders {
  readonly #running = new Set<RunningLeader>()

  begin(leader: Leader): RunningLeader {
    const stopping = new AbortController()
    let error: unknown
    const ended = leader
      .run(stopping.signal, async () => true)
      .catch((why: unknown) => {
        error = why
      })
    const running = {
      get error() {
        return error
      },
      stop: async () => {
        stopping.abort()
        this.#running.delete(running)
        await ended
      },
    }
    this.#running.add(running)
    return running
  }

  /** It never stops: it dies by its store, whose calls do not come back. */
  drop(leader: Leader): void {
    void leader.run(new AbortController().signal, async () => true)
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.stop()))
  }
}
