/** Time that passes when it is told to. */

export function fakeClock(start: number) {
  let now = start
  const due = new Set<{ at: number; act: () => void }>()
  return {
    now: () => now,
    later(ms: number, act: () => void) {
      const timer = { at: now + ms, act }
      due.add(timer)
      return () => {
        due.delete(timer)
      }
    },
    passes(ms: number) {
      const until = now + ms
      for (;;) {
        const [next] = [...due].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
        if (!next) break
        due.delete(next)
        now = next.at
        next.act()
      }
      now = until
    },
  }
}
