/**
 * Keeps a few parts running: starts each, starts again what ends, with backoff and the reason said, and stops all in the order given.
 * A part is a process of ours or a server (Postgres, Temporal); how it starts and stops is its own affair.
 */
import type { ProcessIdentity } from './identity.ts'

export interface Part {
  name: string
  start(signal: AbortSignal): Promise<RunningPart>
  /** Most that its end may take before it is killed. */
  stopMs: number
}

export interface RunningPart {
  identity: ProcessIdentity
  /** Resolves when it has ended, with the reason for a reader. */
  ended: Promise<string>
  /** Asks it to end, and kills it after `withinMs`. */
  stop(withinMs: number): Promise<void>
}

export interface SupervisorOptions {
  say: (line: string) => void
  onStarted?: (name: string, identity: ProcessIdentity) => Promise<void> | void
  onEnded?: (name: string) => Promise<void> | void
  backoff?: { firstMs: number; mostMs: number; healthyMs: number }
  /** All parts end within this. */
  stopMs?: number
}

/** Kept for each part that is still to end when those before it take their time. */
const RESERVE_MS = 400
const DEFAULT_BACKOFF = { firstMs: 250, mostMs: 15_000, healthyMs: 30_000 }
const STOP_MS = 13_500

export class Supervisor {
  private readonly options: SupervisorOptions
  private readonly stopping = new AbortController()
  private readonly loops = new Map<string, Promise<void>>()
  private readonly running = new Map<string, RunningPart>()
  private readonly parts: Part[] = []
  private stopped: Promise<void> | undefined

  constructor(options: SupervisorOptions) {
    this.options = options
  }

  /** Resolves when the part has started for the first time; rejects if that fails. Later ends are mended. */
  async run(part: Part): Promise<void> {
    this.stopping.signal.throwIfAborted()
    this.parts.push(part)
    const first = Promise.withResolvers<void>()
    this.loops.set(part.name, this.keep(part, first))
    await first.promise
  }

  /** Ends one part, which is then started again. */
  async restart(name: string): Promise<void> {
    const part = this.parts.find((candidate) => candidate.name === name)
    await this.running.get(name)?.stop(part?.stopMs ?? RESERVE_MS)
  }

  /** In this order; parts that it does not name end last, the newest first. Asked twice, it is the same end. */
  stop(order: string[]): Promise<void> {
    this.stopped ??= this.stopAll(order)
    return this.stopped
  }

  private async stopAll(order: string[]): Promise<void> {
    this.stopping.abort()
    const deadline = performance.now() + (this.options.stopMs ?? STOP_MS)
    const others = this.parts.map((part) => part.name).filter((name) => !order.includes(name))
    const names = [...order, ...others.reverse()].filter((name) => this.loops.has(name))
    for (const [i, name] of names.entries()) {
      const left = deadline - performance.now() - (names.length - 1 - i) * RESERVE_MS
      const limit = Math.max(RESERVE_MS, Math.min(left, this.parts.find((part) => part.name === name)!.stopMs))
      await this.running.get(name)?.stop(limit)
      await this.loops.get(name)
    }
  }

  /** The life of one part. */
  private async keep(part: Part, first: PromiseWithResolvers<void>): Promise<void> {
    const { firstMs, mostMs, healthyMs } = this.options.backoff ?? DEFAULT_BACKOFF
    const { signal } = this.stopping
    let failures = 0
    let started = false
    while (!signal.aborted) {
      const begun = performance.now()
      const reason = await this.live(part, () => {
        started = true
        first.resolve()
      }).catch((error: Error) => {
        if (!started) first.reject(error)
        return error.message
      })
      if (!started || signal.aborted) break
      failures = performance.now() - begun > healthyMs ? 1 : failures + 1
      const waitMs = Math.min(mostMs, firstMs * 2 ** (failures - 1))
      this.options.say(`${part.name} ended: ${reason}. It is started again in ${waitMs / 1000} s`)
      await pause(waitMs, signal)
    }
    first.reject(new Error(`${part.name} was stopped while starting`))
  }

  /** From start to end; gives the reason of the end. */
  private async live(part: Part, onStarted: () => void): Promise<string> {
    const running = await part.start(this.stopping.signal)
    this.running.set(part.name, running)
    try {
      await this.note(part.name, running.identity)
      onStarted()
      // It may have started while all was told to end.
      if (this.stopping.signal.aborted) await running.stop(part.stopMs)
      return await running.ended
    } finally {
      this.running.delete(part.name)
      await this.options.onEnded?.(part.name)
    }
  }

  /** What cannot be noted (a full disk) runs all the same: reading must go on. Processes of ours end with us, servers are noted before. */
  private async note(name: string, identity: ProcessIdentity): Promise<void> {
    try {
      await this.options.onStarted?.(name, identity)
    } catch (error) {
      this.options.say(`${name} runs, but its pid could not be kept: ${(error as Error).message}`)
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
