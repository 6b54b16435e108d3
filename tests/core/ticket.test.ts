/** Maintenance tickets: what they do by themselves, in time and by what is seen. 48 hours pass in no time. */
import { describe, expect, test } from 'vitest'
import { initialTicket, nextTicketStep, wakeOf } from '../../twin-models/core/ticket.ts'
import { DEFAULT_DEADLINES } from '../../twin-models/core/ticket-types.ts'
import { alarm, DAY, HOUR, MINUTE, plan, sight, T0, TicketCase } from '../support/ticket-cases.ts'

describe('the usual course', () => {
  test('from the alarm to the verified repair in 48 hours', () => {
    const ticket = new TicketCase({ deadlines: { ...DEFAULT_DEADLINES, major: { acceptMs: HOUR, doneMs: 3 * DAY } } })
    expect(ticket.go(10 * MINUTE)).toEqual(['opened', 'told'])
    expect(ticket.told).toEqual(['ann: firing'])
    expect(ticket.state).toMatchObject({ status: 'notified', asked: { target: 'ann', until: T0 + HOUR }, dueAt: T0 + 3 * DAY })
    expect(ticket.ask({ action: 'accept', by: 'ann' })).toContain('It is yours.')
    expect(ticket.ask({ action: 'schedule', by: 'ann', at: T0 + 40 * HOUR })).toBe('It is planned for 2026-11-28 00:00:00 UTC.')
    expect(ticket.go(39 * HOUR + 50 * MINUTE)).toEqual(['reminded'])
    expect(ticket.told).toEqual(['ann: firing'])
    expect(ticket.ask({ action: 'start', by: 'ann', forMs: 8 * HOUR })).toContain('in maintenance until 2026-11-28 08:00:00 UTC')
    expect(ticket.changes.at(-1)).toMatchObject({ maintenance: T0 + 48 * HOUR, event: 'updated' })
    expect(ticket.go(6 * HOUR, sight([alarm(1, T0, { clearedAt: T0 + 45 * HOUR })]))).toEqual([])
    ticket.ask({ action: 'done', by: 'ann', note: 'A new bearing' })
    expect(ticket.changes.at(-1)).toMatchObject({ maintenance: null })
    expect(ticket.go(29 * MINUTE)).toEqual(['verifying'])
    expect(ticket.go(MINUTE)).toEqual(['closed'])
    expect(ticket.told).toEqual(['ann: resolved'])
    expect(ticket.state).toMatchObject({ status: 'closed', assignee: 'ann', relapses: 0, told: [] })
    expect(ticket.state.reason).toBe('Its condition stayed away since 2026-11-28 06:00:00 UTC.')
    expect(ticket.changes.map(({ event }) => event).filter((event) => event !== undefined && event !== 'updated')).toEqual([
      'opened',
      'closed',
    ])
    expect(nextTicketStep(ticket.state, plan, ticket.sight, ticket.now)).toEqual({ kind: 'over' })
  })

  test('one that no rule asked for is closed on the word of who did it', () => {
    const ticket = new TicketCase({ rule: null, by: 'admin' })
    ticket.go(MINUTE, sight([]))
    ticket.ask({ action: 'done', by: 'ann' })
    expect(ticket.go(0)).toEqual(['closed'])
    expect(ticket.state.reason).toContain('nothing to watch')
  })

  test('it ends when its device is removed, wherever it is', () => {
    const ticket = new TicketCase()
    ticket.go(MINUTE)
    ticket.ask({ action: 'start', by: 'ann' })
    expect(ticket.go(1, sight(undefined, { isThere: false }))).toEqual(['cancelled'])
    expect(ticket.state).toMatchObject({ status: 'cancelled', reason: 'Its device was removed.' })
    expect(ticket.told).toEqual(['ann: resolved'])
  })
})

describe('with a prediction model', () => {
  const answered = { status: 'answered' as const, probability: 0.83, threshold: 0.5, detail: 'The bearing is worn' }

  test('people are told the risk, when it is known', () => {
    const ticket = new TicketCase({ predict: 'pump-failure' })
    expect(ticket.go(0)).toEqual(['opened', 'predict'])
    expect(ticket.changes.at(-1)).toMatchObject({ event: 'opened', predict: true, notices: [] })
    expect(ticket.go(1_000, sight(undefined, { prediction: { status: 'waiting' } }))).toEqual([])
    expect(ticket.go(1_000, sight(undefined, { prediction: answered }))).toEqual(['predicted', 'told'])
    expect(ticket.state).toMatchObject({ status: 'notified', risk: { probability: 0.83, threshold: 0.5 } })
    expect(ticket.state.prediction).toBeUndefined()
    const [message] = ticket.changes.at(-1)!.notices
    expect(message).toMatchObject({ target: 'ann', text: expect.stringContaining('pump-failure predicts 83 %, its threshold is 50 %.') })
    expect(ticket.changes.flatMap(({ story }) => story.map(({ text }) => text))).toContain(
      'pump-failure predicts 83 %, its threshold is 50 % (The bearing is worn).',
    )
  })

  test.each([
    [{ status: 'failed' as const, detail: 'refused' }, 0, 'pump-failure could not be asked (refused).'],
    [{ status: 'waiting' as const }, 30_000, 'pump-failure could not be asked (it did not answer in time).'],
  ])('that does not say it (%j) they are told %d ms later without', (prediction, after, words) => {
    const ticket = new TicketCase({ predict: 'pump-failure' })
    ticket.go(0)
    if (after > 0) expect(ticket.go(after - 1, sight(undefined, { prediction }))).toEqual([])
    expect(ticket.go(1, sight(undefined, { prediction }))).toEqual(['predicted', 'told'])
    expect(ticket.changes.at(-1)!.story[0]!.text).toBe(words)
    expect(ticket.changes.at(-1)!.event).toBe('updated')
  })

  test('somebody may take it before, and when it is done the model is asked anew', () => {
    const ticket = new TicketCase({ predict: 'pump-failure' })
    ticket.go(0)
    ticket.ask({ action: 'accept', by: 'ann' })
    expect(ticket.go(60_000, sight(undefined, { prediction: answered }))).toEqual([])
    ticket.ask({ action: 'done', by: 'ann' })
    const quiet = sight([alarm(1, T0, { clearedAt: T0 + 1 })], { prediction: answered })
    expect(ticket.go(30 * MINUTE, quiet)).toEqual(['verifying', 'predict', 'reopened', 'told'])
    expect(ticket.state.risk).toMatchObject({ probability: 0.83 })
  })
})

describe('silence', () => {
  test('passes it to the next on call, and when all were silent round again, said aloud', () => {
    const ticket = new TicketCase()
    ticket.go(0)
    expect(ticket.go(HOUR)).toEqual(['reassigned'])
    expect([ticket.state.status, ticket.told]).toEqual(['reassigned', ['bob: firing']])
    expect(ticket.last).toBe('ann did not accept it in time: bob is told, and is to accept it until 2026-11-26 10:00:00 UTC.')
    expect(ticket.go(HOUR)).toEqual(['escalated'])
    expect([ticket.state.status, ticket.told]).toEqual(['escalated', ['ann: firing', 'bob: firing']])
    expect(ticket.last).toBe(
      'Nobody accepted it: ann, bob were told in vain. The time to accept what is major, 1 hour, has passed. ann is told again, and is to accept it until 2026-11-26 12:00:00 UTC.',
    )
    expect(ticket.changes.at(-1)!.notices[0]!.text).toContain('Please accept it, whoever can.')
    expect(ticket.go(2 * HOUR)).toEqual(['reassigned'])
    expect([ticket.state.status, ticket.told]).toEqual(['escalated', ['bob: firing']])
    expect(ticket.go(2 * HOUR)).toEqual(['escalated'])
    ticket.ask({ action: 'accept', by: 'bob' })
    expect([ticket.state.status, ticket.told]).toEqual(['accepted', ['ann: resolved']])
  })

  test('for ever is said once a day, and a week’s worth of it is few steps', () => {
    const ticket = new TicketCase({ onCall: ['ann'], severity: 'critical' })
    ticket.go(30 * DAY)
    const before = ticket.changes.length
    expect(before).toBeLessThan(60)
    ticket.go(7 * DAY)
    expect(ticket.changes.length - before).toBeLessThan(10)
    expect(ticket.state.status).toBe('escalated')
  })

  test('with nobody on call it says so, and waits', () => {
    const ticket = new TicketCase({ onCall: [] })
    expect(ticket.go(0)).toEqual(['opened', 'told'])
    expect([ticket.last, ticket.told]).toEqual(['Nobody is on call for it. It is to be accepted until 2026-11-26 09:00:00 UTC.', []])
    expect(ticket.go(HOUR)).toEqual(['escalated'])
    expect(ticket.last).toContain('Nobody is on call, and nobody accepted it.')
  })

  test.each([
    ['critical', 15 * MINUTE, 4 * HOUR],
    ['major', HOUR, DAY],
    ['minor', 8 * HOUR, 7 * DAY],
    ['warning', DAY, 14 * DAY],
  ] as const)('of what is %s lasts %d ms, and it is to be done in %d', (severity, acceptMs, doneMs) => {
    const ticket = new TicketCase({ severity })
    ticket.go(0, sight([alarm(1, T0, { severity })], { worst: severity }))
    expect(ticket.state).toMatchObject({ asked: { until: T0 + acceptMs }, dueAt: T0 + doneMs })
    expect(wakeOf(ticket.state, ticket.plan)).toBe(T0 + acceptMs)
  })
})

describe('what is not done in time', () => {
  test('is told to all, and again after twice the time, up to a week', () => {
    const ticket = new TicketCase()
    ticket.go(0)
    ticket.ask({ action: 'accept', by: 'ann' })
    const missed: number[] = []
    for (let day = 1; day <= 40; day++) if (ticket.go(DAY).includes('overdue')) missed.push(day)
    expect(missed).toEqual([1, 3, 7, 14, 21, 28, 35])
    expect(ticket.told).toEqual(['ann: firing', 'bob: firing'])
    expect(ticket.last).toContain('ann has it.')
    expect(ticket.state.status).toBe('accepted')
  })

  test('keeps the time by which it was to be done, and says besides when that is said again', () => {
    const ticket = new TicketCase()
    ticket.go(0)
    ticket.ask({ action: 'accept', by: 'ann' })
    ticket.go(DAY)
    expect(ticket.state).toMatchObject({ missed: 1, dueAt: T0 + DAY, remindAt: T0 + 3 * DAY })
    expect(wakeOf(ticket.state, ticket.plan)).toBe(T0 + 3 * DAY)
    ticket.go(2 * DAY)
    expect(ticket.state).toMatchObject({ missed: 2, dueAt: T0 + DAY, remindAt: T0 + 7 * DAY })
    expect(ticket.last).toBe('It was to be done by 2026-11-27 08:00:00 UTC and is not, 3 days after it was opened: ann has it.')
    ticket.go(0, sight([alarm(1, T0), alarm(2, ticket.now, { severity: 'critical' })], { worst: 'critical' }))
    expect(ticket.state).toMatchObject({ severity: 'critical', dueAt: T0 + DAY, remindAt: T0 + 7 * DAY })
    expect(ticket.last).toBe('It is critical now, and was major: it was to be done by 2026-11-27 08:00:00 UTC.')
    expect(ticket.ask({ action: 'reassign', by: 'ann', to: 'bob' })).toContain('bob is told')
    expect(ticket.ask({ action: 'accept', by: 'bob' })).toBe('It is yours. It was to be done by 2026-11-27 08:00:00 UTC.')
    ticket.ask({ action: 'done', by: 'bob' })
    expect(ticket.state.remindAt).toBeUndefined()
    ticket.ask({ action: 'reopen', by: 'bob', note: 'It is not' })
    expect(ticket.state).toMatchObject({ missed: 0, dueAt: ticket.now + 4 * HOUR })
    expect(ticket.state.remindAt).toBeUndefined()
  })

  test('of a run that had moved it on goes on by that', () => {
    const ticket = new TicketCase()
    ticket.go(0)
    ticket.ask({ action: 'accept', by: 'ann' })
    ticket.state = { ...ticket.state, missed: 1, dueAt: T0 + 3 * DAY }
    expect(ticket.go(3 * DAY - 1)).toEqual([])
    expect(ticket.go(1)).toEqual(['overdue'])
    expect(ticket.state).toMatchObject({ missed: 2, remindAt: T0 + 7 * DAY })
  })

  test('a repair whose maintenance ends by its time is told to who is at it, and goes on', () => {
    const ticket = new TicketCase()
    ticket.go(0)
    ticket.ask({ action: 'start', by: 'ann', forMs: HOUR })
    expect(ticket.go(HOUR)).toEqual(['maintenance-over'])
    expect(ticket.told).toEqual(['ann: firing'])
    expect(ticket.state).toMatchObject({ status: 'in-progress' })
    expect(ticket.state.maintenanceUntil).toBeUndefined()
    expect(ticket.ask({ action: 'start', by: 'ann' })).toContain('in maintenance until')
    ticket.ask({ action: 'done', by: 'ann' })
    expect(ticket.changes.at(-1)).toMatchObject({ maintenance: null })
  })
})

describe('alarms of the same cause', () => {
  test('join it, each with a line until they are too many', () => {
    const ticket = new TicketCase()
    ticket.go(0)
    const three = [1, 2, 3].map((n) => alarm(n, T0 + n))
    expect(ticket.go(1, sight(three))).toEqual(['alarm', 'alarm'])
    expect(ticket.changes.at(-1)!.story.map(({ text }) => text)).toEqual([
      'Alarm 2 joins it (major): Vibration is 9 mm/s',
      'Alarm 3 joins it (major): Vibration is 9 mm/s',
    ])
    const many = sight([alarm(500, T0 + 9)], { alarms: 500 })
    expect(ticket.go(1, many).filter((what) => what === 'alarm').length).toBeLessThan(12)
    expect(ticket.last).toBe('Further alarms of the rule are only counted.')
    expect(ticket.go(1, { ...many, alarms: 501 })).toEqual([])
  })

  test('a worse one makes it worse, and its deadlines shorter, never longer', () => {
    const ticket = new TicketCase()
    ticket.go(10 * MINUTE)
    const worse = sight([alarm(1, T0), alarm(2, T0 + 1, { severity: 'critical' })], { worst: 'critical' })
    expect(ticket.go(0, worse)).toEqual(['alarm', 'severity'])
    expect(ticket.state).toMatchObject({ severity: 'critical', asked: { until: T0 + 25 * MINUTE }, dueAt: T0 + 4 * HOUR })
    expect(ticket.told).toEqual(['ann: firing'])
    expect(ticket.go(0, sight([alarm(3, T0 + 2)], { alarms: 3, worst: 'critical' }))).toEqual(['alarm'])
    expect(ticket.state.severity).toBe('critical')
  })
})

describe('verifying', () => {
  const done = (changed: Parameters<typeof Object.assign>[0] = {}) => {
    const ticket = new TicketCase(changed)
    ticket.go(HOUR / 2)
    ticket.ask({ action: 'accept', by: 'bob' })
    ticket.ask({ action: 'done', by: 'bob' })
    return ticket
  }

  test('an alarm that was raised since reopens it, with the evidence, for who did it', () => {
    const ticket = done()
    ticket.go(10 * MINUTE, sight([alarm(1, T0, { clearedAt: T0 + 20 * MINUTE })]))
    const again = sight([alarm(1, T0, { clearedAt: T0 + 20 * MINUTE }), alarm(2, T0 + 39 * MINUTE)])
    expect(ticket.go(0, again)).toEqual(['reopened', 'told'])
    expect(ticket.state).toMatchObject({ status: 'reopened', relapses: 1, asked: { target: 'bob' }, since: ticket.now })
    expect(ticket.state.reason).toBe('Alarm 2 was raised on 2026-11-26 08:39:00 UTC, after it was done: Vibration is 9 mm/s')
    expect(ticket.told).toEqual(['bob: firing'])
    expect(ticket.go(HOUR, again)).toEqual(['reassigned'])
    expect(ticket.state.asked!.target).toBe('ann')
  })

  test('the alarm of before has as long to go, and then its condition has to stay away', () => {
    const ticket = done()
    expect(ticket.go(20 * MINUTE)).toEqual(['verifying'])
    const cleared = sight([alarm(1, T0, { clearedAt: ticket.now })])
    expect(ticket.go(29 * MINUTE, cleared)).toEqual([])
    expect(ticket.go(MINUTE)).toEqual(['closed'])
    const lingering = done()
    lingering.go(29 * MINUTE)
    expect(lingering.go(MINUTE)).toEqual(['reopened', 'told'])
    expect(lingering.state.reason).toContain('Alarm 1, raised on 2026-11-26 08:00:00 UTC, is still there')
  })

  test('is judged when its twin has decided what came until then, and without that after five minutes', () => {
    const [cleared, there] = [sight([alarm(1, T0, { clearedAt: T0 + MINUTE })]), sight([alarm(1, T0)])]
    for (const [late, current, words] of [
      // It was cleared meanwhile, raised again, or is still there.
      [there, cleared, ['closed']],
      [cleared, sight([alarm(2, T0 + HOUR), alarm(1, T0, { clearedAt: T0 + MINUTE })]), ['reopened', 'told']],
      [there, there, ['reopened', 'told']],
    ] as const) {
      const ticket = done()
      expect(ticket.go(30 * MINUTE, { ...late, isBehind: true })).toEqual(['verifying'])
      expect(nextTicketStep(ticket.state, ticket.plan, ticket.sight, ticket.now)).toEqual({ kind: 'wait', until: ticket.now + 2_000 })
      expect(ticket.go(2_000, current)).toEqual(words)
      const patient = done()
      expect(patient.go(35 * MINUTE - 1, { ...late, isBehind: true })).toEqual(['verifying'])
      expect(patient.go(1, { ...late, isBehind: true })).toEqual(late === there ? ['reopened', 'told'] : ['closed'])
    }
  })

  test('a device that says nothing is waited for, and after a day that is the evidence', () => {
    const quiet = sight([alarm(1, T0, { clearedAt: T0 + MINUTE })])
    const silent = { ...quiet, silentSince: T0 + MINUTE }
    const back = done()
    expect(back.go(5 * HOUR, silent)).toEqual(['verifying'])
    expect(back.go(0, { ...quiet, silentSince: back.now })).toEqual(['closed'])
    const gone = done()
    expect(gone.go(24 * HOUR, silent)).toEqual(['verifying'])
    expect(gone.go(HOUR)).toEqual(['reopened', 'told'])
    expect(gone.state.reason).toBe('Nothing was heard of its device since it was done, so nobody knows whether the trouble is gone.')
    // It has few looks for all that time.
    const looks = done()
    looks.go(31 * MINUTE, silent)
    let count = 0
    for (const start = looks.now; looks.now < start + 23 * HOUR; count++) {
      const step = nextTicketStep(looks.state, looks.plan, silent, looks.now)
      if (step.kind !== 'wait') throw new Error(`It does ${step.kind}`)
      looks.now = step.until
    }
    expect(count).toBeLessThan(20)
  })

  test('a risk that is still high reopens it, one below the threshold closes it', () => {
    const quiet = sight([alarm(1, T0, { clearedAt: T0 + MINUTE })])
    const high = done({ predict: 'pump-failure' })
    expect(high.go(30 * MINUTE, quiet)).toEqual(['verifying', 'predict'])
    // Of readings since the repair: those of before it say that it is needed.
    expect(high.changes.at(-1)).toMatchObject({ predict: true, predictSince: high.state.doneAt })
    expect(high.go(0, { ...quiet, prediction: { status: 'answered', probability: 0.71, threshold: 0.3 } })).toEqual(['reopened', 'told'])
    expect(high.state.reason).toBe('The risk is still high: pump-failure predicts 71 %, its threshold is 30 %.')
    const low = done({ predict: 'pump-failure' })
    low.go(30 * MINUTE, quiet)
    expect(low.go(0, { ...quiet, prediction: { status: 'answered', probability: 0.041, threshold: 0.3 } })).toEqual(['closed'])
    expect(low.state.reason).toContain('and the risk is low: pump-failure predicts 4.1 %, its threshold is 30 %.')
  })

  test.each([
    ['person', 'was cleared by hand'],
    ['removed', 'was cleared since its rule was not for the device any more'],
    ['changed', 'was cleared by a change of its rule'],
  ] as const)('where the alarm was cleared by something else (%s), it is not said that its condition is over', (clearedBy, words) => {
    const ticket = done()
    expect(ticket.go(HOUR, sight([alarm(1, T0, { clearedAt: T0 + MINUTE, clearedBy })]))).toEqual(['verifying', 'closed'])
    expect(ticket.state.reason).toContain('No alarm was raised since')
    expect(ticket.state.reason).toContain(`but alarm 1 ${words}, so its condition may still be there.`)
  })

  test('where its rule is not live any more, it is said that nothing was watched', () => {
    const ticket = done({ predict: 'pump-failure' })
    const unwatched = sight([alarm(1, T0, { clearedAt: T0 + MINUTE })], { isUnwatched: true })
    ticket.go(30 * MINUTE, unwatched)
    expect(ticket.last).toBe('Rule vibration is not live any more, so nothing watched its condition. pump-failure is asked for the risk.')
    ticket.go(0, { ...unwatched, prediction: { status: 'answered', probability: 0.1, threshold: 0.3 } })
    expect(ticket.state.reason).toMatch(/^Rule vibration is not live any more, so nothing watched its condition, and the risk is low: /)
  })

  describe('whose rule was removed', () => {
    const gone = { isRuleGone: true, isUnwatched: true } as const
    const words = 'Rule vibration was removed, so nothing watches its condition'

    test('while it is verified is closed then, on the word of who did it', () => {
      const ticket = done({ verifyForMs: 7 * DAY })
      expect(ticket.go(DAY)).toEqual(['verifying'])
      expect(ticket.go(0, sight([alarm(1, T0)], gone))).toEqual(['closed'])
      expect(ticket.state.reason).toBe(`${words}: it is closed on the word of who did it.`)
      expect(ticket.last).toBe(`It is closed. ${words}: it is closed on the word of who did it.`)
      expect(ticket.told).toEqual([])
    })

    test('before says so once, and is closed when it is done', () => {
      const ticket = new TicketCase()
      ticket.go(MINUTE)
      expect(ticket.go(MINUTE, sight([alarm(1, T0, { clearedAt: T0, clearedBy: 'removed' })], gone))).toEqual(['rule-removed'])
      expect(ticket.changes.at(-1)).toMatchObject({ event: 'updated', notices: [] })
      expect(ticket.last).toBe(`${words} any more: when it is done, it is closed on the word of who did it.`)
      expect(ticket.go(MINUTE)).toEqual([])
      ticket.ask({ action: 'done', by: 'ann' })
      expect(ticket.go(0)).toEqual(['closed'])
    })

    test('and is live again says that, too, and is watched', () => {
      const ticket = new TicketCase()
      ticket.go(MINUTE, sight([], gone))
      expect(ticket.state.isRuleGone).toBe(true)
      expect(ticket.go(MINUTE, sight([], { isUnwatched: true }))).toEqual([])
      expect(ticket.go(MINUTE, sight([]))).toEqual(['rule-live'])
      expect(ticket.last).toBe('Rule vibration is live again: when it is done, its condition has to stay away.')
      ticket.ask({ action: 'done', by: 'ann' })
      expect(ticket.go(29 * MINUTE)).toEqual(['verifying'])
      expect(ticket.go(MINUTE)).toEqual(['closed'])
      expect(ticket.state.reason).toContain('stayed away')
    })

    test('is reopened all the same by an alarm that had come before that', () => {
      const ticket = done()
      expect(ticket.go(0, sight([alarm(1, T0), alarm(2, ticket.now + 1)], gone))).toContain('reopened')
    })

    test('has its model asked when it would have been', () => {
      const ticket = done({ predict: 'pump-failure' })
      expect(ticket.go(0, sight([alarm(1, T0)], gone))).toEqual(['verifying', 'rule-removed'])
      expect(ticket.last).toBe(`${words} any more: when it is done, pump-failure alone is asked for the risk.`)
      expect(ticket.go(30 * MINUTE)).toEqual(['predict'])
      expect(ticket.changes.at(-1)).toMatchObject({ predictSince: T0 + 30 * MINUTE })
      const failed = { status: 'failed', detail: 'refused' } as const
      expect(ticket.go(3 * MINUTE, { ...ticket.sight, prediction: failed })).toEqual(['predict', 'predict', 'closed'])
      expect(ticket.state.reason).toBe(
        `${words}: it is closed on the word of who did it, since pump-failure could not be asked in 3 tries (refused).`,
      )
    })
  })

  test('where the alarm of before lingered, the risk is that of readings since it was cleared', () => {
    const ticket = done({ predict: 'pump-failure' })
    ticket.go(20 * MINUTE)
    const clearedAt = ticket.now
    expect(ticket.go(30 * MINUTE, sight([alarm(1, T0, { clearedAt })]))).toEqual(['predict'])
    expect(ticket.changes.at(-1)).toMatchObject({ predictSince: clearedAt })
  })

  test('a prediction that cannot be had is asked for three times, and then the alarms alone decide', () => {
    const quiet = sight([alarm(1, T0, { clearedAt: T0 + MINUTE })])
    const ticket = done({ predict: 'pump-failure' })
    ticket.go(30 * MINUTE, quiet)
    const looks: number[] = []
    for (const start = ticket.now; ticket.now - start < 5 * MINUTE; ) {
      const step = nextTicketStep(ticket.state, ticket.plan, { ...quiet, prediction: { status: 'waiting' } }, ticket.now)
      if (step.kind !== 'wait') break
      looks.push((step.until - start) / 1_000)
      ticket.now = step.until
    }
    expect(looks).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300])
    expect(ticket.go(MINUTE, { ...quiet, prediction: { status: 'waiting' } })).toEqual(['predict'])
    expect(ticket.last).toContain('it did not answer in time')
    expect(ticket.go(3 * MINUTE, { ...quiet, prediction: { status: 'failed', detail: 'refused' } })).toEqual(['predict', 'closed'])
    expect(ticket.state.reason).toMatch(
      /^Its condition stayed away since .*: it is closed by that alone, since .* in 3 tries \(refused\)\.$/,
    )
  })

  test('what relapses for the third time is escalated to all at once', () => {
    const ticket = done()
    for (let relapse = 1; relapse <= 3; relapse++) {
      ticket.go(MINUTE, sight([alarm(relapse + 1, ticket.now + 1)], { alarms: relapse + 1 }))
      expect(ticket.state.status).toBe(relapse < 3 ? 'reopened' : 'escalated')
      if (relapse < 3) ticket.ask({ action: 'done', by: 'bob' })
    }
    const last = ticket.changes.findLast(({ story }) => story.some(({ what }) => what === 'escalated'))!
    expect(last.notices.map(({ target, status }) => `${target}: ${status}`)).toEqual(['ann: firing', 'bob: firing'])
    expect(last.notices[0]!.text).toContain('It has relapsed 3 times.')
  })
})

test('its first state is what its plan says, and wakes at once', () => {
  const state = initialTicket(plan)
  expect(state).toMatchObject({ status: 'open', severity: 'major', since: T0, dueAt: T0 + DAY })
  expect(wakeOf(state, plan)).toBe(T0)
})
