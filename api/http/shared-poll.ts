/**
 * Waiting for rows that others write: all that wait share one poll, however many they are. For answers of twins, and for commands that end.
 */

export interface SharedPoll {
  /** What came of `id`. Undefined: nothing in time, or so many wait already that this one does not. Rejects never. */
  of(id: string, waitMs: number): Promise<string | undefined>
  isFull(): boolean
}

interface Waiting {
  resolve(result: string | undefined): void
  until: number
}

const MOST_WAITING = 1_000

/** `ask` gives those of the ids that came, with what came. */
export function createSharedPoll(ask: (ids: string[]) => Promise<Array<{ id: string; result: string }>>, pollMs = 25): SharedPoll {
  /** Several may wait for the same, as repeated requests do. */
  const waiting = new Map<string, Waiting[]>()
  let count = 0
  let polling = false

  function end(id: string, which: Waiting[], result: string | undefined): void {
    const others = (waiting.get(id) ?? []).filter((one) => !which.includes(one))
    if (others.length > 0) waiting.set(id, others)
    else waiting.delete(id)
    count -= which.length
    for (const { resolve } of which) resolve(result)
  }

  async function poll(): Promise<void> {
    while (waiting.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, pollMs))
      try {
        for (const { id, result } of await ask([...waiting.keys()])) end(id, waiting.get(id) ?? [], result)
      } catch {
        // The database is in trouble: those who wait give up at their time, unless it is over by then.
      }
      const now = performance.now()
      for (const [id, all] of waiting) {
        const late = all.filter(({ until }) => until <= now)
        if (late.length > 0) end(id, late, undefined)
      }
    }
    polling = false
  }

  return {
    isFull: () => count >= MOST_WAITING,
    of(id, waitMs) {
      if (waitMs <= 0 || count >= MOST_WAITING) return Promise.resolve(undefined)
      return new Promise((resolve) => {
        waiting.set(id, [...(waiting.get(id) ?? []), { resolve, until: performance.now() + waitMs }])
        count++
        if (polling) return
        polling = true
        void poll()
      })
    },
  }
}
