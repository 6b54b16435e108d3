/**
 * The catalogue of events that webhooks carry. An event is one row of the outbox; its type follows from the row's kind. It only grows: types,
 * members and words are added, never changed or taken away.
 */
import type { TwinEvent } from '../core/types.ts'
import { alarmAcknowledged, alarmCleared, alarmRaised } from './alarm-events.ts'
import { deadLetterCreated, deviceCreated, deviceRemoved, type PlatformEvent, targetFailed, webhookDisabled } from './platform-events.ts'
import { predictionMade } from './prediction-events.ts'
import { rolloutEnded, rolloutHalted, rolloutStarted } from './rollout-events.ts'
import { ruleCut, ruleEvent } from './rule-events.ts'
import type { EventType } from './schema.ts'
import { ticketClosed, ticketOpened, ticketUpdated } from './ticket-events.ts'
import { twinChanged } from './twin-changed.ts'
import {
  commandEnded,
  desiredConflict,
  desiredConverged,
  desiredDiverged,
  deviceEvent,
  twinOffline,
  twinOnline,
  updateEnded,
} from './twin-events.ts'

const TYPES = [
  deviceCreated,
  deviceRemoved,
  twinOnline,
  twinOffline,
  twinChanged,
  deviceEvent,
  desiredConverged,
  desiredDiverged,
  desiredConflict,
  commandEnded,
  updateEnded,
  alarmRaised,
  alarmAcknowledged,
  alarmCleared,
  ruleEvent,
  ruleCut,
  ticketOpened,
  ticketUpdated,
  ticketClosed,
  rolloutStarted,
  rolloutHalted,
  rolloutEnded,
  predictionMade,
  deadLetterCreated,
  webhookDisabled,
  targetFailed,
] as const

export type EventTypeName = (typeof TYPES)[number]['type']
/** The compiler refuses a kind that no type is made of. */
export type EventKind = Known<(TwinEvent | PlatformEvent)['kind']>
type Known<Kind extends (typeof TYPES)[number]['kinds'][number]> = Kind

export const EVENT_TYPES: ReadonlyArray<EventType & { type: EventTypeName }> = TYPES
/** What an endpoint may ask for; `*` is all, those of later versions too. */
export const SUBSCRIPTIONS: readonly [string, ...string[]] = ['*', ...EVENT_TYPES.map(({ type }) => type)]

const TYPE_BY_KIND = new Map(EVENT_TYPES.flatMap(({ type, kinds }) => kinds.map((kind) => [kind, type] as const)))

/** Of an outbox row; `event` is its JSON. A kind that a newer version wrote is a change. */
export function eventTypeOf({ kind, event }: { kind: string; event: string }): EventTypeName {
  if (kind === 'presence-changed') return JSON.parse(event).after === 'online' ? 'twin.online' : 'twin.offline'
  return TYPE_BY_KIND.get(kind) ?? 'twin.changed'
}

export function isSubscribed(types: readonly string[], type: string): boolean {
  return types.includes('*') || types.includes(type)
}
