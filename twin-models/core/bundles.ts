/**
 * What goes out together: notices of one target become bundles, each of which is one message. Pure; times are epoch milliseconds.
 *
 * Notices of one rule and site are a group. A group goes out some time after its first notice (`groupWaitMs`), and then at most once an interval.
 * Where so many groups wait that a target would hear of nothing else, they are told by rule, or all together: ten thousand alarms are a few
 * messages, whatever they have in common. What is no alarm goes by itself.
 */
import { RANK } from './notices.ts'
import type { Severity } from './rule-types.ts'

export interface BundlePace {
  groupWaitMs: number
  groupIntervalMs: number
  /** Messages. */
  perMinute: number
}

/** Notices that wait, and have one key. */
export interface WaitingGroup {
  key: string
  /** Null: it goes by itself. */
  rule: string | null
  /** When its first notice was ready. */
  firstAt: number
}

export interface NextBundle {
  /** All that waits of these groups. */
  keys: string[]
  /** The key of what they are together. */
  as: string
}

/** Alarms that stand in a message in full; the others are counted. */
export const MOST_SHOWN = 100
/** Of those, kept for alarms that are over and were shown before: their receiver waits for it. */
const FOR_RESOLVED = 50
/** Of the messages of a minute: with more groups than that they are told together. */
const GROUPS_SHARE = 1 / 4
const MINUTE_MS = 60_000

/** As Alertmanager writes what a group has in common. */
export function groupKeyOf({ rule, site }: { rule?: string; site?: string | undefined } = {}): string {
  const labels = [rule !== undefined && `alertname=${JSON.stringify(rule)}`, site !== undefined && `site=${JSON.stringify(site)}`]
  return `{}:{${labels.filter(Boolean).join(', ')}}`
}

/** Also each group by rule, and all together: their last bundles matter too. */
export function keysOf(groups: readonly WaitingGroup[]): string[] {
  const rules = groups.flatMap(({ rule }) => (rule === null ? [] : [groupKeyOf({ rule })]))
  return [...new Set([...groups.map(({ key }) => key), ...rules, groupKeyOf()])]
}

/** `lastAt`: when the last bundle of a key was made. Undefined: nothing waits. */
export function nextBundle(
  groups: readonly WaitingGroup[],
  pace: BundlePace,
  lastAt: (key: string) => number | undefined,
  now: number,
): NextBundle | { lookAt: number } | undefined {
  let next: (NextBundle & { at: number }) | undefined
  for (const { keys, as, firstAt, isSingle } of merged(groups, pace)) {
    const at = isSingle ? firstAt : Math.max(firstAt + pace.groupWaitMs, (lastAt(as) ?? -Infinity) + pace.groupIntervalMs)
    if (next === undefined || at < next.at) next = { keys, as, at }
  }
  if (next === undefined) return undefined
  return next.at <= now ? { keys: next.keys, as: next.as } : { lookAt: next.at }
}

interface Merged extends NextBundle {
  firstAt: number
  isSingle: boolean
}

function merged(groups: readonly WaitingGroup[], { perMinute }: BundlePace): Merged[] {
  const alarms = groups.filter(({ rule }) => rule !== null)
  const most = Math.max(1, Math.floor(perMinute * GROUPS_SHARE))
  let together = joined(alarms, ({ key }) => key)
  if (together.length > most) together = joined(alarms, ({ rule }) => groupKeyOf({ rule: rule! }))
  if (together.length > most) together = joined(alarms, () => groupKeyOf())
  const singles = groups.filter(({ rule }) => rule === null)
  return [...singles.map(({ key, firstAt }) => ({ keys: [key], as: key, firstAt, isSingle: true })), ...together]
}

function joined(groups: readonly WaitingGroup[], as: (group: WaitingGroup) => string): Merged[] {
  return [...Map.groupBy(groups, as)].map(([key, of]) => ({
    ...{ keys: of.map(({ key }) => key), as: key, isSingle: false },
    firstAt: Math.min(...of.map(({ firstAt }) => firstAt)),
  }))
}

/** One notice that waits to be bundled. */
export interface Candidate {
  id: number
  /** Of the alarm: two notices of one are told once. */
  key: string
  status: 'firing' | 'resolved'
  severity: Severity
  owed: boolean
}

/**
 * Which of them a bundle takes: those that stand in it in full, the worst and then the oldest first, and those that are counted. An alarm that is
 * over and was shown before is never only counted: where there is no room for it, it waits for the next bundle. `candidates`: the oldest first.
 */
export function composed(candidates: readonly Candidate[]): { shown: number[]; counted: number[] } {
  const byKey = [...Map.groupBy(candidates, ({ key }) => key).values()]
  const owed = byKey.filter((notices) => notices.some(({ owed }) => owed))
  const isOwed = new Set(owed)
  const rest = byKey.filter((notices) => !isOwed.has(notices)).sort((a, b) => urgency(b) - urgency(a))
  const goOn = rest.filter((notices) => notices.some(({ status }) => status === 'firing')).length
  const firstOwed = owed.slice(0, Math.max(FOR_RESOLVED, MOST_SHOWN - goOn))
  const shown = [...firstOwed.slice(0, MOST_SHOWN), ...rest.slice(0, Math.max(0, MOST_SHOWN - firstOwed.length))]
  const isShown = new Set(shown)
  const ids = (notices: Candidate[][]) => notices.flat().map(({ id }) => id)
  return { shown: ids(shown), counted: ids(rest.filter((notices) => !isShown.has(notices))) }
}

/** What goes on comes before what is over. */
function urgency(notices: Candidate[]): number {
  return Math.max(...notices.map(({ status, severity }) => (status === 'firing' ? 10 : 0) + RANK[severity]))
}

/** Requests of the last minute: what of `recent` still counts. */
export function countedRequests(recent: readonly number[], now: number): number[] {
  return recent.filter((at) => at > now - MINUTE_MS && at <= now)
}

/** When the next request may begin: never are there more than `perMinute` in any minute. */
export function turnAt(recent: readonly number[], perMinute: number, now: number): number {
  const counted = countedRequests(recent, now)
  return counted.length < perMinute ? now : counted.at(-perMinute)! + MINUTE_MS
}

/** When quiet hours end that hold now; those that follow one another are one. `windows`: in order. Undefined: it is not quiet. */
export function quietUntil(windows: ReadonlyArray<readonly [from: number, until: number]>, now: number): number | undefined {
  let until: number | undefined
  for (const [from, end] of windows) if (from <= (until ?? now) && end > now) until = Math.max(until ?? 0, end)
  return until
}
