/** A firmware update of a device that is in maintenance: it is not let go before that is over; what is under way goes on. */
import { describe, expect, test } from 'vitest'
import type { Step } from '../../twin-models/core/consume.ts'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { UpdateRequest } from '../../twin-models/core/types.ts'
import type { AskedTwin } from '../support/asked-twin.ts'
import { NEW, ofUpdate, released, told, updatable } from '../support/updating-twin.ts'

const maintain = (twin: AskedTwin, until: number | null): Step =>
  twin.give({ kind: 'maintenance', at: twin.now, request: 'm', by: 'ann', until })

/** Of a device in maintenance until 50000; the next input is of 2001. */
function inMaintenance(): AskedTwin {
  const twin = updatable()
  maintain(twin, 50_000)
  return twin
}

describe('a request while the device is in maintenance', () => {
  test('is taken, and waits for its end', () => {
    const twin = inMaintenance()
    const { events, effects, answers } = twin.update('u')
    expect(ofUpdate(events)).toEqual(['update-requested u until 50000', 'update-postponed u attempt 1 until 50000: maintenance'])
    expect(effects?.updates).toMatchObject([{ id: 'u', status: 'scheduled', code: 'maintenance' }])
    expect(answers[0]?.answer).not.toHaveProperty('refused')
    expect(nextDeadline(twin.state)).toBe(50_000)
    expect(decidedPart(twin.state).update).toMatchObject({ status: 'scheduled', code: 'maintenance', deadline: '1970-01-01T00:00:50.000Z' })
  })

  test.each<[what: string, more: Partial<UpdateRequest>, events: string[]]>([
    ['is over before that when its offer is', { offerUntil: 40_000 }, ['update-postponed u attempt 1 until 40000: maintenance']],
    ['waits for its window first', { windows: [[60_000, 70_000]] }, []],
    ['has no window left', { windows: [[1_000, 2_000]] }, ['update-ended u timed-out no-window']],
    ['does not start from what runs', { fromVersions: ['0'] }, ['update-ended u skipped from-version']],
    ['finds too little battery, which counts later', { minBattery: 99 }, ['update-postponed u attempt 1 until 50000: maintenance']],
  ])('%s', (_what, more, events) => {
    expect(ofUpdate(inMaintenance().update('u', more).events).slice(1)).toEqual(events)
  })
})

describe('one that waits for it', () => {
  test('is let go when it ends by its time, also where that is not decided yet', () => {
    const twin = inMaintenance()
    twin.update('u')
    expect(ofUpdate(twin.due(50_000).events)).toEqual(['update-released u attempt 1 until 102001, due 60000'])
    expect(twin.state.maintenance).not.toBeNull()
    expect(twin.state.update).toMatchObject({ attempt: 1, phase: 'released' })
    expect(ofUpdate(twin.give({ kind: 'tick', at: 50_001 }).events)).toEqual([])
  })

  test('is let go when somebody ends it', () => {
    const twin = inMaintenance()
    twin.update('u')
    twin.now = 20_000
    expect(ofUpdate(maintain(twin, null).events)).toEqual(['update-released u attempt 1 until 102001, due 30000'])
  })

  test('waits for another end when it is another', () => {
    const twin = inMaintenance()
    twin.update('u')
    for (const until of [70_000, 30_000]) {
      expect(ofUpdate(maintain(twin, until).events)).toEqual([`update-postponed u attempt 1 until ${until}: maintenance`])
      expect(nextDeadline(twin.state)).toBe(until)
    }
    expect(ofUpdate(twin.give({ kind: 'maintenance', at: twin.now, request: 'm', by: 'bob', until: 30_000 }).events)).toEqual([])
  })

  test('has timed out when its offer ends before', () => {
    const twin = inMaintenance()
    twin.update('u', { offerUntil: 40_000 })
    expect(ofUpdate(twin.due(40_000).events)).toEqual(['update-ended u timed-out away'])
  })

  test('goes by its window after it', () => {
    const twin = inMaintenance()
    const windows: Array<[number, number]> = [
      [1_000, 45_000],
      [80_000, 90_000],
    ]
    twin.update('u', { windows })
    expect(ofUpdate(twin.due(50_000).events)).toEqual(['update-awaited u until 80000'])
    expect(ofUpdate(twin.due(80_000).events)).toEqual(['update-released u attempt 1 until 90000, due 90000'])
  })
})

describe('a maintenance that begins', () => {
  test('leaves alone what the device may be told of already', () => {
    const twin = released()
    expect(ofUpdate(maintain(twin, 50_000).events)).toEqual([])
    expect(ofUpdate(twin.hello({ firmware: NEW }).events)).toEqual(['update-soaking u until 23001, at most 53001'])
  })

  test('is met by what waits for its window, or for its next attempt, when that has come', () => {
    const window = updatable()
    window.update('u', { windows: [[5_000, 60_000]] })
    const retried = released()
    retried.answerUpdate('u', 'failed', 'no-space')
    for (const twin of [window, retried]) {
      expect(ofUpdate(maintain(twin, 50_000).events)).toEqual([])
      const attempt = twin === window ? 1 : 2
      expect(ofUpdate(twin.due(5_000).events)).toEqual([`update-postponed u attempt ${attempt} until 50000: maintenance`])
    }
  })

  test('and ends before the next attempt is due does not bring that forward', () => {
    const twin = released({ retryMs: 10_000 })
    twin.answerUpdate('u', 'failed', 'no-space')
    maintain(twin, 50_000)
    expect(ofUpdate(maintain(twin, null).events)).toEqual([])
    expect(nextDeadline(twin.state)).toBe(13_000)
  })

  test('is met by what was not told before its window ended', () => {
    const twin = released({
      windows: [
        [1_000, 9_000],
        [9_500, 60_000],
      ],
    })
    maintain(twin, 50_000)
    expect(ofUpdate(twin.due(9_500, [], told(null)).events)).toEqual(['update-postponed u attempt 1 until 50000: maintenance'])
  })
})
