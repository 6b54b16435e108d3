/**
 * A device's firmware update, as its twin decides it: at most one is under way, and each ends exactly once (docs/rollouts.md).
 *
 * It is let go when its device may be told; that it was told, and how far the device is, stands in Postgres, which the twin asks when a deadline
 * has come. It has begun to soak when the device says that it runs the new firmware, and is healthy when it stayed so. What changes by
 * presence alone is a consequence, in evolve-updates.ts.
 */
import { BY_TIMER, byMessage, byRequest } from './causes.ts'
import { evolve } from './evolve.ts'
import { isThere } from './evolve-updates.ts'
import { words } from './plain.ts'
import type { Cause, OpenUpdate, ToldUpdate, TwinEvent, TwinInput, TwinState } from './types.ts'
import { awaited, isBack } from './update-returns.ts'
import { dueSoaking, otherContent, verdict } from './update-soaking.ts'
import { type End, endedUpdate, endOf, IN_MAINTENANCE, LATER, MESSAGE_LENGTH, type Next, nextOf, waitMs } from './update-steps.ts'

type Input<Kind extends TwinInput['kind']> = Extract<TwinInput, { kind: Kind }>

/** How the row of an update stands was not to be had. */
const ASK_AGAIN_MS = 60_000
/** What may go well the next time. */
const AGAIN: ReadonlySet<string> = new Set(['download-failed', 'hash-mismatch', 'no-space', 'job-expired'])
/** Its device had the image and went on with it: away now, it fell silent by it. */
const AT_IT: ReadonlySet<string> = new Set(['installing', 'rebooting'])
/** What may mean something for an update under way. */
const NEWS: ReadonlySet<string> = new Set<TwinEvent['kind']>([
  'presence-changed',
  'firmware-changed',
  'health-changed',
  'maintenance-changed',
])
const CODE_LENGTH = 100

/** What a request becomes; undefined: it was asked for already. */
export function updateOutcome(state: TwinState, { at, update }: Input<'update'>): Next | undefined {
  const { id, firmware, precedence } = update
  const { update: active, endedUpdates, firmware: runs } = state
  if (active?.id === id || endedUpdates.some((known) => known.id === id)) return undefined
  if (runs?.version === firmware.version && runs.sha256 === firmware.sha256)
    return { end: { status: 'skipped', code: 'already-installed', message: `It runs ${firmware.version} already.` } }
  const isInTheWay = active && !(active.phase === 'waiting' && precedence > active.precedence)
  if (isInTheWay) return { end: { status: 'skipped', code: 'busy', message: `Update ${active.id} is under way.` } }
  return nextOf(update, state, at)
}

export function decideUpdate(state: TwinState, input: Input<'update'>): TwinEvent[] {
  const next = updateOutcome(state, input)
  if (!next) return []
  const { at, request, update } = input
  const { update: active, firmware: from } = state
  const cause = byRequest(request, update.by)
  const requested = (deadlineAt: number): TwinEvent => ({ kind: 'update-requested', at, update, from, deadlineAt, cause })
  if ('end' in next) return [requested(at), endedUpdate(update, from, at, cause, next.end)]
  const superseded: End = { status: 'cancelled', code: 'superseded', message: `Update ${update.id} took its place.` }
  const ended = active ? [endedUpdate(active, active.from, at, cause, superseded)] : []
  const first = requested('until' in next ? at : next.waitUntil)
  const asked = [...ended, first].reduce(evolve, state)
  return [...ended, first, ...goOn(asked, asked.update as OpenUpdate, next, at, cause)]
}

export function decideCancelUpdate({ update }: TwinState, { at, request, id, by }: Input<'cancel-update'>): TwinEvent[] {
  if (update?.id !== id) return []
  const end: End = { status: 'cancelled', code: 'cancelled', message: `Cancelled by ${by}.` }
  return [endedUpdate(update, update.from, at, byRequest(request, by), end)]
}

/**
 * Its last word. While it is not to be told, one that says what may pass is of an attempt before. Once it runs the new firmware it has nothing to
 * reject: it was told once more of what it had done.
 */
export function decideUpdateAnswer({ update }: TwinState, { at, id, messageId, ...said }: Input<'update-answer'>): TwinEvent[] {
  if (update?.id !== id) return []
  const { status } = said
  const { phase, attempt, attempts, retryMs, offerUntil, until = offerUntil } = update
  const why = {
    code: words(said.code, CODE_LENGTH),
    ...(said.message !== undefined && { message: words(said.message, MESSAGE_LENGTH) }),
  }
  const cause = byMessage(messageId)
  if (status === 'rejected' && phase === 'soaking') return []
  const mayPass = status === 'failed' && phase !== 'soaking' && (LATER.has(why.code) || AGAIN.has(why.code))
  if (mayPass && phase === 'waiting') return []
  const isLater = LATER.has(why.code)
  const deadlineAt = at + (isLater ? waitMs(update, at, until) : retryMs * 2 ** (attempt - 1))
  if (mayPass && (isLater || attempt < attempts) && deadlineAt < offerUntil)
    return [{ kind: 'update-postponed', at, id, attempt: isLater ? attempt : attempt + 1, deadlineAt, ...why, cause }]
  return [endedUpdate(update, update.from, at, cause, { status, ...why })]
}

/** The twin's own timer: `told` is how the row of a released update stands. */
export function decideUpdateDue(state: TwinState, told: ToldUpdate | undefined, now: number): TwinEvent[] {
  const { update } = state
  if (!update || update.deadlineAt > now) return []
  switch (update.phase) {
    case 'waiting':
      return goOn(state, update, nextOf(update, state, now), now, BY_TIMER)
    case 'released':
      return told?.id === update.id ? dueReleased(state, update, told, now) : [awaited(update, now, now + ASK_AGAIN_MS, update.returnsBy)]
    case 'soaking':
      return dueSoaking(state, update, now)
  }
}

/**
 * What it means for an update that its device came, went, runs something else, is not well or in maintenance. `at` is that of what was decided
 * on.
 */
export function decideUnderWay(before: TwinState, events: TwinEvent[], receivedAt: number): TwinEvent[] {
  const news = events.findLast(({ kind }) => NEWS.has(kind))
  if (!news || before.update === null) return []
  const state = events.reduce(evolve, before)
  const update = state.update as OpenUpdate
  if (news.kind === 'maintenance-changed' && update.phase !== 'soaking') return onMaintenance(state, update, receivedAt, news.cause)
  const at = Math.max(receivedAt, state.presence.since)
  if (update.phase === 'soaking') return verdict(state, update, at, news.cause)
  const { version, sha256 } = update.firmware
  if (state.firmware?.version !== version || !events.some(({ kind }) => kind === 'firmware-changed')) return []
  if (state.firmware.sha256 !== sha256) return [endedUpdate(update, update.from, at, news.cause, otherContent(state))]
  const soaksUntil = at + update.soakMs
  const last = soaksUntil + update.silenceMs
  const deadlineAt = isThere(state.presence) ? soaksUntil : last
  const soaking: TwinEvent = { kind: 'update-soaking', at, id: update.id, deadlineAt, giveUpAt: last, cause: news.cause }
  const soaks = evolve(state, soaking)
  return [soaking, ...verdict(soaks, soaks.update as OpenUpdate, at, news.cause)]
}

/** One that waits for the end of a maintenance learns that this is another one now. What is under way goes on. */
function onMaintenance(state: TwinState, update: OpenUpdate, at: number, cause: Cause): TwinEvent[] {
  if (update.phase !== 'waiting' || update.code !== IN_MAINTENANCE) return []
  const next = nextOf(update, state, at)
  return 'waitUntil' in next && next.waitUntil === update.deadlineAt ? [] : goOn(state, update, next, at, cause)
}

function goOn(state: TwinState, update: OpenUpdate, next: Next, at: number, cause: Cause, why?: string): TwinEvent[] {
  const { id, attempt, deadlineAt, installMs } = update
  if ('end' in next) return [endedUpdate(update, update.from, at, cause, next.end)]
  if ('until' in next) {
    const { until } = next
    const expected = state.presence.status === 'online' ? Math.min(until, at + installMs) : until
    return [{ kind: 'update-released', at, id, attempt, until, deadlineAt: expected, cause }]
  }
  const { waitUntil, code = why } = next
  if (code !== undefined) return [{ kind: 'update-postponed', at, id, attempt, deadlineAt: waitUntil, code, cause }]
  return waitUntil === deadlineAt ? [] : [awaited(update, at, waitUntil)]
}

function dueReleased(state: TwinState, update: OpenUpdate, told: ToldUpdate, now: number): TwinEvent[] {
  const { until = 0, installMs, from } = update
  const { sentAt, unusable } = told
  if (sentAt === null) {
    if (unusable) return [endedUpdate(update, from, now, BY_TIMER, endOf(update, { status: 'skipped', ...unusable }))]
    if (now < until) return [awaited(update, now, until)]
    return goOn(state, update, nextOf(update, state, now), now, BY_TIMER, 'window-over')
  }
  const returned = isHere(state, told) && isBack(state, update)
  const last = Math.min(sentAt + installMs, returned ? (update.returnsBy ?? Infinity) : Infinity)
  if (now < last) return [awaited(update, now, last, returned ? update.returnsBy : undefined)]
  if (returned) return [endedUpdate(update, from, now, BY_TIMER, returnedEnd(state))]
  return [endedUpdate(update, from, now, BY_TIMER, overdue(state, update, told))]
}

/** Whom nothing was received of since its last word has not come back, though the time of its presence may not be over yet. */
function overdue(state: TwinState, { from }: OpenUpdate, told: ToldUpdate): End {
  const { firmware } = state
  const { status, statusAt, lastSeenAt } = told
  const word = `Its last word was "${status}".`
  if (AT_IT.has(status) && (!isHere(state, told) || (lastSeenAt ?? Infinity) <= (statusAt ?? 0)))
    return { status: 'timed-out', code: 'silent', message: `It has been silent since it was updated. ${word}` }
  if (status === 'rebooting' && firmware !== null && firmware.version === from?.version) return returnedEnd(state)
  return { status: 'timed-out', code: 'too-slow', message: `It did not come with the new firmware in time. ${word}` }
}

/** It went away where only its inbox knows it yet: while it restarts, that is not urgent. */
function isHere({ presence }: TwinState, told: ToldUpdate): boolean {
  return presence.status === 'online' && told.presence !== 'offline'
}

function returnedEnd({ firmware }: TwinState): End {
  return { status: 'rolled-back', code: 'returned', message: `It is back, and still runs ${firmware?.version}.` }
}
