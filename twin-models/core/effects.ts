/** What of a decision concerns more than the twin itself: what is to be told to the device, and which commands it lets go or ends. */
import { outstandingOf } from './delta.ts'
import { same } from './plain.ts'
import type { CommandEnd, DeviceAnswer, JsonObject, TwinEvent, TwinState, Value } from './types.ts'

/** The decision write makes these true together with the state (infra/postgres/decision-store.ts). */
export interface DecisionEffects {
  /** The row of `wishes` from now on; absent: it stays as it is. `body` null: nothing is outstanding. */
  wish?: { version: number; body: { version: number; state: JsonObject } | null; answered: boolean; retryMs: number }
  /** Ids of commands that may be sent now, in order. */
  released: string[]
  /** `tell`: if it was sent, the device hears of it by `commands/{id}/cancel`. */
  ended: Array<{ id: string; status: CommandEnd; output?: Value; code?: string; message?: string; tell: boolean }>
  late: Array<{ id: string; at: number } & DeviceAnswer>
}

const RETRY_MS = 30_000

/** Undefined when it concerns nobody else: nearly all decisions. */
export function effectsOf(before: TwinState, after: TwinState, events: TwinEvent[]): DecisionEffects | undefined {
  const effects: DecisionEffects = { released: [], ended: [], late: [] }
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
  return wish || effects.released.length + effects.ended.length + effects.late.length > 0 ? effects : undefined
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
