/** What a simulated device remembers of its updates: what runs and what vouches for it, which jobs it has answered, and how. Bounded, as its flash is. */
import type { Job } from '../../../twin-models/firmware/job.ts'
import type { Manifest } from '../../../twin-models/firmware/manifest.ts'
import type { Outgoing } from '../message.ts'
import type { Self } from './verify.ts'

export interface Memory extends Pick<Self, 'registration' | 'manifest' | 'counters' | 'nonces'> {
  /** Its job is done, whatever comes of it: the same again is answered by the same word. */
  answered(job: Job): void
  runs(manifest: Manifest): void
  keepWord(id: string, word: Outgoing): void
  /** The last one on that update. */
  wordOn(id: string): Outgoing | undefined
  cancel(id: string): void
  isCancelled(id: string): boolean
  forgetRegistration(): void
}

/** The jobs of older updates have expired. */
const REMEMBERED = 100

export function createMemory(): Memory {
  const words = new Map<string, Outgoing>()
  const nonces = new Set<string>()
  const cancelled = new Set<string>()
  const counters = new Map<string, number>()
  let manifest: Manifest | undefined
  let registration: number | undefined
  return {
    get registration() {
      return registration
    },
    get manifest() {
      return manifest
    },
    counters,
    nonces,
    answered(job) {
      registration ??= job.registration
      keep(nonces, job.nonce)
    },
    runs(next) {
      manifest = next
      counters.set(next.name, next.counter)
    },
    keepWord(id, word) {
      words.delete(id)
      words.set(id, word)
      dropOldest(words)
    },
    wordOn: (id) => words.get(id),
    cancel: (id) => keep(cancelled, id),
    isCancelled: (id) => cancelled.has(id),
    forgetRegistration() {
      registration = undefined
    },
  }
}

function keep(set: Set<string>, item: string): void {
  set.add(item)
  dropOldest(set)
}

function dropOldest(kept: Set<string> | Map<string, unknown>): void {
  const [oldest] = kept.keys()
  if (kept.size > REMEMBERED) kept.delete(oldest!)
}
