/** What an event makes of a twin's state. Pure; the argument is never changed. */
import { evolveCommands } from './commands.ts'
import { evolveAlarms } from './evolve-alarms.ts'
import { evolveUpdates, updateOnPresence } from './evolve-updates.ts'
import { evolveWishes } from './evolve-wishes.ts'
import { own } from './plain.ts'
import type { TwinEvent, TwinSettings, TwinState, Value } from './types.ts'

const RECENT_EVENTS = 10

export function evolve(state: TwinState, event: TwinEvent): TwinState {
  switch (event.kind) {
    case 'configured':
      return { ...state, settings: event.settings, ranges: rangesUnder(state, event.settings, event.at) }
    case 'presence-changed':
      return {
        ...state,
        presence: { ...state.presence, status: event.after, since: event.at, reason: event.reason },
        update: state.update && updateOnPresence(state.update, event),
      }
    case 'range-changed': {
      const { after: status, at: since, value, ts: newest } = event
      return { ...state, ranges: { ...state.ranges, [event.name]: { status, since, value, newest } } }
    }
    case 'firmware-changed':
      return { ...state, firmware: event.after }
    case 'health-changed':
      return { ...state, health: event.after }
    case 'device-event':
      return { ...state, recentEvents: [{ name: event.name, ts: event.ts }, ...state.recentEvents].slice(0, RECENT_EVENTS) }
    case 'desired-changed':
    case 'desired-acknowledged':
    case 'desired-converged':
    case 'desired-diverged':
    case 'desired-conflict':
    case 'reported-changed':
      return evolveWishes(state, event)
    case 'command-requested':
    case 'command-released':
    case 'command-ended':
    case 'command-late':
      return evolveCommands(state, event)
    case 'update-requested':
    case 'update-released':
    case 'update-postponed':
    case 'update-awaited':
    case 'update-soaking':
    case 'update-ended':
      return evolveUpdates(state, event)
    case 'rules-changed':
    case 'alarm-raised':
    case 'alarm-updated':
    case 'alarm-acknowledged':
    case 'alarm-shelved':
    case 'alarm-assigned':
    case 'alarm-commented':
    case 'alarm-cleared':
    case 'maintenance-changed':
      return evolveAlarms(state, event)
    default:
      return unknownKind(event)
  }
}

/** Watched properties under new settings: what is still watched stays as it is, what is new begins as normal. */
function rangesUnder(state: TwinState, settings: TwinSettings, at: number): TwinState['ranges'] {
  const ranges: TwinState['ranges'] = {}
  for (const name of Object.keys(settings.ranges)) {
    const [value, newest] = own<[Value, number]>(state.values, name) ?? [null, 0]
    const fresh = typeof value === 'number' ? { value, newest } : { value: 0, newest: 0 }
    ranges[name] = own(state.ranges, name) ?? { status: 'normal', since: at, ...fresh }
  }
  return ranges
}

function unknownKind(event: never): never {
  throw new Error(`Unknown event ${JSON.stringify(event)}`)
}
