/**
 * Whom an alarm is told to, and when: its notices, by what happens to it. Pure; times are epoch milliseconds, `at` is when the twin decided.
 *
 *   raised ──► one notice an action of its rule, due `after` later: escalation
 *   acknowledged, cleared ──► those that wait are cancelled
 *   shelved, or in maintenance ──► they are held, and their clock stands still; when both are over it goes on
 *   worse, or back from the shelf ──► who was told is told again; what gets worse meanwhile, when it is heard
 *   cleared ──► who was told is told that too
 *
 * A notice that was put into a bundle (bundles.ts) counts as told: it may have arrived, whatever came of the attempt.
 */
import { SEVERITIES, type Severity } from './rule-types.ts'

/** An action of a rule: whom to tell, and how long after the alarm was raised. */
export interface NotifyAction {
  target: string
  afterMs: number
}

/** What there is to say of an alarm. */
export interface AlarmWords {
  severity: Severity
  text: string
  /** By their names. */
  facts: { [name: string]: string }
}

/** What is known of an alarm that somebody is told of. */
export interface ToldAlarm extends AlarmWords {
  raisedAt: number
  muted?: true
  shelved?: true
  acknowledged?: true
  /** Who was told is to be told again when it is heard. */
  again?: true
  endedAt?: number
}

export type NoticeStatus = 'firing' | 'resolved'
export type NoticeState = 'waiting' | 'held' | 'sent' | 'failed' | 'cancelled'
/** Why nobody is told of an alarm for now. */
type Silence = (typeof SILENCES)[number]
const SILENCES = ['shelved', 'muted'] as const
/** `quiet`: until the quiet hours of its target end. */
export type HeldBy = Silence | 'quiet'

export interface Notice extends AlarmWords {
  target: string
  status: NoticeStatus
  state: NoticeState
  /** Why it is held, was cancelled or has failed. */
  reason?: string
  dueAt: number
  /** When it is looked at. Absent: it is in a bundle, held with its alarm, or has ended. */
  readyAt?: number
  /** Since when its alarm holds it. */
  heldAt?: number
  endedAt?: number
  /** What it went out with. */
  bundle?: string
  /** It stood there in full, and was not only counted. */
  shown?: boolean
  /** Of a resolved one: the alarm was shown to its target, which waits for its end. */
  owed?: boolean
  /** The group that it was bundled in, or goes into because its target was told in that. */
  group?: string
}

/** The notices of an alarm stay in the order in which they were made. */
export interface AlarmNotices {
  alarm: ToldAlarm
  notices: Notice[]
}

/** What happens to an alarm, as far as it matters here. */
export type AlarmTurn =
  | ({ kind: 'updated' } & Partial<AlarmWords>)
  | { kind: 'muted'; muted: boolean }
  | { kind: 'acknowledged' }
  | { kind: 'shelved'; until: number | null }
  | ({ kind: 'cleared' } & Partial<AlarmWords>)

export const RANK: Record<Severity, number> = Object.fromEntries(SEVERITIES.map((severity, rank) => [severity, rank])) as never

export function raised(alarm: ToldAlarm, actions: readonly NotifyAction[], at: number): AlarmNotices {
  const notices = actions.map(({ target, afterMs }) => firing(alarm, target, at + afterMs))
  return { alarm, notices: alarm.muted ? notices.map((notice) => held(notice, 'muted', at)) : notices }
}

/** An alarm that is over stays so. */
export function noticesAfter(known: AlarmNotices, turn: AlarmTurn, at: number): AlarmNotices {
  if (known.alarm.endedAt !== undefined) return known
  switch (turn.kind) {
    case 'updated':
      return updated(known, turn, at)
    case 'acknowledged':
      return { alarm: { ...known.alarm, acknowledged: true }, notices: cancelled(known.notices, 'acknowledged', at) }
    case 'shelved':
      return turn.until === null ? heard(known, 'shelved', at) : silenced(known, 'shelved', at)
    case 'muted':
      return turn.muted ? silenced(known, 'muted', at) : heard(known, 'muted', at)
    case 'cleared':
      return cleared(known, turn, at)
  }
}

/** Those whose targets were told, or may have been, each with the notices by which. */
export function toldTargets(notices: readonly Notice[]): Map<string, Notice[]> {
  return Map.groupBy(
    notices.filter(({ bundle, status }) => bundle !== undefined && status === 'firing'),
    ({ target }) => target,
  )
}

function updated({ alarm, notices }: AlarmNotices, { kind: _, ...words }: Extract<AlarmTurn, { kind: 'updated' }>, at: number) {
  const isWorse = words.severity !== undefined && RANK[words.severity] > RANK[alarm.severity]
  const isHeard = !alarm.muted && !alarm.shelved
  const now: ToldAlarm = { ...alarm, ...words, ...(isWorse && !isHeard && { again: true }) }
  // Those on their way say what they said.
  let after = notices.map((notice) => (isOpen(notice) ? { ...notice, ...words } : notice))
  if (isWorse) after = after.map((notice) => (notice.reason === 'quiet' ? waiting(notice, notice.dueAt) : notice))
  if (isWorse && isHeard) after = [...after, ...again(now, after, at)]
  return { alarm: now, notices: after }
}

/** What may have arrived already has to be told again when it is back: it is not held, but cancelled. */
function silenced({ alarm, notices }: AlarmNotices, by: Silence, at: number): AlarmNotices {
  const after = cancelled(notices, by, at, ({ bundle }) => bundle !== undefined)
  return {
    alarm: { ...alarm, [by]: true },
    notices: after.map((notice) => (isOpen(notice) && notice.heldAt === undefined ? held(notice, by, at) : notice)),
  }
}

/**
 * It is no longer silent by that; it may be by the other. After a shelf who was told is told again; after a maintenance those who may not have been
 * told yet: somebody was at the device, and nothing is new.
 */
function heard({ alarm, notices }: AlarmNotices, by: Silence, at: number): AlarmNotices {
  const { [by]: was, ...rest } = alarm
  if (!was) return { alarm, notices }
  const { again: wasAgain, ...now }: ToldAlarm = rest
  const isAgain = wasAgain || by === 'shelved'
  const still = SILENCES.find((other) => now[other])
  if (still)
    return {
      alarm: { ...now, ...(isAgain && { again: true }) },
      notices: notices.map((notice) => (notice.reason === by && isOpen(notice) ? { ...notice, reason: still } : notice)),
    }
  const after = notices.map((notice) => goesOn(notice, at))
  const isUnsure = (told: Notice) => told.state === 'cancelled' && told.reason === by
  return { alarm: now, notices: now.acknowledged ? after : [...after, ...again(now, after, at, (told) => isAgain || isUnsure(told))] }
}

function cleared({ alarm, notices }: AlarmNotices, turn: Extract<AlarmTurn, { kind: 'cleared' }>, at: number): AlarmNotices {
  const { kind: _, ...words } = turn
  const now: ToldAlarm = { ...alarm, ...words, endedAt: at }
  const ends = [...toldTargets(notices)].map(([target, told]): Notice => {
    const last = told.at(-1)!
    const owed = told.some(({ shown }) => shown)
    return { ...firing(now, target, at), status: 'resolved', owed, ...(last.group !== undefined && { group: last.group }) }
  })
  return { alarm: now, notices: [...cancelled(notices, 'cleared', at), ...ends] }
}

/** Who was told, last by such a notice, and is not about to be told anyway. */
function again(alarm: ToldAlarm, notices: readonly Notice[], at: number, which: (last: Notice) => boolean = () => true): Notice[] {
  return [...toldTargets(notices)]
    .filter(([, told]) => which(told.at(-1)!))
    .filter(([target]) => !notices.some((notice) => notice.target === target && isOpen(notice) && notice.dueAt <= at))
    .map(([target, told]) => {
      const { group } = told.at(-1)!
      return { ...firing(alarm, target, at), ...(group !== undefined && { group }) }
    })
}

function firing({ severity, text, facts }: AlarmWords, target: string, dueAt: number): Notice {
  return { target, status: 'firing', state: 'waiting', severity, text, facts, dueAt, readyAt: dueAt }
}

/** Not in a bundle, and it has not ended. */
function isOpen({ state, bundle, status }: Notice): boolean {
  return status === 'firing' && bundle === undefined && (state === 'waiting' || state === 'held')
}

function held({ readyAt: _, ...notice }: Notice, reason: HeldBy, at: number): Notice {
  return { ...notice, state: 'held', reason, heldAt: at }
}

function waiting({ reason: _, heldAt: _since, ...notice }: Notice, dueAt: number): Notice {
  return { ...notice, state: 'waiting', dueAt, readyAt: dueAt }
}

/** It is due after as long as it had still to wait. */
function goesOn(notice: Notice, at: number): Notice {
  return notice.heldAt === undefined || !isOpen(notice) ? notice : waiting(notice, at + Math.max(0, notice.dueAt - notice.heldAt))
}

/** In a bundle or not, unless it has ended: what is tried again leaves it out. */
function cancelled(notices: readonly Notice[], reason: string, at: number, which: (notice: Notice) => boolean = () => true): Notice[] {
  return notices.map((notice) => {
    if (notice.status !== 'firing' || (notice.state !== 'waiting' && notice.state !== 'held') || !which(notice)) return notice
    const { readyAt: _, heldAt: _since, ...rest } = notice
    return { ...rest, state: 'cancelled', reason, endedAt: at }
  })
}
