/**
 * What one device's twin should decide by its rules: given every reading of every message, every moment that passes, and what people and other
 * rules mean for its alarms, singly, in the order in which its lane took them. It knows nothing of inboxes, seals or wake conditions.
 *
 * What is of one millisecond is decided together, as when it comes out of an inbox: up to the seal that ends it.
 */
import { consume } from '../../../twin-models/core/consume.ts'
import { fedBy, fedByHealth, type InboxFeatures, passed, withRules } from '../../../twin-models/core/inbox-features.ts'
import { initialState } from '../../../twin-models/core/initial.ts'
import { isOfOneName, namesOf } from '../../../twin-models/core/rule-names.ts'
import type { Reading, TwinEvent, TwinInput, TwinState } from '../../../twin-models/core/types.ts'

type ReadingInput = Extract<TwinInput, { kind: 'reading' }>
type RulesInput = Extract<TwinInput, { kind: 'rules' }>

export class RuleReference {
  state: TwinState = initialState()
  features: InboxFeatures | null = null
  /** Decided, by rule; what is of no rule by its kind. */
  readonly decided = new Map<string, TwinEvent[]>()
  /** Requests that are refused, since there is no such alarm. */
  readonly refused = new Set<string>()
  /** Rules that read, or have read, more than the readings of one name. */
  readonly several = new Set<string>()
  /** Rules whose text has, or had, a value that they do not compare. */
  readonly saysOthers = new Set<string>()
  readonly counts = { late: 0, timed: 0 }
  /** How far time has come. */
  clock = 0
  /** An outage moved the time from which something is missing. */
  hadOutage = false
  /**
   * A message came after time had gone on, or had made something of its rules: a bridge went on in another stream, or streams are read one after
   * the other.
   */
  isDisordered = false
  /** All that was put into it, and that an inbox may hold singly. */
  given = 0
  /** Until its settings are known. */
  #early: TwinInput[] | null = []
  #graceSince = 0
  /** When time alone made something of its rules, last. */
  #timedAt = 0
  /** How far its lane was done. */
  #passedAt = 0
  /** When health was told last. */
  #healthAt = 0
  readonly #waiting: TwinInput[] = []

  start(configured: TwinInput): void {
    const early = this.#early ?? []
    this.#early = null
    for (const input of [configured, ...early]) this.#give(input)
  }

  /** All of its lane that was received before then is processed. */
  pass(watermark: number, graceSince: number): void {
    this.#passedAt = Math.max(this.#passedAt, watermark)
    this.time(watermark, graceSince)
  }

  /** Nothing else was received before then. */
  time(at: number, graceSince: number): void {
    if (graceSince !== this.#graceSince) this.hadOutage = true
    this.#graceSince = graceSince
    // Also of a time that has come before: a late reading may have begun what ended by then.
    const readings = this.features ? passed(this.features, at, graceSince) : []
    this.counts.timed += readings.length
    this.give(readings.map(inputOf))
    if (readings.length > 0) this.#timedAt = Math.max(this.#timedAt, readings.at(-1)!.ts)
    if (at <= this.clock) return
    this.clock = at
    this.#add({ kind: 'tick', at })
  }

  /** What a message says, its readings in whatever order. */
  say(at: number, inputs: TwinInput[], graceSince: number): void {
    this.time(at, graceSince)
    const { features } = this
    const readings = inOrder(inputs.filter((input): input is ReadingInput => input.kind === 'reading'))
    const fed = features ? inOrder(readings.flatMap((input) => [input, ...fedBy(features, readingOf(input)).map(inputOf)])) : readings
    const lives = inputs.filter(({ kind }) => kind === 'life')
    const others = inputs.filter(({ kind }) => kind !== 'life' && kind !== 'reading')
    this.give([...lives, ...fed, ...others.flatMap((input) => [input, ...this.#fedBy(input)])])
  }

  rules(input: RulesInput): void {
    const { features, begun } = withRules(this.features, input, input.at)
    this.features = features
    for (const rule of input.set) {
      if (!isOfOneName(rule)) this.several.add(rule.id)
      if (rule.text.some((part) => typeof part !== 'string' && !namesOf(rule).includes(part[1]!))) this.saysOthers.add(rule.id)
    }
    this.give([...begun.map(inputOf), input])
  }

  give(inputs: TwinInput[]): void {
    // The lane tells the time in front of a request.
    for (const input of inputs) this.given += 'request' in input ? 2 : 1
    for (const input of inputs) this.#add(input)
  }

  /** All that waits for the rest of its millisecond: nothing more comes. */
  settle(): void {
    const inputs = this.#waiting.splice(0)
    if (inputs.length === 0) return
    const before = this.state
    const { state, events, answers } = consume(
      before,
      { seq: before.seq + 1, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } },
      0,
    )
    this.state = state
    for (const [rule, { late }] of Object.entries(state.memory)) if (late && !before.memory[rule]?.late) this.counts.late++
    for (const { request, answer } of answers) if ('refused' in answer) this.refused.add(request)
    for (const event of events.filter(isOfRules)) this.#note(event)
  }

  /** It knows what the real one knows now, and has decided as much. */
  adopt(state: TwinState, features: InboxFeatures | null, decided: ReadonlyMap<string, number>): void {
    this.settle()
    this.state = state
    this.features = structuredClone(features)
    for (const of of new Set([...this.decided.keys(), ...decided.keys()])) {
      const events = this.decided.get(of) ?? []
      events.length = decided.get(of) ?? 0
      this.decided.set(of, events)
    }
  }

  #add(input: TwinInput): void {
    if (this.#early) this.#early.push(input)
    else this.#give(input)
  }

  #give(input: TwinInput): void {
    if (this.#waiting.length > 0 && this.#waiting[0]!.at !== input.at) this.settle()
    if (input.at < Math.max(this.#timedAt, this.#passedAt) && isOfDevice(input)) this.isDisordered = true
    this.#waiting.push(input)
  }

  #note(event: TwinEvent): void {
    const of = ruleOf(event)
    if (event.cause.by === 'timer') this.#timedAt = Math.max(this.#timedAt, event.at)
    const known = this.decided.get(of)
    if (known) known.push(event)
    else this.decided.set(of, [event])
  }

  #fedBy(input: TwinInput): TwinInput[] {
    // A hello that was received before what told of health last says nothing of it.
    const isOld = input.kind === 'hello' && input.at < this.#healthAt
    if (input.kind === 'hello' && input.health && !isOld) this.#healthAt = input.at
    if (!this.features || isOld) return []
    if (input.kind === 'hello') return fedByHealth(this.features, input).map(inputOf)
    if (input.kind !== 'event') return []
    const { name, data: value, ts, at: receivedAt } = input
    return fedBy(this.features, { name, value, ts, receivedAt }, true).map(inputOf)
  }
}

/** Decided by rules, or about alarms. */
export function isOfRules({ kind }: TwinEvent): boolean {
  return kind.startsWith('alarm-') || kind === 'rules-changed' || kind === 'maintenance-changed'
}

/** What it is about: events of one rule come in order. */
export function ruleOf(event: TwinEvent): string {
  if (event.kind === 'alarm-raised') return event.alarm.rule
  return event.kind.startsWith('alarm-') ? (event as { rule: string }).rule : event.kind
}

/** It has the time of a message. */
function isOfDevice(input: TwinInput): boolean {
  return (input.kind === 'reading' && !input.timed) || input.kind === 'life' || input.kind === 'hello' || input.kind === 'event'
}

function inOrder(readings: ReadingInput[]): ReadingInput[] {
  return readings.toSorted((a, b) => a.ts - b.ts)
}

function readingOf({ name, value, ts, at: receivedAt, messageId }: ReadingInput): Reading {
  return { name, value, ts, receivedAt, ...(messageId !== undefined && { messageId }) }
}

function inputOf({ name, value, ts, receivedAt: at, messageId, timed }: Reading): ReadingInput {
  return { kind: 'reading', at, name, value, ts, ...(messageId !== undefined && { messageId }), ...(timed && { timed }) }
}
