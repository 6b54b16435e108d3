import { describe, expect, test } from 'vitest'
import { consume, consumeOwn } from '../../twin-models/core/consume.ts'
import { decide } from '../../twin-models/core/decide.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import { evolve } from '../../twin-models/core/evolve.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { statusAfter } from '../../twin-models/core/ranges.ts'
import { reportOf } from '../../twin-models/core/report.ts'
import type { Batch, RangeStatus, TwinInput, TwinSettings, TwinState } from '../../twin-models/core/types.ts'
import { upgrade } from '../../twin-models/core/upgrade.ts'
import { firstWake, isNewsReport, wakeOf, wakes } from '../../twin-models/core/wake.ts'

const settings: TwinSettings = {
  model: 'thermostat',
  modelVersion: '1.0.0',
  presenceTimeoutMs: 60_000,
  ranges: { temperature: { minimum: 5, maximum: 40, hysteresis: 2 } },
}

function batch(inputs: TwinInput[], more: Partial<Batch> = {}): Batch {
  return { messages: inputs.length, lastSeenAt: 0, merged: {}, inputs, ...more }
}

function twin(...inputs: TwinInput[]): TwinState {
  return consume(initialState(), { seq: 1, batch: batch([{ kind: 'configured', at: 1, settings }, ...inputs]) }, 1).state
}

const online: TwinInput = { kind: 'life', at: 1_000 }
const reading = (value: number, ts: number): TwinInput => ({ kind: 'reading', at: ts, name: 'temperature', value, ts })

describe('presence', () => {
  const cases: Array<[title: string, before: TwinInput[], input: TwinInput, after: string | null, reason?: string]> = [
    ['the first sign of life brings a twin online', [], online, 'online', 'message'],
    ['a sign of life of a device that is online decides nothing', [online], { kind: 'life', at: 2_000 }, null],
    ['silence makes it offline', [online], { kind: 'silent', at: 61_001, lastSeenAt: 1_000 }, 'offline', 'silence'],
    ['silence counted from before a later sign of life decides nothing', [online], { kind: 'silent', at: 61_001, lastSeenAt: 999 }, null],
    ['silence of a device that was never there decides nothing', [], { kind: 'silent', at: 61_001, lastSeenAt: 0 }, null],
    ['its goodbye makes it offline', [online], { kind: 'hello', at: 2_000, status: 'offline' }, 'offline', 'goodbye'],
    ['its last will makes it offline', [online], { kind: 'hello', at: 2_000, status: 'offline', will: true }, 'offline', 'will'],
    ['a goodbye received before it came back changes nothing', [online], { kind: 'hello', at: 999, status: 'offline' }, null],
    [
      'what was received before its goodbye and comes after it is no return',
      [online, { kind: 'hello', at: 5_000, status: 'offline' }],
      { kind: 'life', at: 4_999 },
      null,
    ],
    [
      'a message after its goodbye is',
      [online, { kind: 'hello', at: 5_000, status: 'offline' }],
      { kind: 'life', at: 5_001 },
      'online',
      'message',
    ],
    [
      'its hello brings it back',
      [online, { kind: 'silent', at: 70_000, lastSeenAt: 1_000 }],
      { kind: 'hello', at: 71_000, status: 'online' },
      'online',
      'hello',
    ],
    [
      'the backstop finds a silence',
      [online],
      { kind: 'backstop', at: 99_000, lastSeenAt: 1_000, connected: false },
      'offline',
      'backstop',
    ],
    ['the backstop lets a connected device be', [online], { kind: 'backstop', at: 99_000, lastSeenAt: 1_000, connected: true }, null],
    [
      'the backstop believes a later sign of life in Postgres',
      [online],
      { kind: 'backstop', at: 99_000, lastSeenAt: 98_000, connected: false },
      null,
    ],
    [
      'the backstop proves nothing beyond the watermark',
      [online],
      { kind: 'backstop', at: 30_000, lastSeenAt: 1_000, connected: false },
      null,
    ],
  ]
  test.each(cases)('%s', (_title, before, input, after, reason) => {
    const events = decide(twin(...before), input, 100_000).filter(({ kind }) => kind === 'presence-changed')
    expect(events).toEqual(after === null ? [] : [expect.objectContaining({ after, reason })])
  })

  test('silence and the return from it in one batch are both decided, though the batch was last seen after both', () => {
    const inputs: TwinInput[] = [
      { kind: 'silent', at: 61_500, lastSeenAt: 1_000 },
      { kind: 'life', at: 90_000 },
    ]
    const { state, events } = consume(twin(online), { seq: 2, batch: batch(inputs, { lastSeenAt: 95_000 }) }, 99_000)
    expect(events).toMatchObject([
      { after: 'offline', at: 61_500 },
      { after: 'online', at: 90_000 },
    ])
    expect(state.presence).toEqual({ status: 'online', since: 90_000, reason: 'message', lastSeenAt: 95_000 })
  })

  test('what the backstop knew already, told of after it, changes nothing', () => {
    const { state } = consumeOwn(twin(online), { kind: 'backstop', at: 90_000, lastSeenAt: 5_000, connected: false }, 99_000)
    expect(state.presence).toMatchObject({ status: 'offline', since: 90_000, reason: 'backstop' })
    const inputs: TwinInput[] = [
      { kind: 'hello', at: 5_000, status: 'online' },
      { kind: 'silent', at: 65_500, lastSeenAt: 5_000 },
      { kind: 'life', at: 95_000 },
    ]
    const { events } = consume(state, { seq: 2, batch: batch(inputs, { lastSeenAt: 95_000 }) }, 99_000)
    expect(events).toMatchObject([{ after: 'online', at: 95_000 }])
  })

  test('what a batch only counts brings no twin back: that is for the inputs to say', () => {
    const offline = twin(online, { kind: 'silent', at: 61_500, lastSeenAt: 1_000 })
    const { state } = consume(offline, { seq: 2, batch: batch([], { messages: 1, lastSeenAt: 70_000 }) }, 70_000)
    expect(state.presence).toMatchObject({ status: 'offline', since: 61_500, lastSeenAt: 70_000 })
  })
})

describe('ranges', () => {
  const range = { minimum: 5, maximum: 40, hysteresis: 2 }
  const cases: Array<[before: RangeStatus, value: number, after: RangeStatus]> = [
    ['normal', 5, 'normal'],
    ['normal', 40, 'normal'],
    ['normal', 4.99, 'low'],
    ['normal', 40.01, 'high'],
    ['high', 38, 'high'],
    ['high', 37.99, 'normal'],
    ['high', 4, 'low'],
    ['low', 7, 'low'],
    ['low', 7.01, 'normal'],
    ['low', 41, 'high'],
  ]
  test.each(cases)('%s and then %d is %s', (before, value, after) => {
    expect(statusAfter(range, before, value)).toBe(after)
  })

  test('a range with one end knows only that end', () => {
    expect(statusAfter({ maximum: 10 }, 'normal', -1e9)).toBe('normal')
    expect(statusAfter({ minimum: 10 }, 'normal', 1e9)).toBe('normal')
  })

  test('a late reading never decides, and does not replace the value', () => {
    const state = twin(online, reading(20, 5_000))
    const late = consume(state, { seq: 2, batch: batch([reading(99, 4_000)]) }, 9_000)
    expect(late.events).toEqual([])
    expect(late.state.values.temperature).toEqual([20, 5_000])
  })

  test('an excursion is decided with its value and times, and so is the return', () => {
    const { events, state } = consume(
      twin(online),
      { seq: 2, batch: batch([reading(50, 2_000), reading(39, 3_000), reading(30, 4_000)]) },
      9_000,
    )
    expect(events).toMatchObject([
      { kind: 'range-changed', before: 'normal', after: 'high', value: 50, ts: 2_000 },
      { kind: 'range-changed', before: 'high', after: 'normal', value: 30, ts: 4_000 },
    ])
    expect(state.ranges.temperature).toEqual({ status: 'normal', since: 4_000, value: 30, newest: 4_000 })
  })

  test('new settings are held against the values already known', () => {
    const state = twin(online, reading(30, 2_000))
    const narrower = { ...settings, ranges: { temperature: { maximum: 25 } } }
    const { events } = consume(state, { seq: 2, batch: batch([{ kind: 'configured', at: 3_000, settings: narrower }]) }, 3_000)
    expect(events).toMatchObject([{ kind: 'configured' }, { kind: 'range-changed', after: 'high', value: 30, ts: 2_000, at: 3_000 }])
  })

  test('the same settings again decide nothing', () => {
    expect(decide(twin(), { kind: 'configured', at: 9, settings: structuredClone(settings) }, 9)).toEqual([])
  })

  test('a status that new settings make impossible ends', () => {
    const state = twin(online, reading(50, 2_000))
    const open = { ...settings, ranges: { temperature: { minimum: 5 } } }
    expect(decide(state, { kind: 'configured', at: 3_000, settings: open }, 3_000)).toMatchObject([{}, { before: 'high', after: 'normal' }])
  })
})

describe('hello, health and device events', () => {
  const hello: TwinInput = { kind: 'hello', at: 2_000, status: 'online', firmware: { version: '1.2.0' }, health: { ok: true, battery: 80 } }

  test('a first hello tells firmware and health', () => {
    expect(decide(twin(), hello, 2_000).map(({ kind }) => kind)).toEqual(['presence-changed', 'firmware-changed', 'health-changed'])
  })

  test('the same hello again decides nothing, and a new battery level is kept without an event', () => {
    const state = twin(hello)
    const again = consume(state, { seq: 2, batch: batch([{ ...hello, at: 3_000, health: { ok: true, battery: 79 } }]) }, 3_000)
    expect(again.events).toEqual([])
    expect(again.state.health).toEqual({ ok: true, battery: 79 })
  })

  test('what ails it is bounded', () => {
    const errors = Array.from({ length: 1_000 }, () => 'x'.repeat(1_000))
    const { state } = consume(twin(), { seq: 2, batch: batch([{ ...hello, health: { ok: false, errors } }]) }, 3_000)
    expect(state.health?.errors).toHaveLength(20)
    expect(state.health?.errors?.[0]).toHaveLength(200)
  })

  test('the last ten device events are remembered, newest first', () => {
    const inputs = Array.from({ length: 12 }, (_, i): TwinInput => ({ kind: 'event', at: i, name: `e${i}`, ts: i, data: null }))
    const { state, events } = consume(twin(), { seq: 2, batch: batch(inputs) }, 100)
    expect(events).toHaveLength(12)
    expect(state.recentEvents.map(({ name }) => name)).toEqual(['e11', 'e10', 'e9', 'e8', 'e7', 'e6', 'e5', 'e4', 'e3', 'e2'])
  })
})

describe('a batch', () => {
  test('raises the revision by one, states its seal, counts its messages and answers who waited', () => {
    const { state, answers } = consume(twin(), { seq: 7, batch: batch([{ kind: 'deliver', at: 5, request: 'r-1' }], { messages: 3 }) }, 5)
    expect(state).toMatchObject({ revision: 2, seq: 7, messages: 4 })
    expect(answers).toEqual([{ request: 'r-1', answer: { revision: 2, seq: 7 } }])
  })

  test('merged readings are older than inputs: the input of the same property stays', () => {
    const merged = { temperature: { count: 2, first: [20, 1_000], last: [21, 2_000, 2_000] } } as Batch['merged']
    const { state } = consume(twin(online), { seq: 2, batch: batch([reading(50, 3_000)], { merged }) }, 5_000)
    expect(state.values.temperature).toEqual([50, 3_000])
  })

  test('what two bridges received is decided in the order in which it came, also where it is of one time', () => {
    const hellos: TwinInput[] = [
      { kind: 'hello', at: 2_000, status: 'online', firmware: { version: '2' } },
      { kind: 'hello', at: 1_999, status: 'online', health: { ok: true } },
    ]
    const inputs: TwinInput[] = [...hellos, { kind: 'reading', at: 2_000, name: 'x', value: 1, ts: 2_000 }]
    const { events } = consume(initialState(), { seq: 1, batch: { messages: 3, lastSeenAt: 2_000, merged: {}, inputs } }, 0)
    expect(events.map(({ kind, at }) => [kind, at]).slice(1)).toEqual([
      ['firmware-changed', 2_000],
      ['health-changed', 1_999],
    ])
  })

  test('the state that was given is not changed', () => {
    const state = deepFrozen(twin(online, reading(20, 2_000)))
    const inputs: TwinInput[] = [
      reading(50, 3_000),
      { kind: 'silent', at: 90_000, lastSeenAt: 3_000 },
      { kind: 'event', at: 1, name: 'e', ts: 1, data: {} },
    ]
    const { events } = consume(state, { seq: 2, batch: batch(inputs) }, 90_000)
    expect(events.length).toBe(3)
    for (const event of events) evolve(state, deepFrozen(event))
  })

  test('a twin knows at most 200 values beside those it watches, and no long ones', () => {
    const many = Array.from({ length: 300 }, (_, i): TwinInput => ({ kind: 'reading', at: 2, name: `p${i}`, value: i, ts: 2 }))
    const long: TwinInput = { kind: 'reading', at: 2, name: 'p1', value: 'x'.repeat(5_000), ts: 3 }
    const { state } = consume(twin(), { seq: 2, batch: batch([...many, reading(20, 2), long]) }, 2)
    expect(Object.keys(state.values).length).toBe(200)
    expect(state.values.temperature).toEqual([20, 2])
    expect(state.values.p1).toBeUndefined()
  })

  test('names that objects have from birth are names like others', () => {
    const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty']
    const inputs = names.map((name): TwinInput => ({ kind: 'reading', at: 2, name, value: 1e9, ts: 2 }))
    const { state, events } = consume(twin(), { seq: 2, batch: batch(inputs) }, 2)
    expect(events).toEqual([])
    expect(state.values.constructor).toEqual([1e9, 2])
    for (const name of names) expect(wakes(wakeOf(state), { name, value: 1e9, ts: 3 })).toBe(false)
    expect(Object.getPrototypeOf(state.values)).toBe(Object.prototype)
  })

  test('an input of a kind that this code does not know is refused, not swallowed', () => {
    expect(() => decide(twin(), { kind: 'dance', at: 1 } as never, 1)).toThrow('older than what wrote them')
  })

  test('what the twin finds itself leaves the number of the seal alone', () => {
    const step = consumeOwn(twin(online), { kind: 'backstop', at: 90_000, lastSeenAt: 0, connected: false }, 95_000)
    expect(step.state).toMatchObject({ seq: 1, revision: 2, presence: { status: 'offline', reason: 'backstop' } })
  })
})

describe('the wake conditions', () => {
  test('of a new twin ask for any sign of life and for values outside their range', () => {
    const wake = firstWake(settings)
    expect(wake).toEqual({
      life: true,
      presence: 'never',
      presenceTimeoutMs: 60_000,
      bounds: { temperature: { low: 5, high: 40, newest: 0 } },
    })
    expect(wakes(wake, { name: 'temperature', value: 41, ts: 1 })).toBe(true)
    expect(wakes(wake, { name: 'temperature', value: 40, ts: 1 })).toBe(false)
    expect(wakes(wake, { name: 'humidity', value: 1e9, ts: 1 })).toBe(false)
  })

  test('tell what is known of firmware and health, and let late readings sleep', () => {
    const wake = wakeOf(
      twin(online, { kind: 'hello', at: 2_000, status: 'online', firmware: { version: '2' }, health: { ok: false } }, reading(20, 3_000)),
    )
    expect(wake).toMatchObject({ life: false, presence: 'online', firmware: '2', firmwareAt: 2_000, healthOk: false, healthAt: 2_000 })
    expect(wakes(wake, { name: 'temperature', value: 99, ts: 2_999 })).toBe(false)
    expect(wakes(wake, { name: 'temperature', value: 99, ts: 3_000 })).toBe(true)
  })

  test('of a twin that was asked nothing and told nothing let every report wake that says something', () => {
    const wake = firstWake(settings)
    expect(isNewsReport(wake, { state: { x: 1 } })).toBe(true)
    expect(isNewsReport(wake, { state: {} })).toBe(false)
    expect(isNewsReport(wake, { state: {}, version: 1, rejected: { '/x': { code: 'no' } } })).toBe(false)
  })

  test('let a report sleep that changes nothing, answers nothing and refuses nothing', () => {
    const wish: TwinInput = { kind: 'wish', at: 1, request: 'r', by: 'ann', patch: { x: 1, y: { z: 1 } } }
    const report = { kind: 'reported', at: 2, ts: 2 } as const
    const twins = { wished: twin({ ...report, state: { x: 0, y: { z: 1 } } }, wish) }
    const wake = wakeOf(twins.wished)
    expect(wake).toMatchObject({ wished: 1, outstanding: true, reported: { x: 0, y: { z: 1 } } })
    expect(wake).not.toHaveProperty('answered')
    const news = (more: object) => isNewsReport(wake, { state: {}, ...more })
    expect([news({ state: { x: 0, y: { z: 1, none: null } } }), news({ version: 2 }), news({ version: 0 })]).toEqual([false, false, false])
    expect([news({ state: { y: { z: 2 } } }), news({ state: { x: null } }), news({ version: 1 })]).toEqual([true, true, true])
    expect([news({ rejected: { '/x': { code: 'no' } } }), news({ rejected: {} })]).toEqual([true, false])

    const refused = wakeOf(
      consume(twins.wished, { seq: 2, batch: batch([{ ...report, state: {}, version: 1, rejected: { '/x': { code: 'no' } } }]) }, 3).state,
    )
    expect(refused).toMatchObject({ wished: 1, answered: 1 })
    expect(isNewsReport(refused, { state: { x: 0 }, version: 1, rejected: { '/x': { code: 'no' } } })).toBe(false)
  })

  test('do not hold long reported state: then every report wakes that says something', () => {
    const reported = (length: number) => wakeOf(twin({ kind: 'reported', at: 2, ts: 2, state: { x: 'x'.repeat(length - 8) } }))
    expect(JSON.stringify(reported(4_096).reported)).toHaveLength(4_096)
    const wake = reported(4_097)
    expect(wake).not.toHaveProperty('reported')
    expect(isNewsReport(wake, { state: { y: null } })).toBe(true)
  })
})

describe('what others see', () => {
  const state = twin(
    {
      kind: 'hello',
      at: 1_700_000_000_000,
      status: 'online',
      firmware: { version: '1.2.0', sha256: 'ab' },
      health: { ok: true, battery: 81 },
    },
    { kind: 'reading', at: 1_700_000_001_000, name: 'temperature', value: 50, ts: 1_700_000_001_000 },
    { kind: 'event', at: 1_700_000_002_000, name: 'doorOpened', ts: 1_700_000_002_000, data: {} },
  )

  test('the decided part of the twin document has ISO times and leaves out what is not known', () => {
    expect(decidedPart(initialState())).toEqual({ presence: { status: 'never' } })
    expect(decidedPart(state)).toEqual({
      presence: { status: 'online', since: '2023-11-14T22:13:20.000Z', reason: 'hello' },
      ranges: { temperature: { status: 'high', since: '2023-11-14T22:13:21.000Z', value: 50, ts: '2023-11-14T22:13:21.000Z' } },
      firmware: { version: '1.2.0', sha256: 'ab' },
      health: { ok: true, battery: 81 },
    })
  })

  test('what was wished and reported is in the twin document, with how far it has come, and nothing of it before', () => {
    const at = 1_700_000_000_000
    const asked = twin(
      { kind: 'reported', at, ts: at - 1_000, state: { x: 0, y: 1 } },
      { kind: 'wish', at: at + 1_000, request: 'r', by: 'ann', patch: { x: 1, y: 1, z: { w: 2 } }, deadlineMs: 5_000 },
      {
        kind: 'reported',
        at: at + 2_000,
        ts: at + 2_000,
        state: {},
        version: 1,
        rejected: { '/z': { code: 'range', message: 'too much' } },
      },
    )
    const made = { version: 1, at: '2023-11-14T22:13:21.000Z', by: 'ann' }
    const deadline = '2023-11-14T22:13:26.000Z'
    expect(decidedPart(asked)).toEqual({
      presence: { status: 'never' },
      desired: {
        state: { x: 1, y: 1, z: { w: 2 } },
        version: 1,
        metadata: {
          '/x': { ...made, status: 'acknowledged', since: '2023-11-14T22:13:22.000Z', deadline },
          '/y': { ...made, status: 'converged', since: made.at },
          '/z/w': {
            ...made,
            status: 'diverged',
            since: '2023-11-14T22:13:22.000Z',
            deadline,
            reason: 'refused',
            code: 'range',
            message: 'too much',
          },
        },
      },
      reported: { state: { x: 0, y: 1 }, metadata: { '/x': { ts: '2023-11-14T22:13:19.000Z' }, '/y': { ts: '2023-11-14T22:13:19.000Z' } } },
      delta: { x: 1, z: { w: 2 } },
    })
  })

  test('the report tells an operator everything on one page', () => {
    expect(reportOf({ tenant: 'demo', device: 't-1', incarnation: 7 }, state)).toMatchInlineSnapshot(`
      "### \`t-1\` is online since 2023-11-14 22:13:20 UTC (hello)

      A \`thermostat\`, version 1.0.0 of the model, of tenant \`demo\`. Registration 7.

      **Outside its normal range**

      - **\`temperature\` is high** since 2023-11-14 22:13:21 UTC: \`50\`, normal is 5 to 40

      **Facts**

      - Last message decided on: 2023-11-14 22:13:22 UTC; REST may know later ones
      - Firmware: \`1.2.0\`, SHA-256 \`ab…\`
      - Health: ok, battery 81 %
      - Revision 1, newest seal 1, 4 messages in all

      **Latest values that it was told**

      - \`temperature\`: \`50\` at 2023-11-14 22:13:21 UTC; normal is 5 to 40

      **Recent device events, the newest first**

      - \`doorOpened\` at 2023-11-14 22:13:22 UTC"
    `)
  })

  test('text of a device is never markup', () => {
    const nasty = twin({ kind: 'hello', at: 1, status: 'online', firmware: { version: '`</b>|\n# boo' } })
    expect(reportOf({ tenant: 'demo', device: 't-1', incarnation: 7 }, nasty)).not.toContain('\n# boo')
  })
})

const NOTHING_RULED = { rules: {}, memory: {}, alarms: {}, alarmCount: 0, ruleClock: 0, maintenance: null }

test('a state of a version from the future is refused, and one of this version taken as it is', () => {
  const state = twin(online)
  expect(upgrade(JSON.parse(JSON.stringify(state)))).toEqual(state)
  expect(() => upgrade({ v: 5 })).toThrow('older than what wrote it')
})

test('a state of version 1 is one of which nothing was asked', () => {
  const carried = {
    v: 1,
    settings: {
      model: 'thermostat',
      modelVersion: '1.0.0',
      presenceTimeoutMs: 60_000,
      ranges: { temperature: { minimum: 5, maximum: 35 } },
    },
    revision: 7,
    seq: 5,
    presence: { status: 'online', since: 1_000, reason: 'message', lastSeenAt: 9_000 },
    ranges: { temperature: { status: 'high', since: 8_000, value: 40, newest: 8_000 } },
    values: { temperature: [40, 8_000], mode: ['auto', 9_000] },
    firmware: { version: '1.2.0' },
    health: { ok: true, battery: 81 },
    messages: 12,
    recentEvents: [{ name: 'doorOpened', ts: 3_000 }],
  }
  const state = upgrade(carried)
  expect(state).toEqual({
    ...carried,
    v: 4,
    ...NOTHING_RULED,
    reported: { state: {}, at: {} },
    desired: { version: 0, state: {}, leaves: {}, answered: 0 },
    commands: [],
    endedCommands: [],
    update: null,
    endedUpdates: [],
  })
  const wish: TwinInput = { kind: 'wish', at: 10_000, request: 'r', by: 'ann', patch: { targetTemperature: 21 } }
  const step = consume(state, { seq: 6, batch: batch([wish]) }, 10_000)
  expect(step.state).toMatchObject({ v: 4, revision: 8, seq: 6, desired: { version: 1 }, ranges: carried.ranges, messages: 13 })
})

test('a state of version 2 is one of which no update was asked', () => {
  const { update: _update, endedUpdates: _ended, ...known } = unruled(twin(online))
  const carried = { ...known, v: 2, firmware: { version: '1.2.0' }, commands: [], endedCommands: [{ id: 'c-1', status: 'expired' }] }
  expect(upgrade(carried)).toEqual({ ...carried, v: 4, update: null, endedUpdates: [], ...NOTHING_RULED })
})

test('a state of version 3 is one without rules', () => {
  const carried = { ...unruled(twin(online)), v: 3 }
  expect(upgrade(carried)).toEqual({ ...carried, v: 4, ...NOTHING_RULED })
})

function unruled({ rules: _1, memory: _2, alarms: _3, alarmCount: _4, ruleClock: _5, maintenance: _6, ...known }: TwinState) {
  return known
}

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) deepFrozen(part)
    Object.freeze(value)
  }
  return value
}
