/** Decisions on what a device says of its configuration: what changed, which wishes came true, which it refuses, where it went its own way. */
import { byMessage } from './causes.ts'
import { isOutstanding, meets, ruleOf } from './delta.ts'
import { mergePatch } from './merge-patch.ts'
import { isDeeper, own, same, words } from './plain.ts'
import { applyChanges, changesBetween, leavesOf, MOST_LEVELS, propertyOf, upwards, valueAt } from './pointer.ts'
import type { Cause, Change, Rejections, TwinEvent, TwinInput, TwinState, Value, WishedLeaf } from './types.ts'

type ReportedInput = Extract<TwinInput, { kind: 'reported' }>

/** Beyond these a report changes nothing of what is known. */
export const REPORTED_LIMITS = { length: 32 * 1024, leaves: 500 }
const CODE_LENGTH = 100
const MESSAGE_LENGTH = 500

export function decideReported(state: TwinState, input: ReportedInput): TwinEvent[] {
  const { at, ts } = input
  const { desired } = state
  const cause = byMessage(input.messageId)
  const version = answeredVersion(desired, input.version)
  const changes = changesOf(state, input, version)
  const reported = changes.length === 0 ? state.reported.state : applyChanges(state.reported.state, changes)
  const acknowledged: string[] = []
  const converged: string[] = []
  const others: TwinEvent[] = []
  for (const [path, wished] of leavesOf(desired.state)) {
    const leaf = own(desired.leaves, path)
    if (leaf === undefined) continue
    const is = valueAt(reported, path)
    const answers = version === undefined || leaf.version <= version
    const refusal = answers && leaf.status !== 'diverged' ? rejectionOf(input.rejected, path) : undefined
    if (meets(wished, is)) {
      if (leaf.status !== 'converged') converged.push(path)
    } else if (refusal) {
      others.push({ kind: 'desired-diverged', at, version: leaf.version, path, reason: 'refused', ...refusal, cause })
    } else if (leaf.status === 'converged' || (version === undefined && wentItsWay(leaf, valueAt(state.reported.state, path), is))) {
      others.push(...conflict(state, input, version, path, leaf, wished, is, cause))
    } else if (version !== undefined && answers && leaf.status === 'pending') acknowledged.push(path)
  }
  const events: TwinEvent[] = []
  if (changes.length > 0) events.push({ kind: 'reported-changed', at, ts, changes, cause })
  if (version !== undefined && version > desired.answered) {
    events.push({ kind: 'desired-acknowledged', at, version, paths: acknowledged, cause })
  }
  if (converged.length > 0) events.push({ kind: 'desired-converged', at, version: desired.version, paths: converged, cause })
  return [...events, ...others]
}

/** A version that was never wished is no answer. */
function answeredVersion(desired: TwinState['desired'], version: number | undefined): number | undefined {
  return version !== undefined && Number.isInteger(version) && version >= 1 && version <= desired.version ? version : undefined
}

/**
 * What the report changes of what is known. A property that is known from later is not changed by it: late reports are history, as late
 * readings are. But the first answer to a version is news whatever the device's clock says.
 */
function changesOf({ reported, desired }: TwinState, { state, ts }: ReportedInput, version: number | undefined): Change[] {
  if (isDeeper(state, MOST_LEVELS)) return []
  const after = mergePatch(reported.state, state)
  let changes = changesBetween(reported.state, after)
  if (changes.length === 0) return changes
  if (version === undefined || version <= desired.answered) {
    const later = changes.filter(({ path }) => (own(reported.at, path) ?? ts) > ts).map(({ path }) => propertyOf(path))
    if (later.length > 0) changes = changes.filter(({ path }) => !later.includes(propertyOf(path)))
  }
  const { length, leaves } = REPORTED_LIMITS
  return leavesOf(after).size > leaves || JSON.stringify(after).length > length ? [] : changes
}

/** Nobody had told it, and it is neither as it was nor as was wished: a knob was turned. The first word on it is no change. */
function wentItsWay(leaf: WishedLeaf, was: Value | undefined, is: Value | undefined): boolean {
  return isOutstanding(leaf) && was !== undefined && !same(was, is)
}

/** Under one new version what was true already is wished again, or what the device wins is wished no longer. */
function conflict(
  { desired, settings }: TwinState,
  { at, ts }: ReportedInput,
  version: number | undefined,
  path: string,
  leaf: WishedLeaf,
  wished: Value,
  is: Value | undefined,
  cause: Cause,
): TwinEvent[] {
  const rule = ruleOf(settings, path)
  // It does what an older wish told it: that is no will of its own.
  const obeysOlder = version !== undefined && version < leaf.version
  const deviceWins = !obeysOlder && (rule?.wins === 'device' || (rule?.wins === 'newest' && ts > leaf.at))
  const common = { kind: 'desired-conflict', at, path, desired: wished, reported: is ?? null, cause } as const
  if (deviceWins) {
    return [
      { ...common, winner: 'device', version: desired.version + 1 },
      { kind: 'desired-diverged', at, version: leaf.version, path, reason: 'device', cause },
    ]
  }
  if (leaf.status !== 'converged') return [{ ...common, winner: 'desired', version: desired.version }]
  const deadline = rule?.deadlineMs === undefined ? {} : { deadlineAt: at + rule.deadlineMs }
  return [{ ...common, winner: 'desired', version: desired.version + 1, ...deadline }]
}

/** The nearest word on it: what refuses an object refuses everything in it. */
function rejectionOf(rejected: Rejections | undefined, path: string): { code: string; message?: string } | undefined {
  if (rejected === undefined) return undefined
  const pointer = upwards(path).find((upper) => Object.hasOwn(rejected, upper))
  if (pointer === undefined) return undefined
  const { code, message } = rejected[pointer]!
  return { code: words(code, CODE_LENGTH), ...(message !== undefined && { message: words(message, MESSAGE_LENGTH) }) }
}
