/**
 * One step of a twin: a whole batch in, its next state, events and answers out.
 *
 * Merged readings come first (they are older than the inputs), then the inputs in order, each through decide and evolve, and after each moment
 * its rules (rules.ts).
 * Pure: the given state is not changed.
 */
import { answerTo, type RequestAnswer } from './answers.ts'
import { boundedHealth, decide, healthDiffers } from './decide.ts'
import { type DecisionEffects, effectsOf } from './effects.ts'
import { evolve } from './evolve.ts'
import { toldBy, withoutOldWords } from './hellos.ts'
import { momentsOf } from './moments.ts'
import { isShort, own } from './plain.ts'
import type { Judged } from './rule-draft.ts'
import { namesOf } from './rule-names.ts'
import { elapse, judge } from './rules.ts'
import type { Batch, TwinEvent, TwinInput, TwinState, Value } from './types.ts'
import { noteStep } from './update-returns.ts'
import { decideOnAlarms } from './update-soaking.ts'

export interface Seal {
  seq: number
  batch: Batch
}

export interface Step {
  state: TwinState
  events: TwinEvent[]
  answers: RequestAnswer[]
  /** Absent when it concerns the twin alone. */
  effects?: DecisionEffects
}

const VALUE_NAMES = 200
const VALUE_LENGTH = 1_000

export function consume(state: TwinState, { seq, batch }: Seal, now: number): Step {
  return step(state, { ...state, seq: Math.max(state.seq, seq) }, batch, now)
}

/** For what the twin itself finds, by its timer: a decision without a seal. */
export function consumeOwn(state: TwinState, input: TwinInput, now: number): Step {
  return step(state, state, { messages: 0, lastSeenAt: 0, merged: {}, inputs: [input] }, now)
}

function step(before: TwinState, from: TwinState, batch: Batch, now: number): Step {
  const revision = before.revision + 1
  let draft: TwinState = { ...from, revision, values: { ...from.values }, ranges: { ...from.ranges } }
  const events: TwinEvent[] = []
  const answers: RequestAnswer[] = []
  const happen = (found: TwinEvent[]): void => {
    events.push(...found)
    draft = found.reduce(evolve, draft)
  }
  const judged = ({ state, events: found }: Judged, at: number): void => {
    draft = state
    events.push(...found)
    happen(decideOnAlarms(draft, found, at))
  }
  const take = (input: TwinInput): void => {
    const met = draft
    happen(decide(draft, input, now))
    const answer = answerTo(input, met, draft)
    if (answer) answers.push(answer)
    draft = note(draft, input)
  }

  for (const [name, { last }] of Object.entries(batch.merged)) {
    const [value, ts, at] = last
    take({ kind: 'reading', at, name, value, ts })
  }
  // Its receipt may be later than an input of this batch (a silence, a goodbye) and must not void it: the whole batch's time counts at the end.
  draft = { ...draft, presence: { ...from.presence, ...statusOf(draft) } }
  for (const moment of momentsOf(batch.inputs)) {
    // Time passes only with messages, and what is in order with them.
    if (!moment.isAhead && moment.at > draft.ruleClock) judged(elapse(draft, moment.at), moment.at)
    if (!moment.isAhead) judged(elapse(draft, moment.ts, moment.at), moment.at)
    for (const input of moment.inputs) take(input)
    judged(judge(draft, moment), moment.at)
  }
  draft = { ...seen(draft, batch.lastSeenAt), messages: draft.messages + batch.messages }
  const effects = effectsOf(before, draft, events)
  return { state: draft, events, answers, ...(effects && { effects }) }
}

function statusOf({ presence: { status, since, reason } }: TwinState): Pick<TwinState['presence'], 'status' | 'since' | 'reason'> {
  return { status, since, reason }
}

/** Keeps the books on an input after it was decided: what is known now without being an event. `values` and `ranges` are the draft's own. */
function note(draft: TwinState, input: TwinInput): TwinState {
  switch (input.kind) {
    case 'life':
    case 'event':
    case 'reported':
    case 'command-answer':
    case 'update-answer':
      return seen(draft, input.at)
    case 'rules': {
      const rules = { ...draft.rules, ...Object.fromEntries(input.set.map((rule) => [rule.id, rule])) }
      // What was before is not theirs.
      return { ...draft, rules, ruleClock: Math.max(draft.ruleClock, input.at) }
    }
    case 'update-step':
      return seen(noteStep(draft, input), input.at)
    case 'reading':
      keepValue(draft, input.name, input.value, input.ts)
      return input.timed ? draft : seen(draft, input.at)
    case 'hello': {
      const said = withoutOldWords(input, draft)
      const health = said.health && boundedHealth(said.health)
      const next = { ...draft, ...toldBy(said), ...(health && !healthDiffers(draft.health, health) && { health }) }
      return input.will ? next : seen(next, input.at)
    }
    default:
      return draft
  }
}

function isRead({ rules }: TwinState, name: string): boolean {
  return Object.values(rules).some((rule) => namesOf(rule).includes(name))
}

function seen(draft: TwinState, at: number): TwinState {
  return at > draft.presence.lastSeenAt ? { ...draft, presence: { ...draft.presence, lastSeenAt: at } } : draft
}

function keepValue(draft: TwinState, name: string, value: Value, ts: number): void {
  const watched = own(draft.ranges, name)
  // The model lets only numbers through for a property with a range.
  if (watched && typeof value === 'number' && ts >= watched.newest) draft.ranges[name] = { ...watched, newest: ts, value }
  const known = own<[Value, number]>(draft.values, name)
  if (known ? ts < known[1] : !watched && Object.keys(draft.values).length >= VALUE_NAMES && !isRead(draft, name)) return
  if (name === '__proto__') return
  if (isShort(value, VALUE_LENGTH)) draft.values[name] = [value, ts]
  else delete draft.values[name]
}
