/** What a rule means, case by case. That merging changes nothing of it stands in rules.property.test.ts. */
import { beforeEach, describe, expect, test } from 'vitest'
import { consume, consumeOwn } from '../../twin-models/core/consume.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import { dueAt } from '../../twin-models/core/rules.ts'
import type { Condition, TwinEvent, TwinInput, TwinRule, TwinState, Value } from '../../twin-models/core/types.ts'

const MINUTE = 60_000
const T0 = Date.parse('2026-11-27T10:00:00Z')
let twin: Twin

beforeEach(() => {
  twin = new Twin()
})

describe('a threshold', () => {
  test('raises when it is crossed, says so once, and clears when it is left', () => {
    twin.rules(rule(temperature('>', 80)))
    expect(twin.say(80)).toEqual([])
    expect(twin.say(80.5)).toEqual(['raised hot: temperature is 80.5'])
    expect(twin.say(85)).toEqual([])
    expect(twin.say(80)).toEqual(['cleared hot by rule'])
  })

  test('with a clear condition of its own stays until that holds', () => {
    twin.rules(rule(temperature('>', 80), { clear: temperature('<', 75) }))
    twin.say(81)
    expect(twin.say(76)).toEqual([])
    expect(twin.say(74.9)).toEqual(['cleared hot by rule'])
    expect(twin.say(79)).toEqual([])
  })

  test('of a value that is not there is false, and so is one of another type', () => {
    twin.rules(rule(temperature('<', 5)))
    expect(twin.say('cold')).toEqual([])
    expect(twin.say(4)).toEqual(['raised hot: temperature is 4'])
    expect(twin.say('cold')).toEqual(['cleared hot by rule'])
  })

  test('that a new rule finds crossed already raises at once', () => {
    twin.say(90)
    expect(twin.rules(rule(temperature('>', 80)))).toEqual(['raised hot: temperature is 90'])
  })
})

describe('held for a time', () => {
  beforeEach(() => {
    twin.rules(rule(temperature('>', 80), { forMs: 5 * MINUTE }))
    twin.say(85)
  })

  test('raises when the time is over, at that moment, however late it is noticed', () => {
    expect(dueAt(twin.state)).toBe(T0 + 5 * MINUTE)
    twin.now += 5 * MINUTE - 1
    expect(twin.tick()).toEqual([])
    twin.now += 10_000
    expect(twin.tick()).toEqual(['raised hot: temperature is 85'])
    expect(twin.state.alarms.hot).toMatchObject({ since: T0, raisedAt: T0 + 5 * MINUTE })
  })

  test('begins anew when the condition was false in between', () => {
    twin.now += 3 * MINUTE
    twin.say(70)
    twin.now += MINUTE
    twin.say(85)
    twin.now += 2 * MINUTE
    expect(twin.tick()).toEqual([])
    expect(dueAt(twin.state)).toBe(T0 + 9 * MINUTE)
  })

  test('is told by the next message where no tick came first, before what that message says', () => {
    twin.now += 6 * MINUTE
    expect(twin.say(70)).toEqual(['raised hot: temperature is 85', 'cleared hot by rule'])
    expect(twin.last('alarm-raised')).toMatchObject({ at: T0 + 5 * MINUTE })
  })

  test('counts by the times of the readings: a batch that says that it held raises, one that says that it did not does not', () => {
    const held = new Twin()
    held.rules(rule(temperature('>', 80), { forMs: 5 * MINUTE }))
    held.now += 6 * MINUTE
    held.batch([85, T0 + 30_000], [86, T0 + 3 * MINUTE], [84, T0 + 5.6 * MINUTE])
    expect(held.last('alarm-raised')).toMatchObject({ at: T0 + 5.5 * MINUTE })
    const broken = new Twin()
    broken.rules(rule(temperature('>', 80), { forMs: 5 * MINUTE }))
    broken.now += 6 * MINUTE
    broken.batch([85, T0 + 30_000], [70, T0 + 3 * MINUTE], [84, T0 + 5.6 * MINUTE])
    expect(broken.last('alarm-raised')).toBeUndefined()
  })
})

describe('a late reading', () => {
  test('raises nothing by itself, nor does time after it; the next one that is not late confirms it, since then', () => {
    twin.rules(rule(temperature('>', 80)))
    twin.now += 60 * MINUTE
    expect(twin.say(90, T0)).toEqual([])
    twin.now += 60 * MINUTE
    expect(twin.tick()).toEqual([])
    expect(twin.say(91)).toEqual(['raised hot: temperature is 91'])
    expect(twin.state.alarms.hot).toMatchObject({ since: T0, raisedAt: twin.now })
  })

  test('that says that it was over before clears', () => {
    twin.rules(rule(temperature('>', 80)))
    twin.say(90)
    twin.now += 60 * MINUTE
    expect(twin.say(70, T0 + MINUTE)).toEqual(['cleared hot by rule'])
  })
})

describe('while an alarm is there', () => {
  test('its severity rises with what is worse, and does not fall before it is cleared', () => {
    twin.rules(rule(temperature('>', 80), { worse: [{ when: temperature('>', 95), severity: 'critical' }] }))
    twin.say(85)
    expect(twin.say(96)).toEqual(['updated hot: critical'])
    expect(twin.say(85)).toEqual([])
    expect(twin.state.alarms.hot?.severity).toBe('critical')
  })

  test('it counts how often it came back before it was cleared', () => {
    twin.rules(rule(temperature('>', 80), { clearForMs: MINUTE }))
    twin.say(85)
    for (const value of [70, 85, 70, 85]) {
      twin.now += 10_000
      twin.say(value)
    }
    expect(twin.state.alarms.hot?.count).toBe(3)
    twin.say(70)
    twin.now += MINUTE
    expect(twin.tick()).toEqual(['cleared hot by rule'])
  })

  test('the fourth within ten minutes flaps, and stays until its condition was away for five', () => {
    twin.rules(rule(temperature('>', 80)))
    for (let i = 0; i < 3; i++) {
      twin.say(85)
      twin.now += 10_000
      twin.say(70)
      twin.now += 10_000
    }
    twin.say(85)
    expect(twin.state.alarms.hot).toMatchObject({ flapping: true })
    twin.now += 10_000
    expect(twin.say(70)).toEqual([])
    twin.now += 10_000
    expect(twin.say(85)).toEqual(['updated hot: 2'])
    twin.say(70)
    twin.now += 5 * MINUTE
    expect(twin.tick()).toEqual(['cleared hot by rule'])
  })

  test('a person clears it, and it comes back when its condition ended in between', () => {
    twin.rules(rule(temperature('>', 80)))
    twin.say(85)
    expect(twin.ask({ kind: 'alarm', at: twin.now, request: 'r', rule: 'hot', by: 'ann', action: 'clear' })).toEqual([
      'cleared hot by person',
    ])
    expect(twin.say(86)).toEqual([])
    twin.say(70)
    expect(twin.say(85)).toEqual(['raised hot: temperature is 85'])
  })
})

describe('a schedule', () => {
  // 10:00 UTC is 11:00 in Berlin, where winter is an hour ahead.
  const schedule: TwinRule['schedule'] = { from: 8 * 60, to: 18 * 60, days: [0, 1, 2, 3, 4], zone: [60] }

  test('lets a rule count within its hours only: it clears at their end and raises at their beginning', () => {
    twin.rules(rule(temperature('>', 80), { schedule }))
    expect(twin.say(85)).toEqual(['raised hot: temperature is 85'])
    const evening = Date.parse('2026-11-27T17:00:00Z')
    expect(dueAt(twin.state)).toBe(evening)
    twin.now = evening + 1
    expect(twin.tick()).toEqual(['cleared hot by rule'])
    // It was a Friday.
    const monday = Date.parse('2026-11-30T07:00:00Z')
    expect(dueAt(twin.state)).toBe(monday)
    twin.now = monday + 5
    expect(twin.tick()).toEqual(['raised hot: temperature is 85'])
    expect(twin.last('alarm-raised')).toMatchObject({ at: monday })
  })

  test('costs nothing while the condition does not hold', () => {
    twin.rules(rule(temperature('>', 80), { schedule }))
    twin.say(70)
    expect(dueAt(twin.state)).toBeUndefined()
  })
})

describe('other rules', () => {
  test('of another version go on with the alarm, or clear it, as they say', () => {
    twin.rules(rule(temperature('>', 80)))
    twin.say(85)
    expect(twin.rules(rule(temperature('>', 82), { version: 2 }))).toEqual(['updated hot: version 2'])
    expect(twin.rules(rule(temperature('>', 83), { version: 3, onChange: 'clear' }))).toEqual([
      'cleared hot by changed',
      'raised hot: temperature is 85',
    ])
    expect(twin.rules(rule(temperature('>', 90), { version: 4 }))).toEqual(['updated hot: version 4', 'cleared hot by rule'])
  })

  test('that are no longer for it take their alarms with them', () => {
    twin.rules(rule(temperature('>', 80)))
    twin.say(85)
    expect(twin.ask({ kind: 'rules', at: twin.now, set: [], removed: ['hot'] })).toEqual(['cleared hot by removed'])
    expect(twin.state).toMatchObject({ rules: {}, memory: {}, alarms: {} })
  })

  test('read presence, firmware, health and reported state', () => {
    const offline: Condition = { kind: 'compare', path: ['presence', 'status'], comparison: '=', value: 'offline' }
    const mode: Condition = { kind: 'compare', path: ['reported', 'state', 'mode'], comparison: '=', value: 'manual' }
    twin.rules(rule({ kind: 'or', terms: [offline, mode] }))
    twin.say(20)
    expect(twin.ask({ kind: 'silent', at: twin.now, lastSeenAt: twin.now })).toEqual(['raised hot: temperature is 20'])
    expect(twin.say(20)).toEqual(['cleared hot by rule'])
    expect(twin.ask({ kind: 'reported', at: twin.now, ts: twin.now, state: { mode: 'manual' } })).toEqual(['raised hot: temperature is 20'])
  })
})

/** Found by the simulation. */
describe('time', () => {
  const gone: Condition = { kind: 'compare', path: ['telemetry', 'missing(temperature,60000)', 'value'], comparison: '=', value: true }

  test('passes with what is in order with messages, and not with requests, which have the clock of who takes them', () => {
    twin.rules(rule(temperature('>', 80), { forMs: MINUTE }))
    twin.say(85)
    for (const kind of ['deliver', 'maintenance'] as const) {
      const more = kind === 'deliver' ? {} : { until: T0 + 9 * MINUTE, by: 'ann' }
      expect(twin.ask({ kind, at: T0 + 2 * MINUTE, request: 'q', ...more } as TwinInput)).toEqual([])
    }
    twin.now += 30_000
    expect(twin.say(70)).toEqual([])
    twin.now += 5 * MINUTE
    expect(twin.tick()).toEqual([])
  })

  test('is not the own timer of the twin either', () => {
    twin.rules(rule(temperature('>', 80), { forMs: MINUTE }))
    twin.say(85)
    expect(consumeOwn(twin.state, { kind: 'due', at: T0 + 2 * MINUTE, sent: [] }, T0 + 2 * MINUTE).events).toEqual([])
  })

  test('is no sign of life: what it makes of a function of readings does not hold up a silence', () => {
    twin.rules(rule(gone))
    twin.say(20)
    twin.ask({ kind: 'reading', at: T0 + MINUTE, name: 'missing(temperature,60000)', value: true, ts: T0 + MINUTE, timed: true })
    expect(twin.state.presence.lastSeenAt).toBe(T0)
    twin.ask({ kind: 'silent', at: T0 + 2 * MINUTE, lastSeenAt: T0 })
    expect(twin.state.presence.status).toBe('offline')
  })

  test('makes of functions what it does after all that was received at that very moment, whether it is told with it or later', () => {
    const offline: Condition = { kind: 'compare', path: ['presence', 'status'], comparison: '=', value: 'offline' }
    twin.rules(rule({ kind: 'or', terms: [offline, gone] }))
    twin.say(20)
    const at = T0 + MINUTE
    expect(twin.ask({ kind: 'hello', at: T0 + 1, status: 'offline' })).toEqual(['raised hot: temperature is 20'])
    const told = ['cleared hot by rule', 'raised hot: temperature is 20']
    const back: TwinInput = { kind: 'hello', at, status: 'online' }
    const missing: TwinInput = { kind: 'reading', at, name: 'missing(temperature,60000)', value: true, ts: at, timed: true }
    expect(twin.would(back, missing)).toEqual(told)
    expect([...twin.ask(back), ...twin.ask(missing)]).toEqual(told)
  })

  test('confirms nothing that came late', () => {
    const both: Condition = { kind: 'or', terms: [temperature('>', 80), gone] }
    twin.rules(rule(both))
    twin.now += 10 * MINUTE
    expect(twin.say(85, T0 + MINUTE)).toEqual([])
    const at = twin.now + 2 * MINUTE
    expect(twin.ask({ kind: 'reading', at, name: 'missing(temperature,60000)', value: false, ts: at, timed: true })).toEqual([])
  })

  test('before a rule was there is not its time: nothing is raised for schedules of the past', () => {
    const schedule = { from: 0, to: 60, days: [0, 1, 2, 3, 4, 5, 6], zone: [0] as [number] }
    const no: Condition = { kind: 'not', term: temperature('>', 80) }
    twin.rules(rule(no, { schedule }))
    twin.tick()
    expect(twin.state.alarmCount).toBe(0)
  })

  test('has one moment for all schedules that open at it', () => {
    const schedule = { from: 10 * 60 + 5, to: 11 * 60, days: [0, 1, 2, 3, 4, 5, 6], zone: [0] as [number] }
    const hot = temperature('>', 80)
    twin.rules(rule(hot, { schedule }), rule(hot, { schedule, id: 'hotter' }))
    twin.say(85)
    twin.now += 6 * MINUTE
    expect(twin.tick()).toEqual(['raised hot: temperature is 85', 'raised hotter: temperature is 85'])
    expect(Object.values(twin.state.alarms).map(({ raisedAt }) => raisedAt - T0)).toEqual([5 * MINUTE, 5 * MINUTE])
  })

  test('of a schedule is that of receipt: a reading of before it opened does not close it', () => {
    const schedule = { from: 10 * 60, to: 11 * 60, days: [0, 1, 2, 3, 4, 5, 6], zone: [0] as [number] }
    twin.rules(rule(temperature('>', 80), { schedule }))
    expect(twin.say(85)).toEqual(['raised hot: temperature is 85'])
    expect(twin.state.alarms.hot).toBeDefined()
    twin.now += MINUTE
    expect(twin.ask({ kind: 'reading', at: twin.now, name: 'temperature', value: 86, ts: T0 - 1 })).toEqual([])
  })
})

function temperature(comparison: '<' | '>', value: number): Condition {
  return { kind: 'compare', path: ['telemetry', 'temperature', 'value'], comparison, value }
}

function rule(when: Condition, more: Partial<TwinRule> = {}): TwinRule {
  const text: TwinRule['text'] = ['temperature is ', ['telemetry', 'temperature', 'value']]
  const times = { forMs: 0, clearForMs: 0, lateMs: 5 * MINUTE }
  return { id: 'hot', version: 1, severity: 'minor', text, when, ...times, onChange: 'keep', ...more }
}

/** Given everything singly. */
class Twin {
  now = T0
  state: TwinState
  readonly events: TwinEvent[] = []

  constructor() {
    this.state = initialState()
    this.ask({ kind: 'configured', at: T0, settings: { model: 'm', modelVersion: '1', presenceTimeoutMs: MINUTE, ranges: {} } })
  }

  rules(...set: TwinRule[]): string[] {
    return this.ask({ kind: 'rules', at: this.now, set, removed: [] })
  }

  say(value: Value, ts = this.now): string[] {
    return this.#take([
      { kind: 'life', at: this.now },
      { kind: 'reading', at: this.now, name: 'temperature', value, ts },
    ])
  }

  batch(...readings: Array<[value: number, ts: number]>): void {
    this.#take(readings.map(([value, ts]) => ({ kind: 'reading', at: this.now, name: 'temperature', value, ts })))
  }

  tick(): string[] {
    return this.ask({ kind: 'tick', at: this.now })
  }

  ask(input: TwinInput): string[] {
    return this.#take([input])
  }

  /** All of it in one batch, and without going on from there. */
  would(...inputs: TwinInput[]): string[] {
    const batch = { messages: 0, lastSeenAt: 0, merged: {}, inputs }
    return consume(this.state, { seq: this.state.seq + 1, batch }, this.now).events.flatMap(brief)
  }

  last(kind: TwinEvent['kind']): TwinEvent | undefined {
    return this.events.findLast((event) => event.kind === kind)
  }

  #take(inputs: TwinInput[]): string[] {
    const step = consume(this.state, { seq: this.state.seq + 1, batch: { messages: 0, lastSeenAt: 0, merged: {}, inputs } }, this.now)
    this.state = step.state
    this.events.push(...step.events)
    return step.events.flatMap(brief)
  }
}

function brief(event: TwinEvent): string[] {
  if (event.kind === 'alarm-raised') return [`raised ${event.alarm.rule}: ${event.alarm.text}`]
  if (event.kind === 'alarm-cleared') return [`cleared ${event.rule} by ${event.reason}`]
  if (event.kind !== 'alarm-updated') return []
  return [`updated ${event.rule}: ${event.severity ?? (event.version === undefined ? event.count : `version ${event.version}`)}`]
}
