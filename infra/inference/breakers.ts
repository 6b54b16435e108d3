/**
 * Circuit breakers of model servers, by the rules of webhooks (twin-models/core/delivery.ts): after ten failures in a row a server is left alone, and
 * then one question goes out now and then. In memory, so each worker finds out for itself, and forgets with its end: a server is asked by few
 * workers, and what waits is bounded.
 */
import { type Breaker, breakerAfter, CLOSED, type Outcome } from '../../twin-models/core/delivery.ts'

export interface Breakers {
  /** Whether the server may be asked now. What was let through must be ended, once. */
  enter(server: string): Entry | { refused: string }
}

export interface Entry {
  /** `failed` only of what says that the server is in trouble; `until`: it is not to be asked before. */
  end(outcome: Outcome): void
}

interface Kept {
  breaker: Breaker
  /** Why the last question failed. */
  reason: string
  isProbed: boolean
}

/** Servers in trouble that are remembered; the longest known is forgotten then, and asked as if it were well. */
const MOST_KEPT = 10_000

export function createBreakers(now: () => number, random: () => number): Breakers {
  const kept = new Map<string, Kept>()

  return {
    enter(server) {
      const known = kept.get(server)
      const probeAt = known?.breaker.probeAt ?? null
      if (!known || probeAt === null) return { end: (outcome) => end(server, outcome, false) }
      if (known.isProbed || now() < probeAt) return { refused: inWords(known, Math.max(probeAt, now())) }
      known.isProbed = true
      return { end: (outcome) => end(server, outcome, true) }
    },
  }

  function end(server: string, outcome: Outcome, isProbe: boolean): void {
    const before = kept.get(server)
    const { breaker } = breakerAfter(before?.breaker ?? CLOSED, outcome, { isProbe, now: now(), random: random() })
    if (breaker.failures === 0 && breaker.openedAt === null) {
      kept.delete(server)
      return
    }
    if (!before && kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value!)
    const reason = 'reason' in outcome ? outcome.reason : (before?.reason ?? '')
    kept.set(server, { breaker, reason, isProbed: isProbe ? false : (before?.isProbed ?? false) })
  }

  function inWords({ breaker, reason }: Kept, until: number): string {
    const since = new Date(breaker.failingSince ?? breaker.openedAt ?? now()).toISOString()
    return `The server is left alone until ${new Date(until).toISOString()}: ${breaker.failures} requests failed in a row since ${since}; the last one: ${reason}`
  }
}
