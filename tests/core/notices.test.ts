/** Whom an alarm is told to, and when, as a story for each thing that may happen to it, and as properties over whatever may. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AlarmNotices,
  type AlarmTurn,
  type Notice,
  type NotifyAction,
  noticesAfter,
  RANK,
  raised,
  type ToldAlarm,
  toldTargets,
} from '../../twin-models/core/notices.ts'
import { SEVERITIES } from '../../twin-models/core/rule-types.ts'

const MINUTE = 60_000
const AT = Date.parse('2026-11-27T06:00:00Z')
const at = (minutes: number) => AT + minutes * MINUTE
const ACTIONS: NotifyAction[] = [
  { target: 'ops', afterMs: 0 },
  { target: 'boss', afterMs: 15 * MINUTE },
]
const ALARM: ToldAlarm = { severity: 'minor', text: 'It is warm', facts: { temperature: '81' }, raisedAt: AT }

const begin = (more: Partial<ToldAlarm> = {}) => raised({ ...ALARM, ...more }, ACTIONS, AT)
/** As the store does with what is due for a target. */
const told = (known: AlarmNotices, target: string, bundle = 'b', more: Partial<Notice> = {}): AlarmNotices => ({
  ...known,
  notices: known.notices.map((notice) => {
    if (notice.target !== target || notice.readyAt === undefined) return notice
    const { readyAt: _, reason: _why, ...rest } = notice
    return { ...rest, state: 'waiting', bundle, shown: true, group: 'g', ...more }
  }),
})
/** What was on its way has arrived. */
const sent = (known: AlarmNotices): AlarmNotices => ({
  ...known,
  notices: known.notices.map((one) => (one.bundle && one.state === 'waiting' ? { ...one, state: 'sent', endedAt: AT } : one)),
})
/** `target status state` and how many minutes after the beginning it is looked at. */
const shown = ({ notices }: AlarmNotices) =>
  notices.map(({ target, status, state, reason, readyAt, bundle }) =>
    [target, status, state, reason, readyAt !== undefined && `+${(readyAt - AT) / MINUTE}`, bundle && 'told'].filter(Boolean).join(' '),
  )
const following = (known: AlarmNotices, ...turns: Array<[minutes: number, turn: AlarmTurn]>) =>
  turns.reduce((now, [minutes, turn]) => noticesAfter(now, turn, at(minutes)), known)

describe('an alarm', () => {
  test('is told to each target of its rule, each in its time', () => {
    expect(shown(begin())).toEqual(['ops firing waiting +0', 'boss firing waiting +15'])
  })

  test('that is acknowledged is told to nobody further', () => {
    expect(shown(following(told(begin(), 'ops'), [5, { kind: 'acknowledged' }]))).toEqual([
      'ops firing cancelled acknowledged told',
      'boss firing cancelled acknowledged',
    ])
  })

  test('that is over is told so to who was told, and to nobody else', () => {
    const over = following(told(begin(), 'ops'), [5, { kind: 'cleared', text: 'It was warm' }])
    expect(shown(over)).toEqual(['ops firing cancelled cleared told', 'boss firing cancelled cleared', 'ops resolved waiting +5'])
    expect(over.notices[2]).toMatchObject({ owed: true, group: 'g', text: 'It was warm', severity: 'minor' })
    expect(over.alarm.endedAt).toBe(at(5))
  })

  test('that is over before it was told is never told', () => {
    const over = following(begin(), [0.1, { kind: 'cleared' }])
    expect(shown(over)).toEqual(['ops firing cancelled cleared', 'boss firing cancelled cleared'])
    expect(noticesAfter(over, { kind: 'acknowledged' }, at(1))).toBe(over)
  })

  test('that was only counted at a target is not owed to it when it is over', () => {
    const over = following(told(begin(), 'ops', 'b', { shown: false }), [5, { kind: 'cleared' }])
    expect(over.notices[2]).toMatchObject({ status: 'resolved', owed: false })
  })

  test('that gets worse is told again to who was told, while the others wait, and all hear how it is now', () => {
    const worse: AlarmTurn = { kind: 'updated', severity: 'critical', text: 'It is hot', facts: { temperature: '99' } }
    const now = following(told(begin(), 'ops'), [5, worse])
    expect(shown(now)).toEqual(['ops firing waiting told', 'boss firing waiting +15', 'ops firing waiting +5'])
    expect(now.notices.map(({ severity, text }) => [severity, text])).toEqual([
      ['minor', 'It is warm'],
      ['critical', 'It is hot'],
      ['critical', 'It is hot'],
    ])
    expect(shown(following(now, [6, { kind: 'updated', severity: 'critical' }]))).toHaveLength(3)
  })

  test('that gets worse while it waits for its first word is told once', () => {
    const now = following(begin(), [0.1, { kind: 'updated', severity: 'major' }])
    expect(now.notices.map(({ target, severity }) => [target, severity])).toEqual([
      ['ops', 'major'],
      ['boss', 'major'],
    ])
  })

  test('that gets worse after it was acknowledged is told again', () => {
    const now = following(told(begin(), 'ops'), [2, { kind: 'acknowledged' }], [5, { kind: 'updated', severity: 'major' }])
    expect(shown(now).slice(2)).toEqual(['ops firing waiting +5'])
  })

  test('that gets worse in quiet hours is judged anew', () => {
    const quiet = begin()
    quiet.notices = quiet.notices.map((notice) => ({ ...notice, state: 'held', reason: 'quiet', readyAt: at(600) }))
    expect(shown(following(quiet, [1, { kind: 'updated', severity: 'critical' }]))).toEqual([
      'ops firing waiting +0',
      'boss firing waiting +15',
    ])
    expect(shown(following(quiet, [1, { kind: 'updated', text: 'It is warmer' }]))[0]).toBe('ops firing held quiet +600')
  })
})

describe('a shelf', () => {
  const shelve: AlarmTurn = { kind: 'shelved', until: at(60) }
  const unshelve: AlarmTurn = { kind: 'shelved', until: null }

  test('holds what waits, and its clock stands still', () => {
    const shelved = following(begin(), [5, shelve])
    expect(shown(shelved)).toEqual(['ops firing held shelved', 'boss firing held shelved'])
    expect(shown(following(shelved, [60, unshelve]))).toEqual(['ops firing waiting +60', 'boss firing waiting +70'])
  })

  test('that is made longer counts from its beginning', () => {
    expect(shown(following(begin(), [5, shelve], [30, { kind: 'shelved', until: at(90) }], [90, unshelve]))).toEqual([
      'ops firing waiting +90',
      'boss firing waiting +100',
    ])
  })

  test('that ends tells again who was told, since the alarm is still there', () => {
    const back = following(told(begin(), 'ops'), [5, shelve], [60, unshelve])
    expect(shown(back)).toEqual(['ops firing cancelled shelved told', 'boss firing waiting +70', 'ops firing waiting +60'])
  })

  test('that ends after the alarm was acknowledged tells nobody', () => {
    const back = following(told(begin(), 'ops'), [5, { kind: 'acknowledged' }], [6, shelve], [60, unshelve])
    expect(back.notices.every(({ readyAt }) => readyAt === undefined)).toBe(true)
  })

  test('keeps back what got worse until it ends', () => {
    const worse = following(told(begin(), 'ops'), [5, shelve], [10, { kind: 'updated', severity: 'critical' }])
    expect(worse.notices.every(({ readyAt }) => readyAt === undefined)).toBe(true)
    const back = following(worse, [60, unshelve])
    expect(back.notices.filter(({ readyAt }) => readyAt !== undefined).map(({ target, severity }) => [target, severity])).toEqual([
      ['boss', 'critical'],
      ['ops', 'critical'],
    ])
  })

  test('does not keep back that the alarm is over', () => {
    expect(shown(following(told(begin(), 'ops'), [5, shelve], [30, { kind: 'cleared' }])).at(-1)).toBe('ops resolved waiting +30')
  })
})

const over: AlarmTurn = { kind: 'muted', muted: false }

describe('an alarm that is raised in maintenance', () => {
  test('is told to nobody until that is over, and then from the beginning', () => {
    const muted = begin({ muted: true })
    expect(shown(muted)).toEqual(['ops firing held muted', 'boss firing held muted'])
    expect(shown(following(muted, [60, over]))).toEqual(['ops firing waiting +60', 'boss firing waiting +75'])
  })

  test('and is shelved, is told when both are over', () => {
    const both = following(begin({ muted: true }), [10, { kind: 'shelved', until: at(90) }])
    expect(shown(following(both, [60, over]))).toEqual(['ops firing held shelved', 'boss firing held shelved'])
    expect(shown(following(both, [60, over], [90, { kind: 'shelved', until: null }]))).toEqual([
      'ops firing waiting +90',
      'boss firing waiting +105',
    ])
    const still = following(both, [30, { kind: 'shelved', until: null }])
    expect(still.notices.every(({ state }) => state === 'held')).toBe(true)
    expect(shown(following(still, [60, over]))).toEqual(['ops firing waiting +60', 'boss firing waiting +75'])
  })
})

describe('a maintenance that begins while an alarm is there', () => {
  const begins: AlarmTurn = { kind: 'muted', muted: true }
  const shelve: AlarmTurn = { kind: 'shelved', until: at(60) }
  const unshelve: AlarmTurn = { kind: 'shelved', until: null }

  test('holds who is still to be told, and its clock stands still', () => {
    const muted = following(sent(told(begin(), 'ops')), [5, begins])
    expect(shown(muted)).toEqual(['ops firing sent told', 'boss firing held muted'])
    expect(shown(following(muted, [60, over]))).toEqual(['ops firing sent told', 'boss firing waiting +70'])
  })

  test('leaves out who may not have been told yet, and tells them when it is over, if nobody acknowledged it', () => {
    const muted = following(told(begin(), 'ops'), [5, begins])
    expect(shown(muted)).toEqual(['ops firing cancelled muted told', 'boss firing held muted'])
    expect(shown(following(muted, [60, over])).slice(1)).toEqual(['boss firing waiting +70', 'ops firing waiting +60'])
    const silent = following(muted, [6, { kind: 'acknowledged' }], [60, over])
    expect(silent.notices.every(({ readyAt }) => readyAt === undefined)).toBe(true)
  })

  test('keeps back what gets worse, and not that it is over', () => {
    const worse = following(sent(told(begin(), 'ops')), [5, begins], [10, { kind: 'updated', severity: 'critical' }])
    expect(worse.notices.every(({ readyAt }) => readyAt === undefined)).toBe(true)
    expect(shown(following(worse, [30, { kind: 'cleared' }])).at(-1)).toBe('ops resolved waiting +30')
    const back = following(worse, [60, over]).notices.filter(({ readyAt }) => readyAt !== undefined)
    expect(back.map(({ target, severity }) => [target, severity])).toEqual([
      ['boss', 'critical'],
      ['ops', 'critical'],
    ])
    // It is told once.
    expect(
      shown(following(sent(told(following(worse, [60, over]), 'ops')), [70, begins], [80, over])).filter((notice) =>
        notice.startsWith('ops'),
      ),
    ).toEqual(['ops firing sent told', 'ops firing sent told'])
  })

  test('of a shelved one counts as long as the longer of both, and who was told is told again, as after a shelf', () => {
    const both = following(sent(told(begin(), 'ops')), [5, shelve], [10, begins])
    for (const [first, last, why] of [
      [over, unshelve, 'shelved'],
      [unshelve, over, 'muted'],
    ] as const) {
      const still = following(both, [30, first])
      expect(shown(still)).toEqual(['ops firing sent told', `boss firing held ${why}`])
      expect(shown(following(still, [60, last])).slice(1)).toEqual(['boss firing waiting +70', 'ops firing waiting +60'])
    }
  })

  test('again, or ends again, changes nothing', () => {
    const muted = following(begin(), [5, begins])
    expect(following(muted, [6, begins])).toEqual(muted)
    const back = following(told(begin(), 'ops'), [60, over])
    expect(shown(back)).toEqual(shown(told(begin(), 'ops')))
  })
})

const severity = fc.constantFrom(...SEVERITIES)
const turn: fc.Arbitrary<AlarmTurn | { kind: 'told'; target: string } | { kind: 'sent' }> = fc.oneof(
  fc.record({ kind: fc.constant('updated' as const), severity }),
  fc.record({ kind: fc.constant('muted' as const), muted: fc.boolean() }),
  fc.constant({ kind: 'acknowledged' as const }),
  fc.constantFrom<AlarmTurn>({ kind: 'shelved', until: 1 }, { kind: 'shelved', until: null }),
  fc.constant({ kind: 'cleared' as const }),
  fc.record({ kind: fc.constant('told' as const), target: fc.constantFrom('ops', 'boss') }),
  fc.constant({ kind: 'sent' as const }),
)

test('whatever happens, who was told is told the end, once, and nobody is told of what is acknowledged, shelved, muted or over', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(turn, { maxLength: 25 }), (muted, turns) => {
      let known = raised({ ...ALARM, ...(muted && { muted: true as const }) }, ACTIONS, AT)
      let minutes = 0
      /** Acknowledged, and no worse since. */
      let isSilent = false
      for (const turn of turns) {
        minutes += 3
        const before = known
        if (turn.kind === 'told') known = told(known, turn.target, `b${minutes}`)
        else if (turn.kind === 'sent') known = sent(known)
        else known = noticesAfter(known, turn, at(minutes))
        // Rows are written by their place in the list.
        expect(known.notices.length).toBeGreaterThanOrEqual(before.notices.length)
        known.notices.slice(0, before.notices.length).forEach((notice, i) => {
          expect([notice.target, notice.status]).toEqual([before.notices[i]!.target, before.notices[i]!.status])
          if (before.notices[i]!.bundle) expect(notice.bundle).toBe(before.notices[i]!.bundle)
        })
        if (turn.kind === 'acknowledged') isSilent = true
        if (turn.kind === 'updated' && 'severity' in turn) isSilent = false
        const { alarm, notices } = known
        const due = notices.filter(({ status, readyAt }) => status === 'firing' && readyAt !== undefined)
        if (alarm.shelved || alarm.muted || alarm.endedAt !== undefined) expect(due).toEqual([])
        if (isSilent) expect(due).toEqual([])
        for (const notice of due) expect(RANK[notice.severity]).toBe(RANK[alarm.severity])
        const ends = notices.filter(({ status }) => status === 'resolved').map(({ target }) => target)
        expect(ends.sort()).toEqual(alarm.endedAt === undefined ? [] : [...toldTargets(notices).keys()].sort())
        for (const { state, endedAt, readyAt, heldAt, bundle } of notices) {
          expect(endedAt !== undefined).toBe(['sent', 'failed', 'cancelled'].includes(state))
          if (endedAt !== undefined || bundle !== undefined) expect([readyAt, heldAt]).toEqual([undefined, undefined])
          else expect((readyAt === undefined) === (heldAt !== undefined)).toBe(true)
        }
      }
    }),
    { numRuns: 2_000 },
  )
})
