/** What a device will do later: all of it can be called off at once. */

export interface Timers {
  /** Gives a function that calls it off. */
  later(ms: number, act: () => void): () => void
  callOffAll(): void
}

export function createTimers(): Timers {
  const timers = new Set<NodeJS.Timeout>()
  return {
    later(ms, act) {
      const timer = setTimeout(() => {
        timers.delete(timer)
        act()
      }, ms)
      timers.add(timer)
      return () => {
        clearTimeout(timer)
        timers.delete(timer)
      }
    },
    callOffAll() {
      for (const timer of timers) clearTimeout(timer)
      timers.clear()
    },
  }
}
