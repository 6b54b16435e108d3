/**
 * The pace of work over many devices: bulk changes, rollouts, migrations. How many may start now, how long to wait, and when to stop because too
 * much went wrong. Pure: whoever uses it counts, and starts.
 */

export interface Pace {
  /** Devices started a second, at most. */
  perSecond: number
  /** Devices under way at once, at most. */
  atOnce: number
  errorLimit: ErrorLimit
}

/** Too much went wrong: at least `minimum` devices have ended, and more than `share` of them, or more than `count`, failed. */
export interface ErrorLimit {
  /** 0 to 1; 1 never halts. */
  share: number
  minimum: number
  /** Absent: no number is too many by itself. */
  count?: number
}

export interface Progress {
  total: number
  /** Not started yet. */
  waiting: number
  underway: number
  succeeded: number
  failed: number
  /** Devices that had no part in it. */
  skipped: number
}

export type PaceStep = { kind: 'start'; count: number } | { kind: 'wait'; ms: number } | { kind: 'halt'; reason: string } | { kind: 'done' }

const STEP_MS = 1_000
/** While nothing more is to be started: looked at ever more seldom. */
const WATCH_MS = { first: 1_000, most: 30_000 } as const

/**
 * `startedAt`: epoch ms of the last start, 0 for none; `idle`: how many looks in a row found nothing new.
 * What may start is a second's worth at a time, so one step a second keeps the pace.
 */
export function nextStep(pace: Pace, progress: Progress, { startedAt, idle }: { startedAt: number; idle: number }, now: number): PaceStep {
  const { waiting, underway } = progress
  const reason = tooManyFailed(pace.errorLimit, progress)
  if (reason !== undefined && waiting > 0) return { kind: 'halt', reason }
  if (waiting === 0 && underway === 0) return { kind: 'done' }
  return pacedStart(pace, { waiting, underway }, { startedAt, idle }, now)
}

/** The same without an end: how many may start now, or how long to wait. */
export function pacedStart(
  pace: Pick<Pace, 'perSecond' | 'atOnce'>,
  { waiting, underway }: Pick<Progress, 'waiting' | 'underway'>,
  { startedAt, idle }: { startedAt: number; idle: number },
  now: number,
): Extract<PaceStep, { kind: 'start' | 'wait' }> {
  const room = Math.max(0, pace.atOnce - underway)
  if (waiting === 0 || room === 0) return { kind: 'wait', ms: watchMs(idle) }
  // Slower than one a second: one at a time, so far apart.
  const count = Math.max(1, Math.floor((pace.perSecond * STEP_MS) / 1000))
  const gapMs = Math.ceil((count * 1000) / pace.perSecond)
  const early = startedAt + gapMs - now
  if (startedAt > 0 && early > 0) return { kind: 'wait', ms: Math.min(early, gapMs) }
  return { kind: 'start', count: Math.min(count, room, waiting) }
}

/** Until the next look, when nothing is to be started. */
export function watchMs(idle: number): number {
  return Math.min(WATCH_MS.most, WATCH_MS.first * 2 ** Math.min(idle, 10))
}

export function tooManyFailed({ share, minimum, count }: ErrorLimit, { succeeded, failed }: Progress): string | undefined {
  const ended = succeeded + failed
  if (count !== undefined && failed > count) return `${failed} devices failed, more than ${count}`
  if (ended < minimum || ended === 0 || failed / ended <= share) return undefined
  return `${failed} of ${ended} devices failed, more than ${Math.round(share * 1000) / 10} %`
}
