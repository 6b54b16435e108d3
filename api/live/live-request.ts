/** What is asked of the live stream, what is given, and the bounds of both. */
import type { Filter } from '../../twin-models/filter/parse.ts'
import type { LiveType } from './live-event.ts'
import { RING_LIMITS, type RingLimits } from './ring.ts'

export interface LiveRequest {
  tenant: string
  types: ReadonlySet<LiveType>
  device: string | undefined
  filter: { text: string; tree: Filter } | undefined
  lastEventId: string | undefined
  /** Readers of one credential are counted together, and end when it is no longer valid. */
  credential: { id: string; isValid(): Promise<boolean> }
}

export interface LiveStream {
  /** To be asked for when what came before was taken. Undefined: it has ended. */
  next(): Promise<Buffer | undefined>
  /** Whoever reads it has gone. */
  close(): void
  /** Who ended it. */
  ended: Promise<End>
}

/** `stuck`: it took nothing for too long. */
export type End = 'closed' | 'stuck'

export interface Live {
  open(request: LiveRequest): Promise<LiveStream>
}

export interface LiveLimits {
  /** Open at once in this process, and by one credential. */
  readers: number
  readersOfOne: number
  ring: RingLimits
  heartbeatMs: number
  /** A reader that takes nothing for so long is ended. */
  stuckMs: number
  /** A credential is looked at again. */
  credentialMs: number
}

/** A thousand streams are what one process is measured with (docs/performance.md). */
export const LIVE_LIMITS: LiveLimits = {
  readers: 1_500,
  readersOfOne: 1_000,
  ring: RING_LIMITS,
  heartbeatMs: 15_000,
  stuckMs: 10 * 60_000,
  credentialMs: 5_000,
}
