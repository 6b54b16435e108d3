/** The inbox where it is easily wrong: each of these was found by the simulation (tests/core/simulation/). */
import { describe, expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import {
  addHello,
  addInput,
  addLife,
  addMessage,
  addReadings,
  addReported,
  addSilence,
  answered,
  BATCH_LIMIT,
  emptyInbox,
  INPUT_LIMIT,
  type Inbox,
  nextTime,
  openedBy,
  seal,
  tellTime,
} from '../../twin-models/core/inbox.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { Batch, JsonObject, TwinEvent, TwinInput, TwinRule, TwinSettings, TwinState } from '../../twin-models/core/types.ts'
import { firstWake, wakeOf } from '../../twin-models/core/wake.ts'
import { updateRequest } from '../support/asked-twin.ts'

const settings: TwinSettings = {
  model: 'thermostat',
  modelVersion: '1.0.0',
  presenceTimeoutMs: 60_000,
  ranges: { temperature: { minimum: 5, maximum: 35, hysteresis: 1 } },
}

/** An inbox and its twin, which are online since 1000. */
class Pair {
  readonly inbox: Inbox
  readonly events: TwinEvent[] = []
  state: TwinState = initialState()

  constructor(inputLimit?: number) {
    this.inbox = emptyInbox(firstWake(settings), inputLimit)
    addInput(this.inbox, { kind: 'configured', at: 1_000, settings })
    this.message(1_000)
    this.decide()
    this.events.length = 0
  }

  message(at: number): void {
    addMessage(this.inbox, at, true)
    addLife(this.inbox, at)
  }

  hello(at: number, more: Partial<Extract<TwinInput, { kind: 'hello' }>> = {}): void {
    addMessage(this.inbox, at, true)
    addHello(this.inbox, { kind: 'hello', at, status: 'online', ...more })
  }

  temperature(at: number, value: number): void {
    this.message(at)
    addReadings(this.inbox, [{ name: 'temperature', value, ts: at, receivedAt: at }])
  }

  humidity(at: number, value: number): void {
    this.message(at)
    addReadings(this.inbox, [{ name: 'humidity', value, ts: at, receivedAt: at }])
  }

  /** Its twin has it. */
  rule(at: number, ...when: Parameters<typeof ruleOf>): void {
    addInput(this.inbox, { kind: 'rules', at, set: [ruleOf(...when)], removed: [] })
    this.decide()
  }

  report(at: number, more: Partial<Extract<TwinInput, { kind: 'reported' }>>): boolean {
    this.message(at)
    return addReported(this.inbox, { kind: 'reported', at, ts: at, state: {}, ...more })
  }

  wish(at: number, patch: JsonObject): void {
    addInput(this.inbox, { kind: 'wish', at, request: `r-${at}`, by: 'ann', patch })
  }

  get waiting(): string[] {
    return this.inbox.pending?.inputs.map(({ kind, at }) => `${kind} ${at}`) ?? []
  }

  event(at: number): boolean {
    this.message(at)
    return addInput(this.inbox, { kind: 'event', at, name: 'e', ts: at, data: null })
  }

  seal(): Batch {
    return JSON.parse(seal(this.inbox, 0).batch)
  }

  answer(batch: Batch): void {
    const { state, events } = consume(this.state, { seq: this.inbox.sealedSeq, batch }, 0)
    this.state = state
    this.events.push(...events)
    answered(this.inbox, this.inbox.sealedSeq, wakeOf(state))
  }

  decide(): void {
    while (this.inbox.pending !== null) this.answer(this.seal())
  }

  get decided(): unknown[] {
    return this.events.map((event) => ('after' in event ? [event.kind, event.at, event.after] : [event.kind, event.at]))
  }
}

describe('presence', () => {
  test('a goodbye leaves a twin offline that is offline already, and so does a second goodbye', () => {
    const pair = new Pair()
    addSilence(pair.inbox, 70_000, 1_000)
    pair.decide()
    pair.hello(80_000, { status: 'offline' })
    pair.hello(80_001, { status: 'offline' })
    pair.decide()
    expect(pair.decided).toEqual([['presence-changed', 70_000, 'offline']])
  })

  test('what was received before a goodbye is no return, and the first message after it is one, at its time', () => {
    const pair = new Pair()
    pair.hello(5_000, { status: 'offline' })
    pair.message(4_999)
    pair.message(6_000)
    pair.message(7_000)
    pair.decide()
    expect(pair.decided).toEqual([
      ['presence-changed', 5_000, 'offline'],
      ['presence-changed', 6_000, 'online'],
    ])
  })

  test('the time of a goodbye is known after its answer, too', () => {
    const pair = new Pair()
    pair.hello(5_000, { status: 'offline' })
    pair.decide()
    pair.message(4_999)
    expect(pair.inbox.pending?.urgent).toBe(false)
    pair.message(5_001)
    pair.decide()
    expect(pair.decided.at(-1)).toEqual(['presence-changed', 5_001, 'online'])
  })

  test('a twin that went offline by its own timer comes back for what was received meanwhile', () => {
    const pair = new Pair()
    pair.message(90_000)
    answered(pair.inbox, 1, { ...wakeOf(pair.state), presence: 'offline', offlineSince: 80_000, goodbye: false })
    expect(pair.inbox.pending).toMatchObject({ urgent: true, inputs: [{ kind: 'life', at: 90_000 }] })
  })

  test('a batch that is cut does not say of its first half when the second was received', () => {
    const pair = new Pair()
    const data = 'x'.repeat(BATCH_LIMIT / 2)
    pair.hello(2_000, { status: 'offline' })
    addInput(pair.inbox, { kind: 'event', at: 2_000, name: 'e', ts: 2_000, data })
    addInput(pair.inbox, { kind: 'event', at: 2_000, name: 'e', ts: 2_000, data })
    pair.message(3_000)
    pair.message(9_000)
    expect(pair.seal().lastSeenAt).toBe(2_000)
  })
})

describe('a device on an update', () => {
  const onUpdate = (): Pair => {
    const pair = new Pair()
    addInput(pair.inbox, { kind: 'update', at: 2_000, request: 'r', update: updateRequest('u-1', { offerUntil: 100_000 }) })
    pair.decide()
    pair.events.length = 0
    return pair
  }

  test('may go away for a moment: that waits for its return, and both are decided at once, at their times', () => {
    const pair = onUpdate()
    pair.hello(5_000, { status: 'offline' })
    expect(pair.inbox.pending?.urgent).toBe(false)
    pair.hello(9_000)
    expect(pair.inbox.pending?.urgent).toBe(true)
    pair.answer(pair.seal())
    expect(pair.decided).toEqual([
      ['presence-changed', 5_000, 'offline'],
      ['presence-changed', 9_000, 'online'],
    ])
  })

  test('that is back already is decided on as soon as the answer comes', () => {
    const pair = onUpdate()
    pair.event(3_000)
    const batch = pair.seal()
    pair.hello(4_000, { status: 'offline' })
    pair.hello(5_000)
    pair.answer(batch)
    expect(pair.inbox.pending?.urgent).toBe(true)
  })

  test('that falls silent, or says at its goodbye what is news, is decided on at once', () => {
    const silent = onUpdate()
    addSilence(silent.inbox, 70_000, 2_000)
    expect(silent.inbox.pending?.urgent).toBe(true)
    const said = onUpdate()
    said.hello(5_000, { status: 'offline', firmware: { version: '9.9.9' } })
    expect(said.inbox.pending?.urgent).toBe(true)
  })
})

describe('hellos', () => {
  test('a hello drops neither readings that wait for an answer nor what an earlier hello said', () => {
    const pair = new Pair()
    pair.temperature(2_000, 40)
    const high = pair.seal()
    pair.temperature(3_000, 20)
    pair.hello(4_000, { health: { ok: true, battery: 80 } })
    pair.hello(5_000)
    pair.answer(high)
    pair.decide()
    expect(pair.decided).toEqual([
      ['range-changed', 2_000, 'high'],
      ['range-changed', 3_000, 'normal'],
      ['health-changed', 4_000, { ok: true, battery: 80 }],
    ])
  })

  test('of hellos that repeat themselves the first and the last are kept, however many they are', () => {
    const pair = new Pair()
    for (let n = 0; n < 5_000; n++) pair.hello(2_000 + n, { health: { ok: true, battery: 100 - (n % 100) } })
    expect(pair.inbox.pending?.inputs).toHaveLength(2)
    pair.decide()
    expect(pair.decided).toEqual([['health-changed', 2_000, { ok: true, battery: 100 }]])
    expect(pair.state.health).toEqual({ ok: true, battery: 1 })
  })
})

test('a hello with the version that is known and another hash is news, one without a hash is none', () => {
  const pair = new Pair()
  pair.hello(2_000, { firmware: { version: '1', sha256: 'one' } })
  pair.decide()
  const isUrgent = (firmware: { version: string; sha256?: string }): boolean => {
    pair.hello(3_000, { firmware })
    return pair.inbox.pending!.urgent
  }
  expect([isUrgent({ version: '1', sha256: 'one' }), isUrgent({ version: '1' }), isUrgent({ version: '1', sha256: 'two' })]).toEqual([
    false,
    false,
    true,
  ])
  pair.decide()
  expect(pair.state.firmware).toEqual({ version: '1', sha256: 'two' })
})

describe('reports', () => {
  test('that are no news are counted and dropped', () => {
    const pair = new Pair()
    pair.report(2_000, { state: { x: 1 } })
    pair.decide()
    for (let at = 3_000; at < 3_100; at++) expect(pair.report(at, { state: { x: 1 } })).toBe(true)
    expect(pair.inbox.pending).toMatchObject({ urgent: false, messages: 100, lastSeenAt: 3_099, inputs: [] })
    pair.decide()
    expect(pair.decided).toEqual([['reported-changed', 2_000]])
  })

  test('of news make those that follow wait in order until it is decided on, and then those that are none are dropped', () => {
    const pair = new Pair()
    pair.report(2_000, { state: { x: 1 } })
    pair.decide()
    pair.report(3_000, { state: { x: 2 } })
    expect(pair.inbox.pending?.urgent).toBe(true)
    pair.report(3_001, { state: { x: 1 } })
    pair.report(3_002, { state: { x: 2 } })
    expect(pair.waiting).toEqual(['reported 3000', 'reported 3001', 'reported 3002'])
    const sealed = pair.seal()
    pair.report(4_000, { state: { x: 2 } })
    expect(pair.inbox.pending).toMatchObject({ urgent: true, open: ['$reported'] })
    pair.report(4_001, { state: { x: 2 } })
    pair.answer(sealed)
    expect(pair.inbox.pending).toMatchObject({ urgent: false, inputs: [], open: [], messages: 2 })
    pair.report(4_002, { state: { x: 2 } })
    expect(pair.waiting).toEqual([])
  })

  test('that are news only to what is sealed wait for its answer', () => {
    const pair = new Pair()
    pair.report(2_000, { state: { x: 1 } })
    pair.decide()
    pair.report(3_000, { state: { x: 2 } })
    const sealed = pair.seal()
    pair.report(4_000, { state: { x: 1 } })
    expect(pair.inbox.pending?.urgent).toBe(false)
    pair.answer(sealed)
    expect(pair.inbox.pending).toMatchObject({ urgent: true, open: ['$reported'] })
    pair.decide()
    expect(pair.state.reported.state).toEqual({ x: 1 })
  })

  test('after a wish that is under way wait for it: they may be its answer', () => {
    const pair = new Pair()
    pair.wish(2_000, { x: 1 })
    pair.report(2_001, { version: 1, rejected: { '/x': { code: 'no' } } })
    expect(pair.waiting).toEqual(['wish 2000', 'reported 2001'])
    pair.decide()
    pair.wish(3_000, { y: 1 })
    const sealed = pair.seal()
    pair.report(3_001, { version: 2, rejected: { '/y': { code: 'no' } } })
    pair.answer(sealed)
    pair.decide()
    const { '/x': x, '/y': y } = pair.state.desired.leaves
    expect([x?.reason, y?.reason]).toEqual(['refused', 'refused'])
  })

  test('that a seal holds are known again from its bytes', () => {
    const report: TwinInput = { kind: 'reported', at: 1, ts: 1, state: { x: 1 } }
    const wish: TwinInput = { kind: 'wish', at: 1, request: 'r', by: 'ann', patch: {} }
    expect([
      openedBy([report], 2, firstWake(settings)),
      openedBy([wish], 2, firstWake(settings)),
      openedBy([{ kind: 'deliver', at: 1, request: 'r' }], 2, firstWake(settings)),
    ]).toEqual([['$reported'], ['$reported'], []])
  })
})

test('beyond its limit an inbox takes no report, answer or event of a device, but what others ask, and what decides nothing', () => {
  const pair = new Pair()
  for (let n = 0; n < INPUT_LIMIT; n++) expect(pair.report(2_000 + n, { state: { x: n } })).toBe(true)
  expect(pair.report(9_000, { state: { x: -1 } })).toBe(false)
  expect(addInput(pair.inbox, { kind: 'command-answer', at: 9_000, id: 'c', status: 'succeeded' })).toBe(false)
  expect(addInput(pair.inbox, { kind: 'event', at: 9_000, name: 'e', ts: 9_000, data: null })).toBe(false)
  expect(addInput(pair.inbox, { kind: 'cancel', at: 9_000, request: 'r', id: 'c', by: 'ann' })).toBe(true)
  pair.decide()
  expect(pair.state.reported.state).toEqual({ x: INPUT_LIMIT - 1 })
})

test('a batch that is cut counts reports and answers as received, each with its half', () => {
  const pair = new Pair()
  const output = 'x'.repeat(BATCH_LIMIT / 2)
  pair.hello(2_000, { status: 'offline' })
  pair.report(2_001, { state: { x: 1 } })
  addInput(pair.inbox, { kind: 'command-answer', at: 2_002, id: 'c', status: 'succeeded', output })
  addInput(pair.inbox, { kind: 'command-answer', at: 2_003, id: 'd', status: 'succeeded', output })
  pair.message(9_000)
  const first = pair.seal()
  expect([first.lastSeenAt, first.inputs.length]).toEqual([2_002, 4])
  expect(pair.waiting).toEqual(['command-answer 2003'])
})

test('under new settings whose bounds are not known yet, readings are decided on one by one, in their order', () => {
  const pair = new Pair()
  const cold = { ...settings, ranges: { temperature: { minimum: -30, maximum: 0 }, humidity: { maximum: 50 } } }
  pair.temperature(2_000, 20)
  addInput(pair.inbox, { kind: 'configured', at: 3_000, settings: cold })
  pair.temperature(4_000, -10)
  const first = pair.seal()
  pair.temperature(5_000, 10)
  pair.temperature(6_000, -10)
  pair.answer(first)
  pair.decide()
  expect(pair.decided).toEqual([
    ['configured', 3_000],
    ['range-changed', 3_000, 'high'],
    ['range-changed', 4_000, 'normal'],
    ['range-changed', 5_000, 'high'],
    ['range-changed', 6_000, 'normal'],
  ])
})

describe('a full inbox', () => {
  test('refuses device events, and holds as many as it may', () => {
    const pair = new Pair(3)
    expect([2_000, 3_000, 4_000, 5_000].map((at) => pair.event(at))).toEqual([true, true, true, false])
    pair.decide()
    expect(pair.decided.map((event) => (event as unknown[])[1])).toEqual([2_000, 3_000, 4_000])
    expect(pair.event(6_000)).toBe(true)
  })

  test('merges the readings of an open property, those that waited singly first, so that the newest is decided on last', () => {
    const pair = new Pair(3)
    pair.temperature(2_000, 40)
    const high = pair.seal()
    for (const [n, value] of [20, 50, 34.5, 41].entries()) pair.temperature(3_000 + n, value)
    expect(pair.inbox.pending).toMatchObject({ urgent: true, inputs: [], merged: { temperature: [4, 20, 0, 41, 3, 3, 20, 0, 50, 1] } })
    pair.answer(high)
    pair.temperature(4_000, 20)
    pair.decide()
    expect(pair.decided).toEqual([
      ['range-changed', 2_000, 'high'],
      ['range-changed', 4_000, 'normal'],
    ])
  })

  test('does not grow by a device that says goodbye and speaks again, and keeps the last of it with its time', () => {
    const pair = new Pair(4)
    pair.event(2_000)
    const sealed = pair.seal()
    for (let n = 0; n < 1_000; n++) {
      pair.hello(3_000 + 2 * n, { status: 'offline', health: { ok: n !== 500, battery: n % 100 } })
      pair.message(3_001 + 2 * n)
      expect(pair.waiting.length).toBeLessThanOrEqual(6)
    }
    pair.answer(sealed)
    pair.decide()
    expect(pair.decided.at(-1)).toEqual(['presence-changed', 4_999, 'online'])
    expect(pair.state.health).toEqual({ ok: true, battery: 99 })
  })

  test('has rules look at what it merged', () => {
    const pair = new Pair(2)
    pair.rule(1_500, 'change(humidity,60000)', '>', 5)
    for (const [n, value] of [10, 20, 21, 22].entries()) pair.humidity(3_000 + n, value)
    expect(pair.waiting).toEqual(['tick 3003'])
    pair.decide()
    expect(pair.decided.at(-1)).toEqual(['alarm-raised', 3_003])
  })

  test('wakes its twin for what it merged, once the answer says that it matters', () => {
    const pair = new Pair(2)
    pair.temperature(2_000, 40)
    const high = pair.seal()
    for (const [n, value] of [41, 42, 20].entries()) pair.temperature(3_000 + n, value)
    pair.answer(high)
    expect(pair.inbox.pending).toMatchObject({ urgent: true, open: ['temperature'], inputs: [] })
    pair.decide()
    expect(pair.decided.at(-1)).toEqual(['range-changed', 3_002, 'normal'])
  })
})

describe('functions of readings', () => {
  test('are kept up with every message, and told as they stand with a seal', () => {
    const pair = new Pair()
    pair.rule(1_500, 'change(humidity,10000)', '>', 50)
    for (const [n, value] of [10, 20, 30].entries()) pair.humidity(2_000 + n, value)
    expect(Object.keys(pair.inbox.pending!.merged)).toEqual(['humidity'])
    expect(pair.inbox.features!.known['change(humidity,10000)']![0]).toBe(20)
    expect(pair.seal().merged['change(humidity,10000)']!.last).toEqual([20, 2_002, 2_002])
  })

  test('are told as they stood before anything opened, and singly from then on', () => {
    const pair = new Pair()
    pair.rule(1_500, 'change(humidity,10000)', '>', 50)
    for (const [n, value] of [10, 20].entries()) pair.humidity(2_000 + n, value)
    addInput(pair.inbox, { kind: 'rules', at: 3_000, set: [{ ...ruleOf('change(humidity,10000)', '>', 15), id: 'other' }], removed: [] })
    pair.humidity(3_001, 12)
    expect(pair.inbox.pending!.merged['change(humidity,10000)']!.slice(3, 4)).toEqual([10])
    expect(pair.waiting).toEqual(['rules 3000', 'reading 3001', 'reading 3001'])
    pair.decide()
    expect(pair.state.values['change(humidity,10000)']).toEqual([2, 3_001])
  })
})

describe('time that rules wait for', () => {
  test('comes before a silence, a goodbye and what is done with an alarm, if it came before', () => {
    const pair = new Pair()
    pair.rule(1_500, 'missing(humidity,2000)', '=', true)
    const ways = [
      () => addSilence(pair.inbox, 9_000, 1_000),
      () => addHello(pair.inbox, { kind: 'hello', at: 9_000, status: 'offline', will: true }),
      () => tellTime(pair.inbox, 9_000),
    ]
    for (const way of ways) {
      const inbox = JSON.parse(JSON.stringify(pair.inbox))
      way()
      expect(pair.waiting.slice(0, 1)).toEqual(['reading 3500'])
      Object.assign(pair.inbox, inbox)
    }
  })

  test('is told where the twin cannot know that it passes', () => {
    const pair = new Pair()
    pair.rule(1_500, 'humidity', '>', 5)
    tellTime(pair.inbox, 2_000)
    tellTime(pair.inbox, 3_000)
    expect(pair.waiting).toEqual(['tick 2000', 'tick 3000'])
  })

  test('makes nothing of late readings that it has left behind', () => {
    const pair = new Pair()
    pair.rule(1_500, 'count(humidity,10000,9)', '>=', 2)
    pair.humidity(2_000, 50)
    pair.message(20_000)
    pair.decide()
    pair.message(90_000)
    for (const ts of [3_000, 4_000]) addReadings(pair.inbox, [{ name: 'humidity', value: 50, ts, receivedAt: 90_000 }])
    pair.decide()
    pair.message(100_000)
    pair.decide()
    expect(pair.events.map(({ kind }) => kind)).toEqual(['rules-changed'])
  })

  test('is looked at while nobody knows what the twin wants to know', () => {
    const pair = new Pair()
    addInput(pair.inbox, { kind: 'rules', at: 1_500, set: [ruleOf('missing(humidity,2000)', '=', true)], removed: [] })
    expect(nextTime(pair.inbox)).toBe(3_500)
  })
})

type Comparison = Extract<TwinRule['when'], { kind: 'compare' }>['comparison']

function ruleOf(name: string, comparison: Comparison, value: number | boolean): TwinRule {
  const when = { kind: 'compare' as const, path: ['telemetry' as const, name, 'value'] as [string, ...string[]], comparison, value }
  return { id: 'r', version: 1, severity: 'minor', text: ['r'], when, forMs: 0, clearForMs: 0, lateMs: 60_000, onChange: 'keep' }
}
