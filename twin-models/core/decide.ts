/**
 * What an input means for a twin: `decide` is the only place where something is decided.
 *
 * Pure: the same state, input and time give the same events, in the workflow, in tests and in simulation. It never changes the state;
 * evolve.ts does, by events alone, and consume.ts keeps the books on what decides nothing.
 */
import { decideAlarm, decideRules } from './alarms.ts'
import { byMessage } from './causes.ts'
import { decideAnswer, decideCancel, decideCommand, decideDue } from './commands.ts'
import { evolve } from './evolve.ts'
import { withoutOldWords } from './hellos.ts'
import { decideMaintenance } from './maintenance.ts'
import { own, same } from './plain.ts'
import { backstop, goodbye, signOfLife, silence } from './presence.ts'
import { statusAfter } from './ranges.ts'
import { decideReported } from './reported.ts'
import type { Cause, Firmware, Health, TwinEvent, TwinInput, TwinState, Value } from './types.ts'
import { decideReturn } from './update-returns.ts'
import { decideCancelUpdate, decideUnderWay, decideUpdate, decideUpdateAnswer, decideUpdateDue } from './updates.ts'
import { decideDeadlines, decideWish } from './wishes.ts'

type Input<Kind extends TwinInput['kind']> = Extract<TwinInput, { kind: Kind }>

export function decide(state: TwinState, given: TwinInput, now: number): TwinEvent[] {
  const input = given.kind === 'hello' ? withoutOldWords(given, state) : given
  const first = decideFirst(state, input, now)
  if (state.update === null) return first
  const events = first.length === 0 ? first : [...first, ...decideUnderWay(state, first, input.at)]
  return input.kind === 'hello' ? [...events, ...decideReturn(events.reduce(evolve, state), input)] : events
}

/** All but what follows from it for an update under way. */
function decideFirst(state: TwinState, input: TwinInput, now: number): TwinEvent[] {
  const { presence, settings } = state
  switch (input.kind) {
    case 'configured':
      return configured(state, input)
    case 'life':
      return signOfLife(presence, input.at, 'message', byMessage(input.messageId))
    case 'silent':
      return silence(presence, input.at, input.lastSeenAt)
    case 'hello':
      return hello(state, input)
    case 'event':
      return [deviceEvent(input)]
    case 'reading':
      return reading(state, input)
    case 'deliver':
    case 'tick':
    case 'update-step':
      return []
    case 'backstop':
      return backstop(presence, input.at, input.lastSeenAt, input.connected, settings.presenceTimeoutMs, now)
    case 'wish':
      return decideWish(state, input)
    case 'reported':
      return decideReported(state, input)
    case 'command':
      return decideCommand(state, input)
    case 'cancel':
      return decideCancel(state, input)
    case 'command-answer':
      return decideAnswer(state, input)
    case 'update':
      return decideUpdate(state, input)
    case 'cancel-update':
      return decideCancelUpdate(state, input)
    case 'update-answer':
      return decideUpdateAnswer(state, input)
    case 'rules':
      return decideRules(state, input)
    case 'alarm':
      return decideAlarm(state, input)
    case 'maintenance':
      return decideMaintenance(state, input)
    case 'due':
      return [...decideDue(state, input, now), ...decideDeadlines(state, now), ...decideUpdateDue(state, input.update, now)]
    default:
      return unknownKind(input)
  }
}

/** A change of health worth an event is the device's own verdict, as the wake conditions know it. The rest of it moves all the time. */
export function healthDiffers(before: Health | null, after: Health): boolean {
  return before === null || before.ok !== after.ok
}

/** A device that complains at length must not make its twin long. */
export function boundedHealth(health: Health): Health {
  if (health.errors === undefined) return health
  return { ...health, errors: health.errors.slice(0, 20).map((error) => error.slice(0, 200)) }
}

/** New settings, and what the values already known mean under them. */
function configured(state: TwinState, { at, settings }: Input<'configured'>): TwinEvent[] {
  if (same(state.settings, settings)) return []
  const cause: Cause = { by: 'lane' }
  const events: TwinEvent[] = [{ kind: 'configured', at, settings, cause }]
  for (const [name, range] of Object.entries(settings.ranges)) {
    const known = knownNumber(state, name)
    if (!known) continue
    const before = own(state.ranges, name)?.status ?? 'normal'
    const after = statusAfter(range, before, known.value)
    if (after !== before) events.push({ kind: 'range-changed', at, name, before, after, ...known, cause })
  }
  return events
}

function hello(state: TwinState, input: Input<'hello'>): TwinEvent[] {
  const { at, status, will = false, firmware, health } = input
  const cause = byMessage(input.messageId)
  const events = status === 'online' ? signOfLife(state.presence, at, 'hello', cause) : goodbye(state.presence, at, will, cause)
  if (firmware && firmwareDiffers(state.firmware, firmware)) {
    events.push({ kind: 'firmware-changed', at, before: state.firmware, after: firmware, cause })
  }
  if (health) {
    const after = boundedHealth(health)
    if (healthDiffers(state.health, after)) events.push({ kind: 'health-changed', at, before: state.health, after, cause })
  }
  return events
}

function firmwareDiffers(before: Firmware | null, after: Firmware): boolean {
  return before === null || before.version !== after.version || (after.sha256 !== undefined && before.sha256 !== after.sha256)
}

function deviceEvent({ at, name, ts, data, messageId }: Input<'event'>): TwinEvent {
  return { kind: 'device-event', at, name, ts, data, cause: byMessage(messageId) }
}

/** Late readings (older than the newest one known) are history, not news: they never decide. */
function reading(state: TwinState, { at, name, value, ts, messageId }: Input<'reading'>): TwinEvent[] {
  const range = own(state.settings.ranges, name)
  const watched = own(state.ranges, name)
  if (!range || !watched || typeof value !== 'number' || ts < watched.newest) return []
  const after = statusAfter(range, watched.status, value)
  if (after === watched.status) return []
  return [{ kind: 'range-changed', at, name, before: watched.status, after, value, ts, cause: byMessage(messageId) }]
}

function knownNumber(state: TwinState, name: string): { value: number; ts: number } | undefined {
  const watched = own(state.ranges, name)
  if (watched && watched.newest > 0) return { value: watched.value, ts: watched.newest }
  const [value, ts] = own<[Value, number]>(state.values, name) ?? [null, 0]
  return typeof value === 'number' ? { value, ts } : undefined
}

/** Does not compile where a kind is forgotten. At run time: an input of a newer Castor, which an older worker must not swallow. */
function unknownKind(input: never): never {
  throw new Error(`This worker does not know inputs of kind ${(input as TwinInput).kind}; it is older than what wrote them`)
}
