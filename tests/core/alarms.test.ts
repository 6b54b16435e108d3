/** What people and repairs do with the alarms of a twin, what other rules mean for them, and what becomes of their rows. */
import { describe, expect, test } from 'vitest'
import { consume } from '../../twin-models/core/consume.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import { evolve } from '../../twin-models/core/evolve.ts'
import { initialState } from '../../twin-models/core/initial.ts'
import type { AlarmAsk, OpenAlarm, TwinEvent, TwinInput, TwinRule } from '../../twin-models/core/types.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import { hotRule } from '../support/alarms.ts'
import { AskedTwin } from '../support/asked-twin.ts'

const HOUR = 3_600_000

/** A twin with this rule, in which all is well; the next input is of 10000. */
function ruled(...rules: TwinRule[]): AskedTwin {
  const twin = new AskedTwin()
  twin.give({ kind: 'rules', at: twin.now, set: rules.length > 0 ? rules : [hotRule()], removed: [] })
  twin.now = 10_000
  return twin
}

/** With an alarm that was raised at 10000; the next input is of 20000. */
function hot(...rules: TwinRule[]): AskedTwin {
  const twin = ruled(...rules)
  read(twin, 50)
  twin.now = 20_000
  return twin
}

const read = (twin: AskedTwin, value: number) => twin.give({ kind: 'reading', at: twin.now, name: 'temperature', value, ts: twin.now })
type Asked = AlarmAsk extends infer Ask ? (Ask extends AlarmAsk ? Omit<Ask, 'rule' | 'by'> & { rule?: string; by?: string } : never) : never
const ask = (twin: AskedTwin, asked: Asked) =>
  twin.give({ rule: 'hot', by: 'ann', ...asked, kind: 'alarm', at: twin.now, request: 'r' } as TwinInput)
const maintain = (twin: AskedTwin, until: number | null, more: { by?: string; reason?: string } = {}) =>
  twin.give({ kind: 'maintenance', at: twin.now, request: 'm', by: 'ann', until, ...more })
const told = (events: TwinEvent[]) => events.map(({ cause: _cause, ...event }) => event)
const byAnn = { by: 'request', request: 'r', who: 'ann' }

describe('who does something with an alarm', () => {
  const cases: Array<[what: string, asked: Asked, event: object, after: Partial<OpenAlarm>]> = [
    [
      'acknowledges it',
      { action: 'acknowledge', note: 'seen' },
      { kind: 'alarm-acknowledged', at: 20_000, n: 1, rule: 'hot', by: 'ann', note: 'seen' },
      { acknowledged: { at: 20_000, by: 'ann', note: 'seen' } },
    ],
    [
      'shelves it',
      { action: 'shelve', until: HOUR, note: 'later' },
      { kind: 'alarm-shelved', at: 20_000, n: 1, rule: 'hot', until: HOUR, by: 'ann', note: 'later' },
      { shelvedUntil: HOUR },
    ],
    [
      'assigns it',
      { action: 'assign', assignee: 'bob' },
      { kind: 'alarm-assigned', at: 20_000, n: 1, rule: 'hot', assignee: 'bob', by: 'ann' },
      { assignee: 'bob' },
    ],
    [
      'comments it',
      { action: 'comment', note: 'hm' },
      { kind: 'alarm-commented', at: 20_000, n: 1, rule: 'hot', by: 'ann', note: 'hm' },
      {},
    ],
  ]
  test.each(cases)('%s', (_what, asked, event, after) => {
    const twin = hot()
    const before = twin.state.alarms.hot!
    const { events, answers } = ask(twin, asked)
    expect(told(events)).toEqual([event])
    expect(events[0]!.cause).toEqual(byAnn)
    expect(answers).toEqual([{ request: 'r', answer: { revision: 4, seq: 4, n: 1 } }])
    expect(twin.state.alarms).toEqual({ hot: { ...before, ...after } })
  })

  test('clears it, and it does not come back before its condition was over', () => {
    const twin = hot()
    const { events } = ask(twin, { action: 'clear', note: 'known' })
    const { severity, text, values } = { severity: 'major', text: 'It has 50 °C', values: { temperature: 50 } }
    expect(told(events)).toEqual([
      { kind: 'alarm-cleared', at: 20_000, n: 1, rule: 'hot', severity, text, reason: 'person', values, by: 'ann', note: 'known' },
    ])
    expect(twin.state.alarms).toEqual({})
    expect(read(twin, 55).events).toEqual([])
    expect(read(twin, 20).events).toEqual([])
    expect(told(read(twin, 51).events)).toMatchObject([{ kind: 'alarm-raised', alarm: { n: 2, text: 'It has 51 °C' } }])
  })

  test('takes it from the shelf, as its end does', () => {
    const twin = hot()
    ask(twin, { action: 'shelve', until: HOUR })
    expect(told(ask(twin, { action: 'unshelve' }).events)).toEqual([
      { kind: 'alarm-shelved', at: twin.now - 1, n: 1, rule: 'hot', until: null, by: 'ann' },
    ])
    ask(twin, { action: 'shelve', until: HOUR })
    expect(wakeOf(twin.state).dueAt).toBe(HOUR)
    const { events } = twin.give({ kind: 'tick', at: HOUR + 5 })
    expect(events).toEqual([{ kind: 'alarm-shelved', at: HOUR, n: 1, rule: 'hot', until: null, cause: { by: 'timer' } }])
    expect(twin.state.alarms.hot).not.toHaveProperty('shelvedUntil')
    expect(wakeOf(twin.state).dueAt).toBeUndefined()
  })

  test('and finds it so already changes nothing, and is answered', () => {
    const idle: Array<[before: Asked[], again: Asked]> = [
      [[{ action: 'acknowledge' }], { action: 'acknowledge', by: 'bob', note: 'me too' }],
      [[{ action: 'shelve', until: HOUR }], { action: 'shelve', until: HOUR }],
      [[], { action: 'shelve', until: 20_000 }],
      [[], { action: 'unshelve' }],
      [[{ action: 'assign', assignee: 'bob' }], { action: 'assign', assignee: 'bob', by: 'bob' }],
      [[], { action: 'assign', assignee: null }],
    ]
    for (const [before, again] of idle) {
      const twin = hot()
      for (const asked of before) ask(twin, asked)
      const { alarms } = twin.state
      const { events, answers, effects } = ask(twin, again)
      expect([events, effects, answers[0]?.answer]).toEqual([[], undefined, expect.objectContaining({ n: 1 })])
      expect(twin.state.alarms).toEqual(alarms)
    }
  })

  test('that is not there is refused: of no such rule, cleared, or another one than asked for', () => {
    const asks: Asked[] = [
      { action: 'acknowledge', rule: 'cold' },
      { action: 'clear', rule: 'constructor' },
      { action: 'acknowledge', n: 2 },
      { action: 'clear', n: 0 },
    ]
    const twin = hot()
    for (const asked of asks) {
      const { events, answers } = ask(twin, asked)
      expect([events, answers[0]?.answer]).toEqual([[], { revision: twin.state.revision, seq: twin.state.seq, refused: 'no-alarm' }])
    }
    expect(ask(twin, { action: 'acknowledge', n: 1 }).events).toHaveLength(1)
    ask(twin, { action: 'clear' })
    expect(ask(twin, { action: 'comment', note: 'x' }).answers[0]?.answer).toMatchObject({ refused: 'no-alarm' })
  })
})

describe('other rules', () => {
  const rules = (twin: AskedTwin, more: Partial<Extract<TwinInput, { kind: 'rules' }>>) =>
    twin.give({ kind: 'rules', at: twin.now, set: [], removed: [], ...more })

  test('that are no longer for the device take their alarms with them', () => {
    for (const gone of [{ removed: ['hot'] }, { all: true }]) {
      const twin = hot()
      expect(told(rules(twin, gone).events)).toMatchObject([
        { kind: 'alarm-cleared', n: 1, reason: 'removed' },
        { kind: 'rules-changed', removed: ['hot'] },
      ])
      expect([twin.state.alarms, twin.state.rules]).toEqual([{}, {}])
    }
  })

  test('of a new version keep the alarm, or clear it, as they say', () => {
    const kept = hot()
    expect(told(rules(kept, { set: [hotRule({ version: 2 })] }).events)).toMatchObject([
      { kind: 'alarm-updated', n: 1, rule: 'hot', version: 2 },
      { kind: 'rules-changed', set: [{ id: 'hot', version: 2 }] },
    ])
    expect(kept.state.alarms.hot).toMatchObject({ n: 1, version: 2 })
    const cleared = hot()
    const { events } = rules(cleared, { set: [hotRule({ version: 2, onChange: 'clear' })] })
    expect(told(events).slice(0, 2)).toMatchObject([{ kind: 'alarm-cleared', reason: 'changed' }, { kind: 'rules-changed' }])
  })

  test('that are there already change nothing', () => {
    const twin = hot()
    expect(rules(twin, { set: [hotRule()], removed: ['cold'] }).events).toEqual([])
  })
})

describe('maintenance', () => {
  test('begins, is changed, and ends', () => {
    const twin = ruled()
    expect(maintain(twin, HOUR, { reason: 'A bearing' }).events).toEqual([
      {
        kind: 'maintenance-changed',
        at: 10_000,
        maintenance: { since: 10_000, by: 'ann', until: HOUR, reason: 'A bearing' },
        cause: { by: 'request', request: 'm', who: 'ann' },
      },
    ])
    expect(decidedPart(twin.state).maintenance).toEqual({
      ...{ since: '1970-01-01T00:00:10.000Z', until: '1970-01-01T01:00:00.000Z', by: 'ann', reason: 'A bearing' },
    })
    expect(maintain(twin, HOUR, { reason: 'A bearing' }).events).toEqual([])
    expect(told(maintain(twin, 2 * HOUR).events)).toMatchObject([{ maintenance: { since: 10_000, until: 2 * HOUR } }])
    expect(told(maintain(twin, null).events)).toMatchObject([{ kind: 'maintenance-changed', maintenance: null }])
    expect(twin.state.maintenance).toBeNull()
    for (const until of [null, twin.now]) expect(maintain(twin, until).events).toEqual([])
  })

  test('mutes what is there and what is raised meanwhile, and at its end what is still there is heard', () => {
    const twin = ruled(
      hotRule(),
      hotRule({ id: 'hotter', when: { kind: 'compare', path: ['telemetry', 'temperature', 'value'], comparison: '>', value: 55 } }),
    )
    read(twin, 50)
    const begun = maintain(twin, HOUR)
    expect(told(begun.events)).toMatchObject([
      { kind: 'maintenance-changed' },
      { kind: 'alarm-updated', at: 10_001, n: 1, rule: 'hot', muted: true },
    ])
    expect(begun.effects?.alarms).toMatchObject([{ n: 1, rule: 'hot', muted: true, status: 'raised', updatedAt: 10_001 }])
    expect(told(maintain(twin, HOUR + 1).events)).toMatchObject([{ kind: 'maintenance-changed' }])
    maintain(twin, HOUR)
    read(twin, 70)
    expect(Object.values(twin.state.alarms).map(({ rule, muted }) => [rule, muted])).toEqual([
      ['hot', true],
      ['hotter', true],
    ])
    expect(wakeOf(twin.state).dueAt).toBe(HOUR)
    const { events, effects } = twin.give({ kind: 'tick', at: HOUR })
    expect(told(events)).toEqual([
      { kind: 'maintenance-changed', at: HOUR, maintenance: null },
      { kind: 'alarm-updated', at: HOUR, n: 1, rule: 'hot', muted: false },
      { kind: 'alarm-updated', at: HOUR, n: 2, rule: 'hotter', muted: false },
    ])
    expect(effects?.alarms).toMatchObject([
      { n: 1, rule: 'hot', muted: false, updatedAt: HOUR },
      { n: 2, rule: 'hotter', muted: false, updatedAt: HOUR },
    ])
    expect(twin.state.alarms.hot).not.toHaveProperty('muted')
  })
})

describe('the rows of alarms', () => {
  const row = {
    ...{ n: 1, rule: 'hot', version: 1, severity: 'major', status: 'raised', text: 'It has 50 °C', since: 10_000, raisedAt: 10_000 },
    ...{ updatedAt: 10_000, count: 1, flapping: false, muted: false, acknowledgedAt: null, acknowledgedBy: null, acknowledgedNote: null },
    ...{ shelvedUntil: null, assignee: null, clearedAt: null, clearReason: null, clearedBy: null, clearNote: null },
    values: { temperature: 50 },
  }

  test('are whole after each decision', () => {
    const twin = ruled()
    expect(read(twin, 50).effects?.alarms).toEqual([row])
    twin.now = 20_000
    const acknowledged = {
      ...row,
      status: 'acknowledged',
      updatedAt: 20_000,
      acknowledgedAt: 20_000,
      acknowledgedBy: 'ann',
      acknowledgedNote: 'ok',
    }
    expect(ask(twin, { action: 'acknowledge', note: 'ok' }).effects?.alarms).toEqual([acknowledged])
    const shelved = { ...acknowledged, updatedAt: 20_001, shelvedUntil: HOUR }
    expect(ask(twin, { action: 'shelve', until: HOUR }).effects?.alarms).toEqual([shelved])
    const assigned = { ...shelved, updatedAt: 20_002, assignee: 'bob' }
    expect(ask(twin, { action: 'assign', assignee: 'bob' }).effects?.alarms).toEqual([assigned])
    expect(ask(twin, { action: 'comment', note: 'hm' }).effects?.alarms).toEqual([{ ...assigned, updatedAt: 20_003 }])
    const worse = { ...assigned, updatedAt: 20_004, severity: 'critical', text: 'It has 70 °C', values: { temperature: 70 } }
    expect(read(twin, 70).effects?.alarms).toEqual([worse])
    expect(ask(twin, { action: 'clear', note: 'done' }).effects?.alarms).toEqual([
      { ...worse, status: 'cleared', updatedAt: 20_005, clearedAt: 20_005, clearReason: 'person', clearedBy: 'ann', clearNote: 'done' },
    ])
    expect(read(twin, 71).effects).toBeUndefined()
  })

  test('are one change an alarm, however much one decision makes of it', () => {
    const twin = ruled()
    const at = twin.now
    const value = (value: number, after: number): TwinInput => ({
      kind: 'reading',
      at: at + after,
      name: 'temperature',
      value,
      ts: at + after,
    })
    const { effects } = twin.give(
      value(50, 0),
      { kind: 'alarm', at: at + 1, request: 'r', rule: 'hot', by: 'ann', action: 'acknowledge' },
      value(20, 2),
      value(60.5, 3),
    )
    expect(effects?.alarms).toMatchObject([
      { n: 1, status: 'cleared', acknowledgedBy: 'ann', clearedAt: at + 2, clearReason: 'rule', values: { temperature: 20 } },
      { n: 2, status: 'raised', severity: 'critical', raisedAt: at + 3, acknowledgedBy: null, values: { temperature: 60.5 } },
    ])
  })

  test('show that an alarm flaps, and how often it came back', () => {
    const twin = ruled(hotRule({ clearForMs: 1_000 }))
    for (let n = 0; n < 4; n++) {
      read(twin, 50)
      read(twin, 20)
      if (n < 3) {
        twin.now += 5_000
        twin.give({ kind: 'tick', at: twin.now })
      }
    }
    expect(read(twin, 50).effects?.alarms).toMatchObject([{ n: 4, count: 2, flapping: true, status: 'raised' }])
  })

  test('take what devices say as columns can hold it', () => {
    const twin = ruled(
      hotRule({
        text: ['mode ', ['telemetry', 'mode', 'value'], '\ud800'],
        when: { kind: 'exists', path: ['telemetry', 'mode', 'value'] },
      }),
    )
    const { effects } = twin.give({ kind: 'reading', at: twin.now, name: 'mode', value: 'a\0b', ts: twin.now })
    expect(effects?.alarms).toMatchObject([{ text: 'mode a\ufffdb\ufffd' }])
  })

  test('are not touched by what is said of alarms that are not open', () => {
    const twin = ruled()
    expect(ask(twin, { action: 'acknowledge' }).effects).toBeUndefined()
  })
})

test('an event of an alarm that is not open makes nothing of a state', () => {
  const state = consume(initialState(), { seq: 1, batch: { messages: 0, lastSeenAt: 0, merged: {}, inputs: [] } }, 0).state
  const of = { at: 1, n: 1, rule: 'hot', by: 'ann', cause: { by: 'lane' } } as const
  const events: TwinEvent[] = [
    { kind: 'alarm-updated', ...of, count: 2 },
    { kind: 'alarm-acknowledged', ...of },
    { kind: 'alarm-shelved', ...of, until: 5 },
    { kind: 'alarm-assigned', ...of, assignee: 'bob' },
    { kind: 'alarm-commented', ...of, note: 'x' },
  ]
  for (const event of events) expect(evolve(state, event)).toEqual(state)
})
