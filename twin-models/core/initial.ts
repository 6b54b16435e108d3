/** A twin before its first input. Its settings come with the `configured` input that begins the first batch. */
import type { TwinSettings, TwinState } from './types.ts'

const UNCONFIGURED: TwinSettings = { model: '', modelVersion: '', presenceTimeoutMs: 60_000, ranges: {} }

/** Nothing was wished of it or commanded, and it has reported nothing. */
export function nothingAsked(): Pick<TwinState, 'reported' | 'desired' | 'commands' | 'endedCommands'> {
  return {
    reported: { state: {}, at: {} },
    desired: { version: 0, state: {}, leaves: {}, answered: 0 },
    commands: [],
    endedCommands: [],
  }
}

export function nothingUpdated(): Pick<TwinState, 'update' | 'endedUpdates'> {
  return { update: null, endedUpdates: [] }
}

export function nothingRuled(): Pick<TwinState, 'rules' | 'memory' | 'alarms' | 'alarmCount' | 'ruleClock' | 'maintenance'> {
  return { rules: {}, memory: {}, alarms: {}, alarmCount: 0, ruleClock: 0, maintenance: null }
}

export function initialState(): TwinState {
  return {
    v: 4,
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
    ...nothingAsked(),
    ...nothingUpdated(),
    ...nothingRuled(),
  }
}
