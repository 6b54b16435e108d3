/** What decoding has found so far. One object a message, filled in place: it is made thirty thousand times a second. */
import type { DeviceModel } from '../../../twin-models/model.ts'
import type { Message } from '../log.ts'
import type { Reason } from '../reasons.ts'

/** Listed per message; those beyond are counted. */
export const MAX_PROBLEMS = 10
export const MAX_VALUES = 5_000
/** Of a name that is shown in a path or a detail. */
const MAX_SHOWN = 128

export interface Problem {
  reason: Reason
  /** JSON pointer into the payload; '' is all of it. */
  path: string
  /** In words, for whoever wrote the device's program. */
  detail: string
  /** Id of the message or element, where it has a valid one. */
  messageId?: string
}

/** Times that the device got wrong, and that `receivedAt` replaced. */
export interface ClockDoubts {
  future: number
  /** Before 2000: the clock was never set. */
  unset: number
  /** The farthest of the future ones, in milliseconds after receipt. */
  aheadMs: number
  /** The farthest that a clock may be ahead by drift; what lies beyond is a mistake of its own. */
  leadMs: number
}

export interface Draft<Part> {
  message: Message
  model: DeviceModel
  device: string
  parts: Part[]
  problems: Problem[]
  problemCount: number
  clock: ClockDoubts | null
  /** The clock runs ahead: all times of the message go back by so much. */
  setBackMs: number
  ownTime: number | null
  /** Values seen, good and bad. */
  values: number
}

const UNSET_BEFORE_MS = Date.UTC(2000, 0, 1)
/** Clocks that are set by a network are never quite right: who is ahead by less is believed, and so keeps apart what it measured apart. */
export const BELIEVED_AHEAD_MS = 1_000
const MOST_DRIFT_MS = 86_400_000

export function addProblem(draft: Draft<unknown>, reason: Reason, path: string, detail: string, messageId?: string): undefined {
  draft.problemCount++
  if (draft.problems.length >= MAX_PROBLEMS) return
  draft.problems.push(messageId === undefined ? { reason, path, detail } : { reason, path, detail, messageId })
}

/**
 * As it was told, if it can be so: neither after receipt, beyond what network and clocks make of it, nor of a clock that was not set. Else the
 * time of receipt, or as long before it as the message's other times ask for (`setBackMs`).
 */
export function trustedTime(draft: Draft<unknown>, own: number): number {
  const { receivedAt } = draft.message
  if (draft.setBackMs === 0 && own <= receivedAt + BELIEVED_AHEAD_MS && own >= UNSET_BEFORE_MS) return own
  draft.clock ??= { future: 0, unset: 0, aheadMs: 0, leadMs: 0 }
  if (own < UNSET_BEFORE_MS) {
    draft.clock.unset++
    return receivedAt
  }
  const aheadMs = own - receivedAt
  draft.clock.future++
  draft.clock.aheadMs = Math.max(draft.clock.aheadMs, aheadMs)
  if (aheadMs <= MOST_DRIFT_MS) draft.clock.leadMs = Math.max(draft.clock.leadMs, aheadMs)
  return Math.min(receivedAt, own - draft.setBackMs)
}

/** The device told this time by its own clock, and it was taken: believed or replaced. */
export function noteOwnTime(draft: Draft<unknown>, own: number): undefined {
  if (draft.ownTime === null || own > draft.ownTime) draft.ownTime = own
}

export function isUnset(own: number): boolean {
  return own < UNSET_BEFORE_MS
}

/** How many times were replaced so far. */
export function doubtsOf({ clock }: Draft<unknown>): number {
  return clock === null ? 0 : clock.future + clock.unset
}

/** One step of a JSON pointer (RFC 6901), fit to be stored and shown whatever the device sent. */
export function pointer(name: string | number): string {
  return typeof name === 'number' ? `/${name}` : `/${shown(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** A text of the device for a reader: short, without control characters, well formed. */
export function shown(text: string): string {
  const short = text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`
  return short.toWellFormed().replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')
}
