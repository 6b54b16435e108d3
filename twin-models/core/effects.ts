/**
 * What of a decision concerns more than the twin itself: what is to be told to the device, which commands it lets go or ends, and what becomes
 * of the rows of its updates and alarms.
 */
import { type AlarmChange, alarmChanges } from './alarm-effects.ts'
import { outstandingOf } from './delta.ts'
import { same } from './plain.ts'
import type { CommandEnd, DeviceAnswer, Firmware, JsonObject, TwinEvent, TwinState, UpdateEnd, UpdateRequest, Value } from './types.ts'
import { updateChanges } from './update-effects.ts'

/** The decision write makes these true together with the state (infra/postgres/decision-store.ts). */
export interface DecisionEffects {
  /** The row of `wishes` from now on; absent: it stays as it is. `body` null: nothing is outstanding. */
  wish?: { version: number; body: { version: number; state: JsonObject } | null; answered: boolean; retryMs: number }
  /** Ids of commands that may be sent now, in order. */
  released: string[]
  /** `tell`: if it was sent, the device hears of it by `commands/{id}/cancel`. */
  ended: Array<{ id: string; status: CommandEnd; output?: Value; code?: string; message?: string; tell: boolean }>
  late: Array<{ id: string; at: number } & DeviceAnswer>
  /** One change an update, in the order in which they came up. */
  updates: UpdateChange[]
  /** One change an alarm, in the order in which they came up. */
  alarms: AlarmChange[]
}

/** What becomes of one row of `updates`. Absent members: that stays as it is. */
export interface UpdateChange {
  id: string
  /** `scheduled`: it is not told for now; its row is as if it had never been sent. The first end stays. */
  status?: 'scheduled' | 'soaking' | UpdateEnd
  /** The one under way, or the next one. From 1. */
  attempt?: number
  /** The device may be told: a job is to be signed for it. */
  release?: UpdateRelease
  /** Nobody tells the device (any more): its job goes. */
  withdraw?: true
  /** Why it ended, or why the attempt before did; with `code` absent beside a status there is none. */
  code?: string
  message?: string
  /** It ended while the device may be at it: if it was sent, the device hears of the end by `updates/{id}/cancel`. */
  tell?: boolean
  /** What ran when it was requested; null: unknown. */
  from?: Firmware | null
}

export interface UpdateRelease {
  id: string
  attempt: number
  kind: UpdateRequest['kind']
  firmware: UpdateRequest['firmware']
  /** Epoch ms: the device may be told until then. */
  until: number
  /** Epoch ms: the device may download until then. */
  linkUntil: number
}

const RETRY_MS = 30_000

/** Undefined when it concerns nobody else: nearly all decisions. */
export function effectsOf(before: TwinState, after: TwinState, events: TwinEvent[]): DecisionEffects | undefined {
  const [updates, alarms] = [updateChanges(after, events), alarmChanges(before, events)]
  const effects: DecisionEffects = { released: [], ended: [], late: [], updates, alarms }
  const wish = changedWish(before, after)
  if (wish) effects.wish = wish
  for (const event of events) {
    if (event.kind === 'command-released') effects.released.push(event.id)
    else if (event.kind === 'command-ended') {
      const { kind: _kind, at: _at, name: _name, cause: _cause, ...end } = event
      // One that ends for any other reason has ended for its device, too: it answered, or knows until when it counts.
      effects.ended.push({ ...end, tell: end.status === 'cancelled' })
    } else if (event.kind === 'command-late') {
      const { kind: _kind, cause: _cause, ...answer } = event
      effects.late.push(answer)
    }
  }
  const ended = new Set(effects.ended.map(({ id }) => id))
  effects.released = effects.released.filter((id) => !ended.has(id))
  const lists = [effects.released, effects.ended, effects.late, updates, alarms]
  return wish || lists.some((list) => list.length > 0) ? effects : undefined
}

function changedWish(before: TwinState, after: TwinState): DecisionEffects['wish'] {
  if (before.desired === after.desired && before.settings === after.settings) return undefined
  const wish = wishOf(after)
  return same(wishOf(before), wish) ? undefined : wish
}

function wishOf({ desired, settings }: TwinState): DecisionEffects['wish'] {
  const { version, answered } = desired
  if (version === 0) return undefined
  const state = outstandingOf(desired)
  const retryMs = desired.retryMs ?? settings.retryMs ?? RETRY_MS
  return { version, body: state && { version, state }, answered: answered >= version, retryMs }
}
