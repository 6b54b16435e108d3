/**
 * Rules are exact though readings are merged: a twin that is woken only by its wake conditions raises, updates and clears the same alarms, at the
 * same times, as one that is given every reading, and told of every moment that passes.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import {
  addHello,
  addInput,
  addLife,
  addMessage,
  addReadings,
  answered,
  beginWithRules,
  emptyInbox,
  type Inbox,
  nextTime,
  openedBy,
  passTime,
  presenceAfter,
  seal,
  tellTime,
} from '../../twin-models/core/inbox.ts'
import { fedBy, fedByHealth, type InboxFeatures, passed, withRules } from '../../twin-models/core/inbox-features.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { isOfOneName } from '../../twin-models/core/rule-names.ts'
import type {
  AlarmAsk,
  Batch,
  Condition,
  Reading,
  TwinEvent,
  TwinInput,
  TwinRule,
  TwinSettings,
  TwinState,
} from '../../twin-models/core/types.ts'
import { firstWake, wakeOf } from '../../twin-models/core/wake.ts'

const SETTINGS: TwinSettings = {
  model: 'm',
  modelVersion: '1',
  presenceTimeoutMs: 1e9,
  ranges: { a: { minimum: 2, maximum: 8, hysteresis: 1 } },
}
const LATE_MS = 100

const numbers = fc.integer({ min: 0, max: 10 })
const text = fc.constantFrom('on', 'off', 'fault')
const comparison = fc.constantFrom('=' as const, '!=' as const, '<' as const, '<=' as const, '>' as const, '>=' as const)
const atom: fc.Arbitrary<Condition> = fc.oneof(
  ...['a', 'b', 'change(a,80)', 'count(a>5,60,4)', 'count(!opened,60,3)', 'health(battery)'].map((name) =>
    fc.record({
      kind: fc.constant('compare' as const),
      path: fc.constant(['telemetry', name, 'value'] as ['telemetry', string, string]),
      comparison,
      value: name === 'a' || name === 'b' ? numbers : fc.integer({ min: -2, max: 4 }),
    }),
  ),
  fc.record({
    kind: fc.constant('compare' as const),
    path: fc.constant(['telemetry', 'mode', 'value'] as ['telemetry', string, string]),
    comparison: fc.constantFrom('=' as const, '!=' as const),
    value: text,
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    path: fc.constant(['telemetry', 'missing(a,70)', 'value'] as ['telemetry', string, string]),
    comparison: fc.constant('=' as const),
    value: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    path: fc.constant(['ranges', 'a', 'status'] as ['ranges', string, string]),
    comparison: fc.constant('=' as const),
    value: fc.constantFrom('low', 'normal', 'high'),
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    path: fc.constant(['presence', 'status'] as ['presence', string]),
    comparison: fc.constant('=' as const),
    value: fc.constantFrom('online', 'offline'),
  }),
  fc.record({
    kind: fc.constant('in' as const),
    path: fc.constant(['telemetry', 'b', 'value'] as ['telemetry', string, string]),
    values: fc.array(numbers, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('exists' as const), path: fc.constant(['telemetry', 'b', 'value'] as ['telemetry', string, string]) }),
)
const condition: fc.Arbitrary<Condition> = fc.oneof(
  { weight: 4, arbitrary: atom },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('not' as const), term: atom }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('and' as const, 'or' as const), terms: fc.array(atom, { minLength: 1, maxLength: 3 }) }),
  },
)
const span = fc.constantFrom(0, 0, 20, 60)
type RuleParts = Omit<TwinRule, 'id' | 'severity' | 'text' | 'lateMs'>
const ruleNamed = (id: string): fc.Arbitrary<TwinRule> =>
  fc
    .record(
      {
        version: fc.integer({ min: 1, max: 3 }),
        when: condition,
        clear: condition,
        forMs: span,
        clearForMs: span,
        worse: fc.array(fc.record({ when: condition, severity: fc.constantFrom('major' as const, 'critical' as const) }), { maxLength: 1 }),
        onChange: fc.constantFrom('keep' as const, 'clear' as const),
        schedule: fc.constant<NonNullable<TwinRule['schedule']>>({ from: 0, to: 12 * 60, days: [0, 1, 2, 3, 4, 5, 6], zone: [0] }),
      },
      { requiredKeys: ['version', 'when', 'forMs', 'clearForMs', 'onChange'] },
    )
    .map(
      (rule): TwinRule => ({
        id,
        severity: 'minor',
        text: ['x is ', ['telemetry', 'a', 'value']],
        lateMs: LATE_MS,
        ...(rule as RuleParts),
      }),
    )

type Step =
  | { step: 'telemetry'; values: Array<{ name: string; value: number | string; age: number }> }
  | { step: 'event' }
  | { step: 'hello'; status: 'online' | 'offline'; battery: number }
  | { step: 'rules'; set: TwinRule[]; removed: string[] }
  | { step: 'alarm'; rule: string; action: AlarmAsk['action']; aheadMs: number }
  | { step: 'maintenance'; by: string; ms: number | null; aheadMs: number }
  | { step: 'wait'; ms: number }
  | { step: 'seal'; routine: boolean }
  | { step: 'answer' }
  | { step: 'reload' }

const age = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.nat(60) },
  { weight: 1, arbitrary: fc.integer({ min: 101, max: 400 }) },
)
const aheadMs = fc.constantFrom(0, 0, 1, 50)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      step: fc.constant('telemetry' as const),
      values: fc.array(
        fc.oneof(
          fc.record({ name: fc.constantFrom('a', 'b'), value: numbers, age }),
          fc.record({ name: fc.constant('mode'), value: text, age }),
        ),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ step: 'event' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant('hello' as const),
      status: fc.constantFrom('online' as const, 'offline' as const),
      battery: fc.nat(4),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant('rules' as const),
      set: fc.oneof(
        fc.constant<TwinRule[]>([]),
        ruleNamed('r1').map((rule) => [rule]),
      ),
      removed: fc.subarray(['r1', 'r2', 'r3']),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant('alarm' as const),
      rule: fc.constantFrom('r1', 'r2'),
      action: fc.constantFrom(
        'acknowledge' as const,
        'shelve' as const,
        'unshelve' as const,
        'clear' as const,
        'comment' as const,
        'assign' as const,
      ),
      aheadMs,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant('maintenance' as const),
      by: fc.constantFrom('ann', 't-1', 't-2'),
      ms: fc.constantFrom(null, 40, 90),
      aheadMs,
    }),
  },
  { weight: 4, arbitrary: fc.record({ step: fc.constant('wait' as const), ms: fc.nat(90) }) },
  { weight: 4, arbitrary: fc.record({ step: fc.constant('seal' as const), routine: fc.boolean() }) },
  { weight: 4, arbitrary: fc.constant({ step: 'answer' as const }) },
  { weight: 1, arbitrary: fc.constant({ step: 'reload' as const }) },
)

test('a woken twin raises and clears what one given every reading does', () => {
  const seen = { alarms: 0, cleared: 0, seals: 0, readings: 0, inputs: 0 }
  fc.assert(
    fc.property(
      fc.tuple(ruleNamed('r1'), ruleNamed('r2'), ruleNamed('r3')),
      fc.array(step, { minLength: 5, maxLength: 80, size: 'max' }),
      (rules, steps) => {
        const fed = new Fed(rules)
        const woken = new Woken(rules)
        run(steps, fed, woken)
        const all = [...rules, ...steps.flatMap((step) => (step.step === 'rules' ? step.set : []))]
        const several = new Set(all.filter((rule) => !isOfOneName(rule)).map(({ id }) => id))
        expect(alarms(woken, several)).toEqual(alarms(fed, several))
        expect(woken.state.memory).toEqual(fed.state.memory)
        expect(Object.keys(woken.state.alarms)).toEqual(Object.keys(fed.state.alarms))
        expect(woken.inbox.features).toEqual(fed.features)
        expect(wakeOf(woken.state)).toEqual(wakeOf(fed.state))
        seen.alarms += fed.events.filter(({ kind }) => kind === 'alarm-raised').length
        seen.cleared += fed.events.filter(({ kind }) => kind === 'alarm-cleared').length
        seen.seals += woken.seals
        seen.readings += fed.readings
        seen.inputs += woken.readings
      },
    ),
    { numRuns: 2_000 },
  )
  // It would prove nothing if nothing were raised, or nothing merged.
  expect(seen.alarms).toBeGreaterThan(2_000)
  expect(seen.cleared).toBeGreaterThan(1_000)
  expect(seen.inputs).toBeLessThan(seen.readings * 0.9)
})

/** Given everything, at once. */
class Fed {
  state: TwinState = initialState()
  features: InboxFeatures | null
  readonly events: TwinEvent[] = []
  readings = 0
  readonly #waiting: TwinInput[] = []

  constructor(rules: TwinRule[]) {
    this.features = null
    this.give([
      { kind: 'configured', at: 1_000, settings: SETTINGS },
      ...this.withRules({ kind: 'rules', at: 1_000, set: rules, removed: [] }),
    ])
  }

  withRules(input: Extract<TwinInput, { kind: 'rules' }>): TwinInput[] {
    const { features, begun } = withRules(this.features, input, input.at)
    this.features = features
    return [...begun.map(inputOf), input]
  }

  /** What is of one millisecond is decided together, as when it comes out of an inbox. */
  give(inputs: TwinInput[]): void {
    for (const input of inputs) {
      if (this.#waiting.length > 0 && this.#waiting[0]!.at !== input.at) this.decide()
      this.#waiting.push(input)
    }
  }

  decide(): void {
    const inputs = this.#waiting.splice(0)
    if (inputs.length === 0) return
    this.readings += inputs.filter(({ kind }) => kind === 'reading').length
    const step = consume(this.state, { seq: this.state.seq + 1, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0)
    this.state = JSON.parse(JSON.stringify(step.state))
    this.events.push(...step.events)
  }

  time(at: number): void {
    for (const reading of this.features ? passed(this.features, at) : []) this.give([inputOf(reading)])
    this.give([{ kind: 'tick', at }])
  }

  withFeatures(reading: Reading, isEvent = false): TwinInput[] {
    const fed = this.features ? fedBy(this.features, reading, isEvent) : []
    return [...(isEvent ? [] : [reading]), ...fed].map(inputOf)
  }
}

/** Woken through its inbox. */
class Woken {
  state: TwinState = initialState()
  readonly inbox: Inbox
  readonly events: TwinEvent[] = []
  seals = 0
  readings = 0

  constructor(rules: TwinRule[]) {
    this.inbox = emptyInbox(firstWake(SETTINGS))
    beginWithRules(this.inbox, SETTINGS, rules, 1_000)
  }

  seal(routine: boolean): void {
    const { inbox } = this
    if (inbox.sealed || !inbox.pending || !(routine || inbox.pending.urgent)) return
    if (inbox.sealedSeq === 0) inbox.pending.inputs.unshift({ kind: 'configured', at: 1_000, settings: SETTINGS })
    seal(inbox, 0)
  }

  /** Another processor goes on from what stands in the row. */
  reload(): void {
    const { sealed, ...row } = JSON.parse(JSON.stringify(this.inbox)) as Inbox
    const inputs = sealed === null ? [] : (JSON.parse(sealed.batch) as Batch).inputs
    const open = sealed === null ? [] : openedBy(inputs, sealed.seq, row.wake)
    const presence = presenceAfter([...inputs, ...(row.pending?.inputs ?? [])], row.wake)
    Object.assign(this.inbox, row, { sealed: sealed && { ...sealed, open } }, presence)
  }

  answer(): void {
    const { inbox } = this
    if (!inbox.sealed) return
    const batch = JSON.parse(inbox.sealed.batch) as Batch
    this.seals++
    this.readings += batch.inputs.filter(({ kind }) => kind === 'reading').length
    const step = consume(this.state, { seq: inbox.sealed.seq, batch }, 0)
    this.state = JSON.parse(JSON.stringify(step.state))
    this.events.push(...step.events)
    answered(inbox, inbox.sealed.seq, JSON.parse(JSON.stringify(wakeOf(this.state))))
  }
}

/** As the owner of a lane does it. */
function run(steps: Step[], fed: Fed, woken: Woken): void {
  const { inbox } = woken
  const newest: Record<string, number> = {}
  let at = 2_000
  let asked = 0
  for (const step of steps) {
    at += 3
    if (step.step === 'seal') woken.seal(step.routine)
    else if (step.step === 'answer') woken.answer()
    else if (step.step === 'reload') woken.reload()
    else if (step.step === 'wait') {
      at += step.ms
      fed.time(at)
      // Only when it is said to be needed.
      const due = nextTime(inbox)
      if (due !== undefined && due < at) passTime(inbox, at)
    } else if (step.step === 'rules') {
      const input = inputOfStep(step, at, ++asked)
      fed.time(at)
      fed.give(input.kind === 'rules' ? fed.withRules(input) : [input])
      passTime(inbox, at)
      addInput(inbox, input)
    } else if (step.step === 'alarm' || step.step === 'maintenance') {
      // It has the time of the clock, which messages that come later may be behind.
      const input = inputOfStep(step, at + step.aheadMs, ++asked)
      fed.time(at)
      fed.give([input])
      tellTime(inbox, at)
      addInput(inbox, input)
    } else if (step.step === 'hello') {
      const hello = { kind: 'hello' as const, at, status: step.status, health: { ok: true, battery: step.battery } }
      fed.time(at)
      fed.give([hello, ...(fed.features ? fedByHealth(fed.features, hello) : []).map(inputOf)])
      addMessage(inbox, at, true)
      addHello(inbox, hello)
    } else {
      fed.time(at)
      addMessage(inbox, at, true)
      addLife(inbox, at)
      const inputs: TwinInput[] = [{ kind: 'life', at }]
      if (step.step === 'event') {
        const event = { kind: 'event' as const, at, name: 'opened', ts: at, data: null }
        addInput(inbox, event)
        inputs.push(event, ...fed.withFeatures({ name: 'opened', value: null, ts: at, receivedAt: at }, true))
      } else {
        const readings: Reading[] = []
        for (const { name, value, age } of step.values) {
          const reading = { name, value, ts: at - age, receivedAt: at }
          if (reading.ts <= (newest[name] ?? 0)) continue
          newest[name] = reading.ts
          readings.push(reading)
        }
        addReadings(inbox, readings)
        const inOrder = readings.toSorted((a, b) => a.ts - b.ts).flatMap((reading) => fed.withFeatures(reading))
        inputs.push(...inOrder.toSorted((a, b) => tsOf(a) - tsOf(b)))
      }
      fed.give(inputs)
    }
  }
  at += 10
  fed.time(at)
  fed.decide()
  passTime(inbox, at)
  for (let i = 0; i < 6; i++) {
    woken.seal(true)
    woken.answer()
    passTime(inbox, at)
  }
}

function inputOfStep(step: Step & { step: 'rules' | 'alarm' | 'maintenance' }, at: number, asked: number): TwinInput {
  if (step.step === 'rules') return { kind: 'rules', at, set: step.set, removed: step.removed }
  const request = `q-${asked}`
  if (step.step === 'maintenance') {
    const { by, ms } = step
    return { kind: 'maintenance', at, request, by, ...(by !== 'ann' && { ticket: true }), until: ms === null ? null : at + ms }
  }
  const { rule, action } = step
  const about = { kind: 'alarm' as const, at, request, rule, by: 'ann' }
  if (action === 'shelve') return { ...about, action, until: at + 70 }
  if (action === 'assign') return { ...about, action, assignee: 'bob' }
  return { ...about, action }
}

function tsOf(input: TwinInput): number {
  return input.kind === 'reading' ? input.ts : input.at
}

function inputOf({ name, value, ts, receivedAt: at, timed }: Reading): TwinInput {
  return { kind: 'reading', at, name, value, ts, ...(timed && { timed }) }
}

/** By rule. What a rule read is of about that time, where it reads several names or time alone decided. */
function alarms({ events }: { events: TwinEvent[] }, several: Set<string>): Record<string, unknown[]> {
  const found = new Map<string, unknown[]>()
  const note = (of: string, what: unknown): void => void found.set(of, [...(found.get(of) ?? []), what])
  for (const event of events) {
    if (event.kind === 'rules-changed' || event.kind === 'maintenance-changed') note(event.kind, event)
    if (!event.kind.startsWith('alarm-')) continue
    const { rule } = (event.kind === 'alarm-raised' ? event.alarm : event) as { rule: string }
    const isExact = !several.has(rule) && event.cause.by === 'message' && event.at > 1_000
    note(rule, without(event, isExact ? ['n', 'text'] : ['n', 'text', 'values']))
  }
  return Object.fromEntries(found)
}

function without(event: TwinEvent, members: string[]): unknown {
  return JSON.parse(JSON.stringify(event, (key, value) => (members.includes(key) ? undefined : value)))
}
