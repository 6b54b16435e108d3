/**
 * What a rule would have raised and cleared, had it been live from some time on: the core itself (core/consume.ts), given all that was recorded of one
 * device, moment by moment. Nothing is merged here, so functions of readings are fed with every reading that was news.
 *
 * What people did (acknowledge, shelve, clear) is not part of it, nor is maintenance. `simulate` is a generator, so that whoever runs it can do
 * something else between two steps.
 */
import { consume } from '../core/consume.ts'
import { evolve } from '../core/evolve.ts'
import { fedBy, fedByHealth, type InboxFeatures, passed, withRules } from '../core/inbox-features.ts'
import { inputOf } from '../core/inbox-slots.ts'
import { initialState } from '../core/initial.ts'
import type { OpenAlarm, Reading, Severity, TwinEvent, TwinInput, TwinRule, TwinSettings, TwinState } from '../core/types.ts'

export interface Recorded {
  settings: TwinSettings
  /** How it was when the time begins. */
  standing: Standing
  /** The newest reading of each name before. */
  known: Reading[]
  /** In the order of receipt. */
  readings: Reading[]
  /** What its twin decided, in order: presence, reported and desired state, firmware, health, device events. */
  events: TwinEvent[]
}

export type Standing = Pick<TwinState, 'presence' | 'reported' | 'desired' | 'firmware' | 'health'>

export interface SimulatedAlarm extends Omit<OpenAlarm, 'n' | 'rule' | 'version'> {
  /** Where it became worse. */
  worse: Array<{ at: number; severity: Severity; text: string }>
  /** Absent: it is there at the end. */
  cleared?: { at: number; values: OpenAlarm['values'] }
}

export interface Simulated {
  alarms: SimulatedAlarm[]
  /** There are more of them, later. */
  more: boolean
}

/** Of a period in which nothing pauses it, so many moments. */
const MOMENTS_A_STEP = 100

/** `to`: exclusive. */
export function* simulate(
  rule: TwinRule,
  recorded: Recorded,
  { from, to, most }: { from: number; to: number; most: number },
): Generator<void, Simulated> {
  const twin = new RecordedTwin(rule, recorded, from)
  let moments = 0
  for (const moment of momentsOf(recorded, from, to)) {
    twin.live(moment)
    if (twin.alarms.length > most) return { alarms: twin.alarms.slice(0, most), more: true }
    if (++moments % MOMENTS_A_STEP === 0) yield
  }
  twin.live({ at: to, readings: [], events: [] })
  return { alarms: twin.alarms.slice(0, most), more: twin.alarms.length > most }
}

/** What was received, or decided, at one time. */
interface Moment {
  at: number
  readings: Reading[]
  events: TwinEvent[]
}

class RecordedTwin {
  readonly alarms: SimulatedAlarm[] = []
  readonly #newest = new Map<string, number>()
  readonly #features: InboxFeatures | null
  #state: TwinState

  constructor(rule: TwinRule, { settings, standing, known }: Recorded, from: number) {
    const set = { kind: 'rules' as const, at: from, set: [rule], removed: [] }
    const { features, begun } = withRules(null, set, from)
    this.#features = features
    this.#state = { ...initialState(), ...standing }
    for (const { name, ts } of known) this.#newest.set(name, ts)
    const before = known.toSorted((a, b) => a.ts - b.ts).map((reading) => inputOf({ ...reading, receivedAt: from }))
    this.#decide([{ kind: 'configured', at: from, settings }, ...before])
    this.#decide([...begun.map(inputOf), set])
  }

  /** As the owner of its inbox has it: what is late comes first, and all that is of the very moment is judged together. */
  live({ at, readings, events }: Moment): void {
    for (const reading of this.#features ? passed(this.#features, at) : []) this.#decide([inputOf(reading)])
    this.#decide([{ kind: 'tick', at }])
    const news = readings.filter((reading) => this.#isNews(reading)).sort((a, b) => a.ts - b.ts)
    const inputs = news.flatMap((reading) => this.#withFunctions(reading))
    const late = 1 + inputs.findLastIndex((input) => 'ts' in input && input.ts < at)
    this.#decide(inputs.splice(0, late))
    for (const event of events) inputs.push(...this.#happened(event, at))
    // What is no reading concerns every comparison.
    this.#decide(events.length > 0 ? [...inputs, { kind: 'tick', at }] : inputs)
  }

  #isNews({ name, ts }: Reading): boolean {
    if (ts <= (this.#newest.get(name) ?? -Infinity)) return false
    this.#newest.set(name, ts)
    return true
  }

  #withFunctions(reading: Reading): TwinInput[] {
    return [reading, ...(this.#features ? fedBy(this.#features, reading) : [])].map(inputOf)
  }

  /** What was decided then is so; the inputs that follow from it. */
  #happened(event: TwinEvent, at: number): TwinInput[] {
    if (event.kind === 'device-event') {
      const { name, data, ts } = event
      const fed = this.#features ? fedBy(this.#features, { name, value: data, ts, receivedAt: at }, true) : []
      return [{ kind: 'event', at, name, ts, data }, ...fed.map(inputOf)]
    }
    this.#state = evolve(this.#state, event)
    if (event.kind !== 'health-changed' || !this.#features) return []
    return fedByHealth(this.#features, { health: event.after, at }).map(inputOf)
  }

  #decide(inputs: TwinInput[]): void {
    if (inputs.length === 0) return
    const seal = { seq: this.#state.seq + 1, batch: { messages: 0, lastSeenAt: 0, merged: {}, inputs } }
    const { state, events } = consume(this.#state, seal, inputs[0]!.at)
    this.#state = state
    for (const event of events) this.#note(event)
  }

  #note(event: TwinEvent): void {
    if (event.kind === 'alarm-raised') {
      const { n: _n, rule: _rule, version: _version, ...alarm } = event.alarm
      this.alarms.push({ ...alarm, worse: [] })
    }
    const last = this.alarms.at(-1)
    if (!last) return
    if (event.kind === 'alarm-cleared') last.cleared = { at: event.at, values: event.values }
    if (event.kind !== 'alarm-updated') return
    if (event.count !== undefined) last.count = event.count
    if (event.severity === undefined) return
    last.severity = event.severity
    last.worse.push({ at: event.at, severity: event.severity, text: event.text ?? last.text })
  }
}

/** In order, each time once. */
function* momentsOf({ readings, events }: Recorded, from: number, to: number): Generator<Moment> {
  let [reading, event] = [0, 0]
  for (;;) {
    const at = Math.min(readings[reading]?.receivedAt ?? Infinity, events[event]?.at ?? Infinity)
    if (at >= to || at === Infinity) return
    const moment: Moment = { at: Math.max(at, from), readings: [], events: [] }
    for (; readings[reading]?.receivedAt === at; reading++) moment.readings.push(readings[reading]!)
    for (; events[event]?.at === at; event++) moment.events.push(events[event]!)
    yield moment
  }
}
