/**
 * Whether what was said to be done is done. Its condition has to stay away for `verifyForMs`, counted from when it was said, or from when the alarm
 * of before was cleared: that one has as long to go. An alarm that was raised since is a relapse. Then, where it names a prediction model,
 * the risk is asked for, of readings since the repair, and has to be below the model's threshold.
 *
 * Both are judged when the twin has decided what came until then: alarms of one whose worker died a moment ago are those of before. Where that takes
 * too long, by what is known.
 *
 * A rule that was removed watches nothing from then on, as one that there never was: what it found before is evidence all the same.
 *
 * What nobody watched is not said to have stayed away: where the last alarm was cleared by something else than its condition, or the rule is not live
 * any more, it is closed on the word of who did it, and that is said.
 *
 * A device that says nothing shows nothing: what it does not speak after is not verified, and after a day it is evidence by itself.
 *
 * A prediction that cannot be had holds nobody up for ever: after three tries the alarms alone decide, and that is said.
 */
import { time } from './markdown.ts'
import { nextLook, riskOf, riskWords } from './ticket-risk.ts'
import type { TicketPlan, TicketSight, TicketState } from './ticket-types.ts'

export type Verdict =
  | { kind: 'wait'; until: number }
  /** `since`: the risk is that of readings since then. */
  | { kind: 'predict'; words: string; since: number }
  | { kind: 'relapse'; evidence: string }
  | { kind: 'passed'; words: string }

type Risk = Exclude<Verdict, { kind: 'predict' }> | { kind: 'predict'; words: string }

const TRIES = 3
/** How long an answer is waited for, and until it is asked for again when it failed. */
const PATIENCE_MS = 300_000
const AGAIN_MS = 60_000
/** A device that sleeps or reports once a day is waited for. */
const SILENCE_MS = 86_400_000

export function verdictOf(state: TicketState, plan: TicketPlan, sight: TicketSight, now: number): Verdict {
  const doneAt = state.doneAt ?? now
  const [last] = sight.recent
  if (last && last.raisedAt > doneAt)
    return { kind: 'relapse', evidence: `Alarm ${last.n} was raised on ${time(last.raisedAt)}, after it was done: ${last.text}` }
  const rule = watchingRule(plan, sight)
  if (rule === null && plan.predict === undefined) {
    const why = plan.rule === null ? 'No rule asked for it, so there is nothing to watch' : removedWords(plan.rule)
    return { kind: 'passed', words: `${why}: it is closed on the word of who did it.` }
  }
  const newest = rule === null ? undefined : last
  const watchedUntil = doneAt + plan.verifyForMs
  if (newest && newest.clearedAt === undefined) {
    if (now < watchedUntil) return { kind: 'wait', until: watchedUntil }
    if (isBehind(sight, watchedUntil, now)) return { kind: 'wait', until: nextLook(watchedUntil, now, PATIENCE_MS) }
    return { kind: 'relapse', evidence: `Alarm ${newest.n}, raised on ${time(newest.raisedAt)}, is still there: ${newest.text}` }
  }
  const quietUntil = Math.max(watchedUntil, (newest?.clearedAt ?? 0) + plan.verifyForMs)
  if (now < quietUntil) return { kind: 'wait', until: quietUntil }
  if (isBehind(sight, quietUntil, now)) return { kind: 'wait', until: nextLook(quietUntil, now, PATIENCE_MS) }
  if (rule !== null && sight.silentSince !== undefined && sight.silentSince <= doneAt) {
    if (now < quietUntil + SILENCE_MS) return { kind: 'wait', until: nextLook(quietUntil, now, SILENCE_MS) }
    return { kind: 'relapse', evidence: 'Nothing was heard of its device since it was done, so nobody knows whether the trouble is gone.' }
  }
  const stayedAway = plan.rule === null ? '' : watchedWords(plan.rule, sight, quietUntil - plan.verifyForMs)
  if (plan.predict === undefined) return { kind: 'passed', words: `${stayedAway}.` }
  const verdict = predicted(state, plan.predict, sight, now, stayedAway)
  return verdict.kind === 'predict' ? { ...verdict, since: quietUntil - plan.verifyForMs } : verdict
}

/** Whose alarms say whether it is repaired. Null: none. */
export function watchingRule({ rule }: Pick<TicketPlan, 'rule'>, { isRuleGone }: Pick<TicketSight, 'isRuleGone'>): string | null {
  return isRuleGone ? null : rule
}

function removedWords(rule: string): string {
  return `Rule ${rule} was removed, so nothing watches its condition`
}

const CLEARED = { person: 'by hand', removed: 'since its rule was not for the device any more', changed: 'by a change of its rule' }

function watchedWords(rule: string, { isRuleGone, isUnwatched, recent: [newest] }: TicketSight, since: number): string {
  if (isRuleGone) return removedWords(rule)
  if (isUnwatched) return `Rule ${rule} is not live any more, so nothing watched its condition`
  if (newest?.clearedBy === undefined) return `Its condition stayed away since ${time(since)}`
  return `No alarm was raised since ${time(since)}, but alarm ${newest.n} was cleared ${CLEARED[newest.clearedBy]}, so its condition may still be there`
}

function isBehind(sight: TicketSight, since: number, now: number): boolean {
  return sight.isBehind === true && now < since + PATIENCE_MS
}

function predicted({ prediction }: TicketState, model: string, sight: TicketSight, now: number, stayedAway: string): Risk {
  if (!prediction) return { kind: 'predict', words: `${stayedAway === '' ? '' : `${stayedAway}. `}${model} is asked for the risk.` }
  const { status = 'waiting', detail = 'no reason was given' } = sight.prediction ?? {}
  const { tries, askedAt } = prediction
  const risk = riskOf(sight.prediction, now)
  if (risk) {
    const words = riskWords(model, risk)
    if (risk.probability >= risk.threshold) return { kind: 'relapse', evidence: `The risk is still high: ${words}.` }
    return { kind: 'passed', words: `${stayedAway === '' ? 'The' : `${stayedAway}, and the`} risk is low: ${words}.` }
  }
  const isLate = now >= askedAt + PATIENCE_MS
  if (status === 'waiting' && !isLate) return { kind: 'wait', until: nextLook(askedAt, now, PATIENCE_MS) }
  const why = isLate && status === 'waiting' ? 'it did not answer in time' : detail
  if (tries >= TRIES) {
    const isWatched = stayedAway !== '' && !sight.isUnwatched
    const how = `${stayedAway === '' ? 'It' : `${stayedAway}: it`} is closed ${isWatched ? 'by that alone' : 'on the word of who did it'}`
    return { kind: 'passed', words: `${how}, since ${model} could not be asked in ${tries} tries (${why}).` }
  }
  if (now < askedAt + AGAIN_MS) return { kind: 'wait', until: askedAt + AGAIN_MS }
  return { kind: 'predict', words: `${model} could not be asked (${why}): it is asked again.` }
}
