/** A device's firmware update, rule by rule: when it is let go, what becomes of it, and that each has one end (docs/rollouts.md). */
import { describe, expect, test } from 'vitest'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { TwinInput, UpdateRequest } from '../../twin-models/core/types.ts'
import { AskedTwin, brief, updateRequest } from '../support/asked-twin.ts'
import { goodbye, NEW, OLD, ofUpdate, released, silent, soaking, told, updatable, will } from '../support/updating-twin.ts'

describe('a request', () => {
  test('for a device that may be told lets go at once, with all that its job needs', () => {
    const twin = updatable()
    const { events, effects, answers } = twin.update('u', { rollout: 'r' })
    const update = updateRequest('u', { rollout: 'r', offerUntil: 102_000 })
    const cause = { by: 'request', request: 'r-1', who: 'ann' }
    expect(events).toEqual([
      { kind: 'update-requested', at: 2_000, update, from: OLD, deadlineAt: 2_000, cause },
      { kind: 'update-released', at: 2_000, id: 'u', attempt: 1, until: 102_000, deadlineAt: 12_000, cause },
    ])
    const release = { id: 'u', attempt: 1, kind: 'install', firmware: NEW, until: 102_000, linkUntil: 112_000 }
    expect(effects?.updates).toEqual([{ id: 'u', attempt: 1, from: OLD, release }])
    expect(answers).toEqual([{ request: 'r-1', answer: { revision: 3, seq: 3, id: 'u' } }])
    expect(twin.state.update).toEqual({
      ...update,
      requestedAt: 2_000,
      from: OLD,
      attempt: 1,
      phase: 'released',
      until: 102_000,
      deadlineAt: 12_000,
    })
    expect(nextDeadline(twin.state)).toBe(12_000)
    expect(decidedPart(twin.state).update).toEqual({
      id: 'u',
      rollout: 'r',
      firmware: NEW,
      status: 'scheduled',
      attempt: 1,
      since: '1970-01-01T00:00:02.000Z',
      deadline: '1970-01-01T00:00:12.000Z',
    })
  })

  const cases: Array<[title: string, more: Partial<UpdateRequest>, events: string[]]> = [
    ['may be told until its window ends', { windows: [[1_000, 9_000]] }, ['update-released u attempt 1 until 9000, due 9000']],
    ['may be told at the last moment of its window', { windows: [[1_000, 2_001]] }, ['update-released u attempt 1 until 2001, due 2001']],
    [
      'waits for its window, which ends before its end',
      {
        windows: [
          [1_000, 2_000],
          [5_000, 6_000],
        ],
      },
      [],
    ],
    ['begins with its window', { windows: [[2_000, 2_500]] }, ['update-released u attempt 1 until 2500, due 2500']],
    ['has no window left', { windows: [[1_000, 2_000]] }, ['update-ended u timed-out no-window']],
    ['has a window only after its offer', { windows: [[5_000, 6_000]], offerUntil: 5_000 }, ['update-ended u timed-out no-window']],
    ['has no windows at all', { windows: [] }, ['update-ended u timed-out no-window']],
    ['comes too late', { offerUntil: 2_000 }, ['update-ended u timed-out away']],
    ['comes just in time', { offerUntil: 2_001 }, ['update-released u attempt 1 until 2001, due 2001']],
    ['starts from this version', { fromVersions: ['0', '1'] }, ['update-released u attempt 1 until 102000, due 12000']],
    ['starts from other versions', { fromVersions: ['0'] }, ['update-ended u skipped from-version']],
    ['starts from no version', { fromVersions: [] }, ['update-ended u skipped from-version']],
    ['finds enough battery', { minBattery: 50 }, ['update-released u attempt 1 until 102000, due 12000']],
    ['finds too little battery', { minBattery: 51 }, ['update-postponed u attempt 1 until 3000: low-battery']],
    [
      'finds too little battery, and little time',
      { minBattery: 51, offerUntil: 2_500 },
      ['update-postponed u attempt 1 until 2500: low-battery'],
    ],
    ['is for what it runs', { firmware: OLD }, ['update-ended u skipped already-installed']],
    [
      'is for the same version with other content',
      { firmware: { version: '1', sha256: 'other' } },
      ['update-released u attempt 1 until 102000, due 12000'],
    ],
  ]
  test.each(cases)('that %s', (_title, more, events) => {
    const twin = updatable()
    const { events: decided, answers } = twin.update('u', more)
    expect(ofUpdate(decided).slice(1)).toEqual(events)
    const refused = events[0]?.startsWith('update-ended') ? events[0].split(' ')[3] : undefined
    expect((answers[0]!.answer as { refused?: string }).refused).toBe(refused)
    expect(twin.state.update === null).toBe(refused !== undefined)
    expect(twin.state.endedUpdates.map(({ id }) => id)).toEqual(refused === undefined ? [] : ['u'])
  })

  test('of what is not known of the device asks only where it must be known', () => {
    expect(ofUpdate(new AskedTwin().update('u', { minBattery: 99 }).events)[1]).toBe('update-released u attempt 1 until 101001, due 101001')
    expect(ofUpdate(new AskedTwin().update('u', { fromVersions: ['1'] }).events)[1]).toBe('update-ended u skipped from-version')
    const twin = new AskedTwin()
    twin.hello({ firmware: { version: '2' } })
    expect(ofUpdate(twin.update('u').events)[1]).toMatch('update-released u')
  })

  test('for a device that is away may be told until the offer ends', () => {
    const twin = new AskedTwin()
    expect(ofUpdate(twin.update('u').events)).toEqual([
      'update-requested u until 1001',
      'update-released u attempt 1 until 101001, due 101001',
    ])
  })

  test('that came already changes nothing, whether its update is under way or ended', () => {
    const twin = released()
    expect(twin.update('u')).toMatchObject({ events: [], answers: [{ answer: { id: 'u' } }] })
    twin.cancelUpdate('u')
    const { events, answers } = twin.update('u')
    expect([events, answers[0]?.answer]).toEqual([[], { revision: 6, seq: 6, id: 'u' }])
  })

  test('does not interrupt one under way, whatever its precedence', () => {
    for (const twin of [released(), soaking()]) {
      const { update } = twin.state
      const { events, effects, answers } = twin.update('v', { precedence: 9, firmware: { version: '3', sha256: 'three' } })
      expect(ofUpdate(events)).toEqual([`update-requested v until ${twin.now - 1}`, 'update-ended v skipped busy'])
      expect(effects?.updates).toMatchObject([{ id: 'v', status: 'skipped', code: 'busy', withdraw: true }])
      expect(answers[0]?.answer).toMatchObject({ id: 'v', refused: 'busy' })
      expect(twin.state.update).toEqual(update)
    }
  })

  const waiting: Partial<UpdateRequest> = { windows: [[50_000, 60_000]] }
  test('takes the place of one that waits, where its precedence is greater', () => {
    const twin = updatable()
    twin.update('u', waiting)
    for (const precedence of [0, 1])
      expect(ofUpdate(twin.update(`v${precedence}`, { precedence }).events)[1]).toBe(`update-ended v${precedence} skipped busy`)
    const { events, effects } = twin.update('w', { precedence: 2 })
    expect(ofUpdate(events)).toEqual([
      'update-ended u cancelled superseded',
      'update-requested w until 2003',
      'update-released w attempt 1 until 102003, due 12003',
    ])
    expect(effects?.updates).toMatchObject([
      { id: 'u', status: 'cancelled', code: 'superseded', tell: true },
      { id: 'w', release: { id: 'w' } },
    ])
    expect(twin.state.update?.id).toBe('w')
  })

  test('that ends at once takes nobody’s place', () => {
    const twin = updatable()
    twin.update('u', waiting)
    expect(ofUpdate(twin.update('v', { precedence: 2, fromVersions: ['0'] }).events)[1]).toBe('update-ended v skipped from-version')
    expect(twin.state.update?.id).toBe('u')
  })
})

describe('one that waits', () => {
  test('is let go when its window begins, with what runs then', () => {
    const twin = updatable()
    expect(ofUpdate(twin.update('u', { windows: [[5_000, 60_000]] }).events)).toEqual(['update-requested u until 5000'])
    expect(nextDeadline(twin.state)).toBe(5_000)
    twin.hello({ firmware: { version: '1.1' } })
    const { events, effects } = twin.due(5_000)
    expect(ofUpdate(events)).toEqual(['update-released u attempt 1 until 60000, due 15000'])
    expect(effects?.updates).toMatchObject([{ id: 'u', from: { version: '1.1' }, release: { until: 60_000, linkUntil: 70_000 } }])
    expect(twin.state.update?.from).toEqual({ version: '1.1' })
  })

  test('for its battery is looked at again and again, until it is charged or the offer ends', () => {
    const twin = updatable()
    const { effects } = twin.update('u', { minBattery: 60, offerUntil: 3_500 })
    expect(effects?.updates).toEqual([{ id: 'u', from: OLD, status: 'scheduled', attempt: 1, withdraw: true, code: 'low-battery' }])
    expect(ofUpdate(twin.due(3_000).events)).toEqual(['update-postponed u attempt 1 until 3500: low-battery'])
    expect(decidedPart(twin.state).update?.code).toBe('low-battery')
    expect(ofUpdate(twin.due(3_500).events)).toEqual(['update-ended u timed-out away'])

    const long = updatable()
    long.update('u', { minBattery: 60 })
    const looks = [3_000, 5_000, 9_000, 17_000].map((at) => ofUpdate(long.due(at).events))
    expect(looks).toEqual([5_000, 9_000, 17_000, 33_000].map((at) => [`update-postponed u attempt 1 until ${at}: low-battery`]))

    const other = updatable()
    other.update('u', { minBattery: 60 })
    other.hello({ health: { ok: true, battery: 61 } })
    expect(ofUpdate(other.due(3_000).events)).toEqual(['update-released u attempt 1 until 102000, due 13000'])
  })

  test('ends when its device runs what it does not start from, or came to the new version by itself with other content', () => {
    const twin = updatable()
    twin.update('u', { windows: [[5_000, 60_000]], fromVersions: ['1'] })
    twin.hello({ firmware: { version: '1.1' } })
    expect(ofUpdate(twin.due(5_000).events)).toEqual(['update-ended u skipped from-version'])
    const other = updatable()
    other.update('u', { windows: [[5_000, 60_000]] })
    expect(ofUpdate(other.hello({ firmware: { version: '2' } }).events)).toEqual(['update-ended u failed hash-mismatch'])
  })

  test('soaks when its device came to the new version by itself', () => {
    const twin = updatable()
    twin.update('u', { windows: [[5_000, 60_000]] })
    expect(ofUpdate(twin.hello({ firmware: NEW }).events)).toEqual(['update-soaking u until 22001, at most 52001'])
  })
})

describe('one that was let go', () => {
  test('is expected from when its device is back, and later returns change nothing', () => {
    const twin = new AskedTwin()
    twin.update('u')
    twin.now = 5_000
    twin.hello()
    expect(twin.state.update?.deadlineAt).toBe(15_000)
    goodbye(twin)
    twin.now = 9_000
    twin.hello()
    expect(twin.state.update?.deadlineAt).toBe(15_000)
  })

  const due: Array<[title: string, more: Partial<UpdateRequest>, now: number, row: ReturnType<typeof told> | undefined, events: string[]]> =
    [
      ['of which nothing is known is looked at again in a minute', {}, 12_000, undefined, ['update-awaited u until 72000']],
      ['of which another row is known, too', {}, 12_000, { ...told(5_000), id: 'v' }, ['update-awaited u until 72000']],
      ['that was not told yet may still be', {}, 12_000, told(null), ['update-awaited u until 102000']],
      ['that was not told at all was away', {}, 102_000, told(null), ['update-ended u timed-out away']],
      [
        'that was not told in its window waits for the next',
        {
          windows: [
            [2_000, 9_000],
            [20_000, 30_000],
          ],
        },
        9_000,
        told(null),
        ['update-postponed u attempt 1 until 20000: window-over'],
      ],
      [
        'and whose next window begins then goes on',
        {
          windows: [
            [2_000, 9_000],
            [9_000, 30_000],
          ],
        },
        9_000,
        told(null),
        ['update-released u attempt 1 until 30000, due 19000'],
      ],
      [
        'that was not told in its last window is over',
        { windows: [[2_000, 9_000]] },
        9_000,
        told(null),
        ['update-ended u timed-out no-window'],
      ],
      ['that was told has its time from then on', {}, 12_000, told(2_001), ['update-awaited u until 12001']],
      [
        'that was told late has its time, too, after the offer',
        { offerUntil: 5_000 },
        5_000,
        told(4_999),
        ['update-awaited u until 14999'],
      ],
      ['that did not come in time was too slow', {}, 12_001, told(2_001, 'downloading'), ['update-ended u timed-out too-slow']],
      ['that said no word was too slow, too', {}, 12_001, told(2_001), ['update-ended u timed-out too-slow']],
      [
        'whose device is there and still installs was too slow',
        {},
        12_001,
        told(2_001, 'installing'),
        ['update-ended u timed-out too-slow'],
      ],
      [
        'whose device rebooted into what it had is rolled back',
        {},
        12_001,
        told(2_001, 'rebooting'),
        ['update-ended u rolled-back returned'],
      ],
    ]
  test.each(due)('%s', (_title, more, now, row, events) => {
    expect(ofUpdate(released(more).due(now, [], row).events)).toEqual(events)
  })

  test.each(['installing', 'rebooting'])('whose device is away since it was %s fell silent', (status) => {
    for (const leave of [silent, will, goodbye]) {
      const twin = released()
      leave(twin)
      const { events, effects } = twin.due(12_001, [], told(2_001, status))
      expect(ofUpdate(events)).toEqual(['update-ended u timed-out silent'])
      const [update] = effects?.updates ?? []
      expect(update).toMatchObject({ status: 'timed-out', code: 'silent', tell: true, withdraw: true })
      expect(update?.message).toContain(`"${status}"`)
    }
  })

  test('whose device rebooted into something else was too slow', () => {
    const twin = released()
    twin.hello({ firmware: { version: '1.5' } })
    expect(ofUpdate(twin.due(12_001, [], told(2_001, 'rebooting')).events)).toEqual(['update-ended u timed-out too-slow'])
  })

  test('is left alone by a timer that rings for something else', () => {
    const twin = released()
    twin.command('c', { expiresAt: 5_000 })
    expect(brief(twin.due(5_000).events)).toEqual(['command-ended c expired'])
  })

  test('fails when its device comes with the new version and another hash, or none', () => {
    for (const sha256 of ['other', undefined]) {
      const { events } = released().hello({ firmware: { version: '2', ...(sha256 && { sha256 }) } })
      expect(brief(events)).toEqual(['firmware-changed', 'update-ended u failed hash-mismatch'])
    }
  })

  test('goes on when its device comes with another version', () => {
    const twin = released()
    expect(ofUpdate(twin.hello({ firmware: { version: '1.5' } }).events)).toEqual([])
    expect(twin.state.update?.phase).toBe('released')
  })
})

describe('the device’s last word', () => {
  test.each(['locked', 'low-battery', 'busy'])('"%s" puts it off without using up an attempt, while there is time', (code) => {
    const twin = released({ attempts: 1, retryMs: 50_000 })
    const { events, effects } = twin.answerUpdate('u', 'failed', code, 'in use')
    expect(ofUpdate(events)).toEqual([`update-postponed u attempt 1 until 53000: ${code}`])
    expect(effects?.updates).toEqual([{ id: 'u', status: 'scheduled', attempt: 1, withdraw: true, code, message: 'in use' }])
    const again = twin.due(53_000)
    expect(ofUpdate(again.events)).toEqual(['update-released u attempt 1 until 102000, due 63000'])
    expect(again.effects?.updates, 'why it waited is over').toMatchObject([{ status: 'scheduled', release: {} }])
    expect([again.effects?.updates[0]?.code, decidedPart(twin.state).update?.code]).toEqual([undefined, undefined])
    expect(ofUpdate(twin.answerUpdate('u', 'failed', code).events)).toEqual([`update-ended u failed ${code}`])
  })

  test('that it cannot just now is waited for twice as long each time, to an hour, and half of what is left at the end', () => {
    const twin = released({ offerUntil: 2_000 + 7 * 86_400_000, retryMs: 60_000 })
    const waits = waitsOf(twin, 'locked')
    expect(waits.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((minutes) => minutes * 60_000))
    expect(waits.slice(-3).every((wait) => wait >= 60_000 && wait < 600_000)).toBe(true)
    expect(waits.length).toBeLessThan(190)
    expect(twin.state.endedUpdates).toMatchObject([{ id: 'u', status: 'failed', code: 'locked' }])
  })

  test('that it cannot just now is asked of it as often in its window as there is time', () => {
    const twin = released({
      retryMs: 1_000,
      windows: [
        [2_000, 22_000],
        [50_000, 70_000],
      ],
    })
    const waits = waitsOf(twin, 'busy', 9)
    expect(waits).toEqual([1_000, 2_000, 4_000, 5_998, 2_999, 1_499, 1_000, 1_000, 9_999])
  })

  test('that an attempt failed begins its waits anew, and a wait that is longer than an hour stays as it is', () => {
    const twin = released({ offerUntil: 10_000_000_000 })
    expect(waitsOf(twin, 'locked', 3)).toEqual([1_000, 2_000, 4_000])
    twin.answerUpdate('u', 'failed', 'no-space')
    expect(twin.state.update).toMatchObject({ attempt: 2 })
    expect(twin.state.update).not.toHaveProperty('waits')
    twin.due(twin.state.update!.deadlineAt)
    expect(waitsOf(twin, 'locked', 2)).toEqual([1_000, 2_000])
    expect(waitsOf(released({ offerUntil: 10_000_000_000, retryMs: 7_200_000 }), 'busy', 3)).toEqual([7_200_000, 7_200_000, 7_200_000])
  })

  test.each(['download-failed', 'hash-mismatch', 'no-space', 'job-expired'])(
    '"%s" is tried again, later each time, as often as asked',
    (code) => {
      const twin = released()
      const fails = () => ofUpdate(twin.answerUpdate('u', 'failed', code).events)
      expect(fails()).toEqual([`update-postponed u attempt 2 until 4000: ${code}`])
      const { effects, events } = twin.due(4_000)
      expect(ofUpdate(events)).toEqual(['update-released u attempt 2 until 102000, due 14000'])
      expect(effects?.updates).toMatchObject([{ id: 'u', attempt: 2, release: { attempt: 2 } }])
      expect(effects?.updates[0]).not.toHaveProperty('code')
      expect(fails()).toEqual([`update-postponed u attempt 3 until 6001: ${code}`])
      expect(fails(), 'said again, it is of the attempt before').toEqual([])
      twin.due(6_001)
      expect(fails()).toEqual([`update-ended u failed ${code}`])
    },
  )

  test('is the end where no time is left for another attempt', () => {
    expect(ofUpdate(released({ offerUntil: 4_000 }).answerUpdate('u', 'failed', 'no-space').events)).toEqual([
      'update-ended u failed no-space',
    ])
    expect(ofUpdate(released({ offerUntil: 4_001 }).answerUpdate('u', 'failed', 'no-space').events)).toHaveLength(1)
  })

  test('that an attempt failed counts where it finds no window for another', () => {
    const twin = released({ windows: [[1_000, 9_000]], retryMs: 7_000 })
    twin.answerUpdate('u', 'failed', 'download-failed', 'no route')
    const { effects } = twin.due(10_000)
    expect(effects?.updates).toMatchObject([{ id: 'u', status: 'failed', code: 'download-failed', message: 'no route' }])
  })

  test('"rejected" is never tried again, whatever its code', () => {
    for (const code of ['download-failed', 'busy', 'downgrade']) {
      const { events, effects } = released().answerUpdate('u', 'rejected', code)
      expect(ofUpdate(events)).toEqual([`update-ended u rejected ${code}`])
      expect(effects?.updates[0]).not.toHaveProperty('tell')
    }
  })

  test('of any other failure is its end, bounded', () => {
    const { effects } = released().answerUpdate('u', 'failed', 'x'.repeat(500), `\0${'y'.repeat(900)}`)
    const [end] = effects?.updates ?? []
    expect(end).toMatchObject({ status: 'failed', code: 'x'.repeat(100), message: `\ufffd${'y'.repeat(499)}` })
  })

  test('while it soaks is its end when it failed, and says nothing new when it rejects what it runs', () => {
    expect(ofUpdate(soaking().answerUpdate('u', 'failed', 'busy').events)).toEqual(['update-ended u failed busy'])
    expect(ofUpdate(soaking().answerUpdate('u', 'rejected', 'downgrade').events)).toEqual([])
  })

  test('on another update, and after the end, changes nothing', () => {
    const twin = released()
    expect(twin.answerUpdate('v', 'failed', 'broken').events).toEqual([])
    twin.cancelUpdate('u')
    expect(twin.answerUpdate('u', 'failed', 'broken').events).toEqual([])
  })
})

describe('cancelling', () => {
  test.each([
    ['one that waits', () => released({ windows: [[90_000, 95_000]] })],
    ['one that was let go', () => released()],
    ['one that soaks', () => soaking()],
  ])('ends %s, and its device hears of it if it was told', (_which, twinOf) => {
    const twin = twinOf()
    const { effects, answers } = twin.cancelUpdate('u')
    expect(effects?.updates).toEqual([
      { id: 'u', status: 'cancelled', code: 'cancelled', message: 'Cancelled by bob.', withdraw: true, tell: true },
    ])
    expect(answers[0]?.answer).toMatchObject({ id: 'u', cancelled: true })
    expect(nextDeadline(twin.state)).toBeUndefined()
  })

  test('one that is not under way changes nothing', () => {
    const twin = released()
    expect(twin.cancelUpdate('v')).toMatchObject({ events: [], answers: [{ answer: { id: 'v', cancelled: false } }] })
    expect(twin.state.update?.id).toBe('u')
  })
})

describe('in one decision', () => {
  const asked = (twin: AskedTwin): TwinInput => {
    const update = updateRequest('u', { offerUntil: 102_000 })
    return { kind: 'update', at: twin.now, request: 'r', update }
  }

  test('one that is let go and cancelled is not told', () => {
    const twin = updatable()
    const { effects } = twin.give(asked(twin), { kind: 'cancel-update', at: twin.now, request: 'r', id: 'u', by: 'bob' })
    const end = { status: 'cancelled', code: 'cancelled', message: 'Cancelled by bob.' }
    expect(effects?.updates).toEqual([{ id: 'u', from: OLD, ...end, withdraw: true, tell: true }])
  })

  test('one that is put off and comes all the same soaks without a word on that', () => {
    const twin = released()
    const failed: TwinInput = { kind: 'update-answer', at: twin.now, id: 'u', status: 'failed', code: 'no-space', message: 'full' }
    const { effects } = twin.give(failed, { kind: 'hello', at: twin.now, status: 'online', firmware: NEW })
    expect(effects?.updates).toEqual([{ id: 'u', status: 'soaking', attempt: 2, withdraw: true }])
  })
})

test('a device that runs the version without saying its hash is updated, and has come when it says the hash', () => {
  const twin = new AskedTwin()
  twin.hello({ firmware: { version: '2' }, health: { ok: true } })
  twin.update('u')
  expect(ofUpdate(will(twin).events)).toEqual([])
  expect(ofUpdate(twin.hello({ firmware: { version: '2' }, health: { ok: false } }).events)).toEqual([])
  expect(twin.state.update?.phase).toBe('released')
  expect(ofUpdate(twin.hello({ firmware: NEW, health: { ok: true } }).events)).toEqual(['update-soaking u until 21005, at most 51005'])
})

test('the five that ended last are known', () => {
  const twin = updatable()
  for (let n = 0; n < 7; n++) {
    twin.update(`u${n}`)
    twin.cancelUpdate(`u${n}`)
  }
  expect(twin.state.endedUpdates.map(({ id }) => id)).toEqual(['u6', 'u5', 'u4', 'u3', 'u2'])
})

/** How long it waits each time that its device says so at once when it may be told; until it has ended. */
function waitsOf(twin: AskedTwin, code: string, most = 1_000): number[] {
  const waits: number[] = []
  while (waits.length < most) {
    const { now } = twin
    twin.answerUpdate('u', 'failed', code)
    const { update } = twin.state
    if (!update) break
    waits.push(update.deadlineAt - now)
    twin.due(update.deadlineAt)
    // Out of its window.
    if (twin.state.update?.phase === 'waiting') twin.due(twin.state.update.deadlineAt)
  }
  return waits
}
