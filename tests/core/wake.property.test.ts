/**
 * The promise that lets Temporal sleep (docs/architecture.md §3.6): a twin woken only by its wake conditions, everything else merged,
 * decides the same events, with the same values and times, as one that is fed with every message singly.
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
  addReported,
  addSilence,
  addUpdateStep,
  answered,
  emptyInbox,
  type Inbox,
  seal,
} from '../../twin-models/core/inbox.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { boundsOf, outside, statusAfter } from '../../twin-models/core/ranges.ts'
import type {
  Batch,
  JsonObject,
  NormalRange,
  RangeStatus,
  TwinEvent,
  TwinInput,
  TwinSettings,
  TwinState,
  UpdateRequest,
  Value,
} from '../../twin-models/core/types.ts'
import { firstWake, wakeOf } from '../../twin-models/core/wake.ts'
import { updateRequest } from '../support/asked-twin.ts'

const TIMEOUT_MS = 100
/** JSON has no -0. */
const zero = (number: number): number => number + 0

const value = fc.oneof(
  fc.integer({ min: -6, max: 16 }),
  fc.double({ noNaN: true, min: -1e9, max: 1e9 }).map(zero),
  fc.constantFrom(0, 0.1, 0.3, 9.9, 10),
)
const bound = fc.oneof(fc.integer({ min: -5, max: 15 }), fc.constantFrom(0.1, 0.2, 9.7))
const range: fc.Arbitrary<NormalRange> = fc
  .record({ minimum: bound, maximum: bound, hysteresis: fc.oneof(fc.nat(8), fc.constantFrom(0.1, 0.2)) }, { requiredKeys: [] })
  .map((r) =>
    r.minimum !== undefined && r.maximum !== undefined && r.minimum > r.maximum ? { ...r, minimum: r.maximum, maximum: r.minimum } : r,
  )

type Step =
  | { step: 'telemetry'; values: Array<{ name: string; value: number | string; age: number }> }
  | { step: 'hello'; status: 'online' | 'offline'; will: boolean; version: number; hash: string | null; ok: boolean; late: number }
  | { step: 'event' }
  | { step: 'wish'; patch: JsonObject }
  | { step: 'report'; state: JsonObject; version: number | null; rejects: boolean; age: number }
  | { step: 'update'; version: number; soakMs: number; opensAfter: number | null }
  | { step: 'cancel update' }
  | { step: 'update step'; status: 'installing' | 'rebooting'; late: number }
  | { step: 'update answer'; status: 'failed' | 'rejected'; code: string }
  | { step: 'wait'; ms: number }
  | { step: 'seal'; routine: boolean }
  | { step: 'answer' }

const age = fc.oneof(fc.constant(0), fc.nat(60))

/** Few values, so that a report often says what is known, and often what was wished; long ones are not among the wake conditions. */
const configuration = fc.dictionary(
  fc.constantFrom('x', 'y', 'z'),
  fc.oneof(
    { weight: 60, arbitrary: fc.constantFrom<Value>(0, 1, 2, null, [1], {}, { a: 1 }, { a: null, b: 1 }) },
    { weight: 1, arbitrary: fc.constantFrom<Value>('long'.repeat(2_000), { a: 'long'.repeat(2_000) }) },
  ),
  { maxKeys: 3, noNullPrototype: true },
)
const report = fc.oneof(configuration, fc.constantFrom<JsonObject>({}, { x: 0 }, { x: 1 }, { y: { a: 1 } }))
const rules: fc.Arbitrary<NonNullable<TwinSettings['wishes']>> = fc.record(
  { x: fc.constant({ wins: 'device' as const }), y: fc.constant({ wins: 'newest' as const, deadlineMs: 50 }) },
  { requiredKeys: [], noNullPrototype: true },
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      step: fc.constant('telemetry' as const),
      values: fc.array(
        fc.oneof(
          { weight: 4, arbitrary: fc.record({ name: fc.constantFrom('a', 'b'), value, age }) },
          { weight: 1, arbitrary: fc.record({ name: fc.constant('unwatched'), value: fc.oneof(value, fc.constant('text')), age }) },
        ),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      step: fc.constant('hello' as const),
      status: fc.constantFrom('online' as const, 'offline' as const),
      will: fc.boolean(),
      version: fc.nat(1),
      hash: fc.constantFrom('right', 'right', 'other', null),
      ok: fc.boolean(),
      /** So much earlier it was received: another bridge had it. */
      late: fc.constantFrom(0, 0, 0, 1, 5, 20),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ step: 'event' as const }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant('wish' as const), patch: configuration }) },
  {
    weight: 8,
    arbitrary: fc.record({
      step: fc.constant('report' as const),
      state: report,
      version: fc.option(fc.nat(4)),
      rejects: fc.constantFrom(true, false, false),
      age,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant('update' as const),
      version: fc.nat(1),
      soakMs: fc.constantFrom(0, 50, 1_000),
      opensAfter: fc.option(fc.nat(50)),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ step: 'cancel update' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant('update step' as const),
      status: fc.constantFrom('installing' as const, 'rebooting' as const),
      late: fc.constantFrom(0, 0, 3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant('update answer' as const),
      status: fc.constantFrom('failed' as const, 'rejected' as const),
      code: fc.constantFrom('busy', 'no-space', 'broken'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ step: fc.constant('wait' as const), ms: fc.nat(2 * TIMEOUT_MS) }) },
  { weight: 3, arbitrary: fc.record({ step: fc.constant('seal' as const), routine: fc.boolean() }) },
  { weight: 3, arbitrary: fc.constant({ step: 'answer' as const }) },
)

test('a woken twin decides what one fed with every message decides', () => {
  fc.assert(
    fc.property(fc.record({ a: range, b: range }), rules, fc.array(step, { maxLength: 60, size: 'max' }), (ranges, wishes, steps) => {
      const settings: TwinSettings = { model: 'm', modelVersion: '1', presenceTimeoutMs: TIMEOUT_MS, ranges, wishes }
      const fed = fedSingly(settings)
      const woken = wokenTwin(settings)
      run(steps, fed, woken)
      fc.pre(woken.seals.length > 0)
      expect(byPart(woken.events)).toEqual(byPart(fed.events))
      expect(woken.state().presence).toMatchObject({ status: fed.state().presence.status, since: fed.state().presence.since })
      expect(statuses(woken.state())).toEqual(statuses(fed.state()))
      expect(woken.state().desired).toEqual(fed.state().desired)
      expect(woken.state().reported).toEqual(fed.state().reported)
      expect(woken.state().update).toEqual(fed.state().update)
      expect(wakeOf(woken.state())).toEqual(wakeOf(fed.state()))
    }),
    { numRuns: 2_000 },
  )
})

test('the bounds of a status are exactly the values that keep it', () => {
  fc.assert(
    fc.property(range, fc.constantFrom<RangeStatus>('normal', 'low', 'high'), value, value, (r, from, first, second) => {
      const before = statusAfter(r, from, first)
      expect(outside(boundsOf(r, before), second)).toBe(statusAfter(r, before, second) !== before)
    }),
    { numRuns: 5_000 },
  )
})

test('a batch that comes to the same state twice decides the same, and a second twin with the same batches is equal', () => {
  fc.assert(
    fc.property(fc.record({ a: range, b: range }), fc.array(step, { maxLength: 30, size: 'max' }), (ranges, steps) => {
      const settings: TwinSettings = { model: 'm', modelVersion: '1', presenceTimeoutMs: TIMEOUT_MS, ranges }
      const woken = wokenTwin(settings)
      run(steps, fedSingly(settings), woken)
      let again = initialState()
      for (const { seq, batch } of woken.seals) again = JSON.parse(JSON.stringify(consume(again, { seq, batch }, 0).state))
      expect(again).toEqual(JSON.parse(JSON.stringify(woken.state())))
    }),
    { numRuns: 300 },
  )
})

interface Fed {
  feed(inputs: TwinInput[]): void
  events: TwinEvent[]
  state(): TwinState
}

function fedSingly(settings: TwinSettings): Fed {
  let state = initialState()
  const events: TwinEvent[] = []
  const feed = (inputs: TwinInput[]): void => {
    const step = consume(state, { seq: state.seq + 1, batch: { messages: 1, lastSeenAt: 0, merged: {}, inputs } }, 0)
    state = step.state
    events.push(...step.events)
  }
  feed([{ kind: 'configured', at: 0, settings }])
  return { feed, events, state: () => state }
}

interface Woken {
  inbox: Inbox
  events: TwinEvent[]
  seals: Array<{ seq: number; batch: Batch }>
  /** Seals what waits: all of it, or only what is urgent. */
  seal(routine: boolean): void
  answer(): void
  state(): TwinState
}

function wokenTwin(settings: TwinSettings): Woken {
  let state = initialState()
  const inbox = emptyInbox(firstWake(settings))
  const woken: Woken = {
    inbox,
    events: [],
    seals: [],
    seal(routine) {
      if (inbox.sealed || !inbox.pending || !(routine || inbox.pending.urgent)) return
      if (inbox.sealedSeq === 0) inbox.pending.inputs.unshift({ kind: 'configured', at: 0, settings })
      seal(inbox, 0)
    },
    answer() {
      if (!inbox.sealed) return
      const sealed = { seq: inbox.sealed.seq, batch: JSON.parse(inbox.sealed.batch) as Batch }
      woken.seals.push(sealed)
      const step = consume(state, sealed, 0)
      state = step.state
      woken.events.push(...step.events)
      answered(inbox, sealed.seq, wakeOf(state))
    },
    state: () => state,
  }
  return woken
}

/** Both get the same messages at the same times; the woken one through its inbox, as the owner of a lane does it. */
function run(steps: Step[], fed: Fed, woken: Woken): void {
  const { inbox } = woken
  const latest: Record<string, number> = {}
  let at = 1_000
  let lastSeen = 0
  let silentAt = 0
  for (const step of steps) {
    at++
    if (step.step === 'seal') woken.seal(step.routine)
    else if (step.step === 'answer') woken.answer()
    else if (step.step === 'wait') {
      at += step.ms
      if (at - lastSeen <= TIMEOUT_MS || lastSeen === 0) continue
      silentAt = at
      addSilence(inbox, at, lastSeen)
      fed.feed([{ kind: 'silent', at, lastSeenAt: lastSeen }])
    } else if (step.step === 'hello') {
      const { status, will, version, hash, ok, late } = step
      const isWill = will && status === 'offline'
      const hello = {
        kind: 'hello' as const,
        // A goodbye that comes late is dropped before; and before a silence is found, all of its time has come.
        at: status === 'offline' ? at : Math.max(at - late, silentAt),
        status,
        ...(isWill ? { will } : { firmware: { version: `${version}`, ...(hash !== null && { sha256: hash }) }, health: { ok } }),
      }
      addHello(inbox, hello)
      fed.feed([hello])
      if (!isWill) lastSeen = Math.max(lastSeen, hello.at)
    } else if (step.step === 'wish') {
      const wish: TwinInput = { kind: 'wish', at, request: `r-${at}`, by: 'ann', patch: step.patch }
      addInput(inbox, wish)
      fed.feed([wish])
    } else if (step.step === 'update' || step.step === 'cancel update' || step.step === 'update answer') {
      const input = ofUpdate(step, at, fed.state())
      addInput(inbox, input)
      fed.feed([input])
      if (step.step === 'update answer') lastSeen = at
    } else if (step.step === 'update step') {
      const { update } = fed.state()
      const said: TwinInput = { kind: 'update-step', at: at - step.late, id: update?.id ?? 'none', status: step.status }
      addMessage(inbox, at, true)
      addLife(inbox, at)
      addUpdateStep(inbox, said)
      fed.feed([{ kind: 'life', at }, said])
      lastSeen = at
    } else if (step.step === 'report') {
      const { state, version, rejects, age } = step
      const more = { ...(version !== null && { version }), ...(rejects && { rejected: { '/x': { code: 'no' } } }) }
      const report = { kind: 'reported' as const, at, ts: at - age, state, ...more }
      addMessage(inbox, at, true)
      addLife(inbox, at)
      addReported(inbox, report)
      fed.feed([{ kind: 'life', at }, report])
      lastSeen = at
    } else {
      addMessage(inbox, at, true)
      addLife(inbox, at)
      lastSeen = at
      const inputs: TwinInput[] = [{ kind: 'life', at }]
      if (step.step === 'event') inputs.push({ kind: 'event', at, name: 'opened', ts: at, data: at })
      else for (const { name, value, age } of step.values) inputs.push({ kind: 'reading', at, name, value, ts: at - age })
      for (const input of inputs) {
        if (input.kind === 'event') addInput(inbox, input)
        if (input.kind !== 'reading' || input.ts < (latest[input.name] ?? 0)) continue
        latest[input.name] = input.ts
        addReadings(inbox, [{ name: input.name, value: input.value, ts: input.ts, receivedAt: at }])
      }
      fed.feed(inputs)
    }
  }
  for (let i = 0; i < 4; i++) {
    woken.seal(true)
    woken.answer()
  }
  expect(inbox.pending).toBeNull()
}

/** Asked for anew, or of the one that is under way where every message was told. */
function ofUpdate(step: Step & { step: 'update' | 'cancel update' | 'update answer' }, at: number, { update }: TwinState): TwinInput {
  const id = update?.id ?? 'none'
  if (step.step === 'cancel update') return { kind: 'cancel-update', at, request: `r-${at}`, id, by: 'ann' }
  if (step.step === 'update answer') return { kind: 'update-answer', at, id, status: step.status, code: step.code }
  const { version, soakMs, opensAfter } = step
  const windows: Pick<UpdateRequest, 'windows'> = opensAfter === null ? {} : { windows: [[at + opensAfter, at + 200]] }
  const firmware = { version: `${version}`, sha256: 'right' }
  const asked = updateRequest(`u-${at}`, { firmware, soakMs, ...windows, offerUntil: at + 1_000, precedence: at })
  return { kind: 'update', at, request: `r-${at}`, update: asked }
}

/** Order matters within one part of the twin; between parts a merged reading may come before what was received before it. */
function byPart(events: TwinEvent[]): Record<string, TwinEvent[]> {
  const parts: Record<string, TwinEvent[]> = {}
  for (const event of events) {
    if (event.kind === 'configured') continue
    const part =
      event.kind === 'range-changed'
        ? `range ${event.name}`
        : /^(desired|reported)-/.test(event.kind)
          ? 'asked'
          : /^update-/.test(event.kind)
            ? 'update'
            : event.kind
    parts[part] ??= []
    parts[part].push(event)
  }
  return parts
}

function statuses(state: TwinState): Record<string, unknown> {
  return Object.fromEntries(Object.entries(state.ranges).map(([name, { status, newest }]) => [name, { status, newest }]))
}
