/** A twin before its first input. Its settings come with the `configured` input that begins the first batch. */
import type { TwinSettings, TwinState } from './types.ts'

const UNCONFIGURED: TwinSettings = { model: '', modelVersion: '', presenceTimeoutMs: 60_000, ranges: {} }

export function initialState(): TwinState {
  return {
    v: 1,
    settings: UNCONFIGURED,
    revision: 0,
    seq: 0,
    presence: { status: 'never', since: 0, reason: 'registered', lastSeenAt: 0 },
    ranges: {},
    values: {},
    firmware: null,
    health: null,
    messages: 0,
    recentEvents: [],
  }
}
