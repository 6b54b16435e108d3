/** A rule tried on what was recorded says what the twin would have done: held against a twin that carries the rule and is given everything. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import { fedBy, type InboxFeatures, passed, withRules } from '../../twin-models/core/inbox-features.ts'
import { inputOf } from '../../twin-models/core/inbox-slots.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { OpenAlarm, Reading, TwinEvent, TwinInput, TwinRule, TwinSettings, TwinState } from '../../twin-models/core/types.ts'
import { needsOf } from '../../twin-models/rules/needs.ts'
import { readyRule } from '../../twin-models/rules/ready.ts'
import { type Recorded, type Simulated, simulate } from '../../twin-models/rules/simulate.ts'
import { standingBefore } from '../../twin-models/rules/standing.ts'
import { ruleRequest } from '../../twin-models/schemas/rule.ts'

const SETTINGS: TwinSettings = { model: 'm', modelVersion: '1', presenceTimeoutMs: 60_000, ranges: { a: { maximum: 8, hysteresis: 2 } } }
const FROM = Date.parse('2026-11-21T06:00:00Z')
const S = 1_000

function ruleOf(given: object): TwinRule {
  const body = ruleRequest.parse({ model: 'm', severity: 'minor', text: 'a is {telemetry.a.value}', ...given })
  const rule = { name: 'r', version: 1, model: 'm', filter: null, body: JSON.stringify(body), createdAt: FROM }
  return readyRule(rule, { id: 'd', model: 'm', modelVersion: '1', attributes: {} })!
}

function run(rule: TwinRule, recorded: Partial<Recorded>, to: number, most = 1_000): Simulated {
  const { presence, reported, desired, firmware, health } = initialState()
  const standing = { presence, reported, desired, firmware, health }
  const steps = simulate(rule, { settings: SETTINGS, standing, known: [], readings: [], events: [], ...recorded }, { from: FROM, to, most })
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

const reading = (name: string, value: Reading['value'], after: number, late = 0): Reading => ({
  name,
  value,
  ts: FROM + after - late,
  receivedAt: FROM + after,
})
const presence = (after: 'online' | 'offline', at: number): TwinEvent => ({
  kind: 'presence-changed',
  at: FROM + at,
  before: after === 'online' ? 'offline' : 'online',
  after,
  reason: 'hello',
  cause: { by: 'lane' },
})
const times = ({ alarms }: Simulated) => alarms.map(({ raisedAt, cleared }) => [(raisedAt - FROM) / S, cleared && (cleared.at - FROM) / S])

describe('a rule that is tried', () => {
  test('says when an alarm would have been raised and cleared, how bad it became, and what it would have said', () => {
    const rule = ruleOf({
      when: 'telemetry.a.value > 8',
      clear: 'telemetry.a.value < 6',
      for: '10s',
      worse: [{ when: 'telemetry.a.value > 12', severity: 'critical' }],
    })
    const readings = [9, 9, 13, 7, 5, 5].map((value, n) => reading('a', value, n * 10 * S))
    expect(run(rule, { readings }, FROM + 100 * S)).toEqual({
      alarms: [
        {
          severity: 'critical',
          text: 'a is 9',
          since: FROM,
          raisedAt: FROM + 10 * S,
          count: 1,
          values: { a: 9 },
          worse: [{ at: FROM + 20 * S, severity: 'critical', text: 'a is 13' }],
          cleared: { at: FROM + 40 * S, values: { a: 5 } },
        },
      ],
      more: false,
    })
  })

  test('knows what was measured last before, and what time alone makes of it', () => {
    const held = ruleOf({ when: 'telemetry.a.value > 8', for: '1m' })
    const known = [{ name: 'a', value: 9, ts: FROM - 5 * S, receivedAt: FROM - 5 * S }]
    expect(times(run(held, { known }, FROM + 300 * S))).toEqual([[60, undefined]])
    expect(times(run(held, { known }, FROM + 60 * S))).toEqual([[60, undefined]])
    expect(times(run(held, { known }, FROM + 59 * S))).toEqual([])
    expect(
      times(run(ruleOf({ when: "missing(telemetry.a, '1m')" }), { known, readings: [reading('a', 1, 90 * S)] }, FROM + 300 * S)),
    ).toEqual([
      [60, 90],
      [150, undefined],
    ])
  })

  test('raises nothing for what came late, and takes nothing that is older than what was known', () => {
    const rule = ruleOf({ when: 'telemetry.a.value > 8', lateAfter: '5s' })
    expect(times(run(rule, { readings: [reading('a', 9, 60 * S, 50 * S)] }, FROM + 300 * S))).toEqual([])
    const order = [reading('a', 1, 20 * S), reading('a', 9, 21 * S, 3 * S), reading('a', 9, 30 * S)]
    expect(times(run(rule, { readings: order }, FROM + 300 * S))).toEqual([[30, undefined]])
  })

  test('goes by what the twin decided: presence, what was reported, device events', () => {
    const offline = ruleOf({ when: "presence.status = 'offline'", for: '1m' })
    const events = [presence('offline', 10 * S), presence('online', 100 * S), presence('offline', 110 * S), presence('online', 120 * S)]
    expect(times(run(offline, { events }, FROM + 300 * S))).toEqual([[70, 100]])
    const reported = (at: number, after: number): TwinEvent => ({
      kind: 'reported-changed',
      at: FROM + at,
      ts: FROM + at,
      changes: [{ path: '/mode/level', after }],
      cause: { by: 'lane' },
    })
    expect(
      times(run(ruleOf({ when: 'reported.state.mode.level >= 3' }), { events: [reported(S, 3), reported(2 * S, 2)] }, FROM + 9 * S)),
    ).toEqual([[1, 2]])
    const leak = (at: number): TwinEvent => ({
      kind: 'device-event',
      at: FROM + at,
      name: 'leak',
      ts: FROM + at,
      data: null,
      cause: { by: 'lane' },
    })
    const leaks = ruleOf({ when: "count(events.leak, '10s') >= 2" })
    expect(times(run(leaks, { events: [leak(S), leak(5 * S), leak(30 * S)] }, FROM + 60 * S))).toEqual([[5, 11]])
  })

  test('judges what is of one moment together', () => {
    const both = ruleOf({ when: "presence.status = 'offline' and telemetry.a.value > 8" })
    const { presence: now, ...others } = initialState()
    const standing = { ...others, presence: { ...now, status: 'offline' as const } }
    const message = { readings: [reading('a', 9, 10 * S)], events: [presence('online', 10 * S)] }
    expect(times(run(both, { standing, ...message }, FROM + 60 * S))).toEqual([])
  })

  test('knows a range by its readings', () => {
    const readings = [7, 9, 7, 5].map((value, n) => reading('a', value, n * S))
    expect(times(run(ruleOf({ when: "ranges.a.status = 'high'" }), { readings }, FROM + 60 * S))).toEqual([[1, 3]])
  })

  test('tells so many alarms and no more', () => {
    const readings = Array.from({ length: 40 }, (_, n) => reading('a', n % 2 ? 9 : 1, n * 600 * S))
    const rule = ruleOf({ when: 'telemetry.a.value > 8' })
    const all = run(rule, { readings }, FROM + 40 * 600 * S)
    expect([all.alarms.length, all.more]).toEqual([20, false])
    const some = run(rule, { readings }, FROM + 40 * 600 * S, 5)
    expect([some.alarms, some.more]).toEqual([all.alarms.slice(0, 5), true])
  })
})

test('how a twin stood is how it stands now, less what it decided since', () => {
  const now = { ...initialState(), presence: { ...initialState().presence, status: 'online' as const } }
  now.reported = { state: { a: 2, b: { c: 1 } }, at: {} }
  now.desired = { ...now.desired, state: { x: 5 } }
  const cause = { by: 'lane' as const }
  const since: TwinEvent[] = [
    { kind: 'reported-changed', at: 1, ts: 1, changes: [{ path: '/a', before: 1, after: 3 }], cause },
    presence('offline', 2),
    {
      kind: 'desired-changed',
      at: 2,
      version: 2,
      changes: [
        { path: '/x', after: 5 },
        { path: '/y', before: 1, after: 2 },
      ],
      by: 'ann',
      cause,
    },
    {
      kind: 'reported-changed',
      at: 3,
      ts: 3,
      changes: [
        { path: '/a', before: 3, after: 2 },
        { path: '/b/c', after: 1 },
      ],
      cause,
    },
    { kind: 'desired-conflict', at: 4, path: '/y', desired: 2, reported: 7, winner: 'device', version: 3, cause },
    { kind: 'desired-diverged', at: 4, version: 2, path: '/y', reason: 'device', cause },
    { kind: 'firmware-changed', at: 5, before: { version: '1' }, after: { version: '2' }, cause },
    { kind: 'health-changed', at: 5, before: null, after: { ok: true }, cause },
    presence('online', 6),
  ]
  const before = standingBefore(now, since, 'will')
  expect([before.presence.status, before.presence.reason, before.reported.state]).toEqual(['online', 'will', { a: 1 }])
  expect([before.desired.state, before.firmware, before.health]).toEqual([{ y: 1 }, { version: '1' }, null])
})

test('what a rule needs to be tried is what it reads', () => {
  const rule = ruleOf({
    when: "change(telemetry.a.value, '5m') > 1 and ranges.b.status = 'low' and count(events.leak, '1h') > 1 and presence.status = 'online'",
    clear: 'reported.state.x = 1 or telemetry.c.value > 1 or health.battery < 3',
    text: '{telemetry.d.value} {firmware.version}',
  })
  expect(needsOf(rule)).toEqual({
    names: ['a', 'b', 'c', 'd'],
    deviceEvents: ['leak'],
    kinds: ['health-changed', 'presence-changed', 'reported-changed', 'firmware-changed'],
    isOfHealth: true,
  })
})

const value = fc.integer({ min: 0, max: 12 })
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('message' as const),
      readings: fc.array(fc.record({ name: fc.constantFrom('a', 'b'), value, late: fc.constantFrom(0, 0, 0, 2 * S, 400 * S) }), {
        maxLength: 3,
      }),
      leak: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'goodbye' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('report' as const), level: value }) },
)
const steps = fc.array(fc.tuple(fc.constantFrom(0, S, 7 * S, 60 * S), step), { minLength: 5, maxLength: 60, size: 'max' })
const condition = fc.constantFrom(
  'telemetry.a.value > 6',
  "telemetry.a.value > 6 and presence.status = 'online'",
  "presence.status = 'offline'",
  'reported.state.level > 4 or telemetry.b.value < 3',
  "change(telemetry.a.value, '30s') > 3",
  "count(telemetry.b.value > 6, '1m') >= 2",
  "count(events.leak, '2m') >= 3",
  "missing(telemetry.a, '90s')",
  "ranges.a.status = 'high' and telemetry.b.value != 4",
)
const anyRule = fc
  .record(
    {
      when: condition,
      clear: condition,
      for: fc.constantFrom('0s', '5s', '1m'),
      clearFor: fc.constantFrom('0s', '5s'),
      worse: condition.map((when) => [{ when, severity: 'major' }]),
    },
    { requiredKeys: ['when', 'for', 'clearFor'] },
  )
  .map(ruleOf)

test('a rule that is tried on what was recorded says what a twin that carried it did', () => {
  let [raised, cleared] = [0, 0]
  fc.assert(
    fc.property(anyRule, steps, (rule, all) => {
      const twin = new Twin(rule)
      const readings: Reading[] = []
      let at = FROM + 500 * S
      for (const [wait, step] of all) {
        at += wait + 1
        if (step.kind === 'message') {
          const given = step.readings.map(({ name, value, late }) => ({ name, value, ts: at - late, receivedAt: at }))
          readings.push(...given)
          twin.message(at, given, step.leak)
        } else if (step.kind === 'goodbye') twin.give(at, [{ kind: 'hello', at, status: 'offline' }])
        else twin.give(at, [{ kind: 'reported', at, ts: at, state: { level: step.level } }])
      }
      const to = at + 200 * S
      twin.give(to, [])
      const stored = twin.events.filter(({ kind }) => ['presence-changed', 'reported-changed', 'device-event'].includes(kind))
      const found = run(rule, { readings, events: stored }, to).alarms
      expect(found.map(({ worse: _worse, ...alarm }) => alarm)).toEqual(twin.alarms())
      raised += found.length
      cleared += found.filter((alarm) => alarm.cleared).length
    }),
    { numRuns: 1_500 },
  )
  expect(raised).toBeGreaterThan(500)
  expect(cleared).toBeGreaterThan(200)
})

/** As its inbox would have it, without merging anything. */
class Twin {
  readonly events: TwinEvent[] = []
  readonly #features: InboxFeatures | null
  readonly #newest: Record<string, number> = {}
  #state: TwinState = initialState()

  constructor(rule: TwinRule) {
    const set = { kind: 'rules' as const, at: FROM, set: [rule], removed: [] }
    const { features, begun } = withRules(null, set, FROM)
    this.#features = features
    this.#decide([{ kind: 'configured', at: FROM, settings: SETTINGS }, ...begun.map(inputOf), set])
  }

  message(at: number, readings: Reading[], leak: boolean): void {
    this.give(at, [])
    const news = readings.filter(({ name, ts }) => {
      if (ts <= (this.#newest[name] ?? 0)) return false
      this.#newest[name] = ts
      return true
    })
    const inputs: TwinInput[] = [{ kind: 'life', at }]
    for (const each of news.toSorted((a, b) => a.ts - b.ts)) inputs.push(...[each, ...this.#fed(each)].map(inputOf))
    if (leak) {
      const event = { name: 'leak', value: null, ts: at, receivedAt: at }
      inputs.push({ kind: 'event', at, name: 'leak', ts: at, data: null }, ...this.#fed(event, true).map(inputOf))
    }
    this.#decide(inputs)
  }

  give(at: number, inputs: TwinInput[]): void {
    for (const each of this.#features ? passed(this.#features, at) : []) this.#decide([inputOf(each)])
    this.#decide([{ kind: 'tick', at }])
    if (inputs.length > 0) this.#decide(inputs)
  }

  alarms(): object[] {
    const all: Array<Partial<OpenAlarm> & { cleared?: object }> = []
    for (const event of this.events) {
      if (event.kind === 'alarm-raised') {
        const { n: _n, rule: _rule, version: _version, ...alarm } = event.alarm
        all.push(alarm)
      } else if (event.kind === 'alarm-updated') {
        const { count, severity } = event
        Object.assign(all.at(-1)!, count !== undefined && { count }, severity !== undefined && { severity })
      } else if (event.kind === 'alarm-cleared') all.at(-1)!.cleared = { at: event.at, values: event.values }
    }
    return all
  }

  #fed(reading: Reading, isEvent = false): Reading[] {
    return this.#features ? fedBy(this.#features, reading, isEvent) : []
  }

  #decide(inputs: TwinInput[]): void {
    const seal = { seq: this.#state.seq + 1, batch: { messages: 0, lastSeenAt: 0, merged: {}, inputs } }
    const { state, events } = consume(this.#state, seal, 0)
    this.#state = state
    this.events.push(...events)
  }
}
