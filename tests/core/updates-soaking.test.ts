/** An update of which its device runs the new firmware: healthy is who stays there, as it is, and well (docs/rollouts.md). */
import { describe, expect, test } from 'vitest'
import type { Step } from '../../twin-models/core/consume.ts'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { decidedPart } from '../../twin-models/core/decided.ts'
import type { TwinRule } from '../../twin-models/core/types.ts'
import { hotRule } from '../support/alarms.ts'
import { type AskedTwin, brief } from '../support/asked-twin.ts'
import { goodbye, NEW, OLD, ofUpdate, released, silent, soaking, will } from '../support/updating-twin.ts'

describe('one that soaks', () => {
  test('is healthy after its soak, and costs one decision more', () => {
    const twin = released()
    const { events, effects } = twin.hello({ firmware: NEW })
    expect(brief(events)).toEqual(['firmware-changed', 'update-soaking u until 23000, at most 53000'])
    expect(effects?.updates).toEqual([{ id: 'u', status: 'soaking', withdraw: true }])
    expect(decidedPart(twin.state).update).toMatchObject({ status: 'soaking', since: '1970-01-01T00:00:03.000Z' })
    expect(nextDeadline(twin.state)).toBe(23_000)
    const end = twin.due(23_000)
    expect(ofUpdate(end.events)).toEqual(['update-ended u healthy'])
    expect(end.effects?.updates).toEqual([{ id: 'u', status: 'healthy', withdraw: true }])
    expect(twin.state).toMatchObject({ update: null, endedUpdates: [{ id: 'u', status: 'healthy', version: '2', at: 23_000 }] })
  })

  test('for no time is healthy in the same decision', () => {
    const twin = released({ soakMs: 0 })
    const { events, effects } = twin.hello({ firmware: NEW, health: { ok: true } })
    expect(brief(events)).toEqual(['firmware-changed', 'update-soaking u until 3000, at most 33000', 'update-ended u healthy'])
    expect(effects?.updates).toEqual([{ id: 'u', status: 'healthy', withdraw: true }])
  })

  test('forgets why an attempt before failed', () => {
    const twin = released()
    twin.answerUpdate('u', 'failed', 'no-space')
    twin.due(4_000)
    twin.hello({ firmware: NEW })
    expect(decidedPart(twin.state).update).not.toHaveProperty('code')
  })

  test.each([
    [
      'with the new firmware',
      { firmware: NEW, health: { ok: false, errors: ['valve'] } },
      released(),
      'update-soaking u until 23000, at most 53000',
    ],
    ['later', { health: { ok: false, errors: ['valve'] } }, soaking(), undefined],
  ])('fails when its device says %s that it is not well', (_when, hello, twin, first) => {
    const { events, effects } = twin.hello(hello)
    expect(ofUpdate(events)).toEqual([...(first === undefined ? [] : [first]), 'update-ended u failed unhealthy'])
    expect(effects?.updates[0]?.message).toContain('valve')
  })

  test('is rolled back when its device runs another version, even one that is not well', () => {
    const { events } = soaking().hello({ firmware: OLD, health: { ok: false } })
    expect(ofUpdate(events)).toEqual(['update-ended u rolled-back returned'])
  })

  test('fails when the same version has another hash', () => {
    expect(ofUpdate(soaking().hello({ firmware: { version: '2', sha256: 'other' } }).events)).toEqual([
      'update-ended u failed hash-mismatch',
    ])
  })

  test.each([
    ['silence', silent],
    ['a will', will],
  ])('begins its soak anew after %s', (_reason, leave) => {
    const twin = soaking()
    leave(twin)
    expect(twin.state.update).toMatchObject({ deadlineAt: 53_000 })
    expect(twin.state.update).not.toHaveProperty('soakingSince')
    twin.now = 10_000
    twin.hello()
    expect(twin.state.update).toMatchObject({ soakingSince: 10_000, deadlineAt: 30_000 })
    expect(ofUpdate(twin.due(30_000).events)).toEqual(['update-ended u healthy'])
  })

  test('that stays silent has fallen silent', () => {
    const twin = soaking()
    silent(twin)
    expect(ofUpdate(twin.due(53_000).events)).toEqual(['update-ended u timed-out silent'])
  })

  test('that comes and goes has no time for ever', () => {
    const twin = soaking()
    silent(twin)
    twin.now = 40_000
    twin.hello()
    expect(twin.state.update).toMatchObject({ deadlineAt: 53_000 })
    expect(ofUpdate(twin.due(53_000).events)).toEqual(['update-ended u timed-out unsteady'])
  })

  test('goes on while its device sleeps, which is to come back once', () => {
    const twin = soaking()
    goodbye(twin)
    expect(twin.state.update).toMatchObject({ soakingSince: 3_000, deadlineAt: 23_000 })
    expect(ofUpdate(twin.due(23_000).events)).toEqual(['update-awaited u until 53000'])
    twin.now = 30_000
    expect(brief(twin.hello().events)).toEqual(['presence-changed', 'update-ended u healthy'])

    const other = soaking()
    goodbye(other)
    other.due(23_000)
    expect(ofUpdate(other.due(53_000).events)).toEqual(['update-ended u timed-out silent'])
  })

  test('of a sleeper that comes back before its soak ends waits for that', () => {
    const twin = soaking()
    goodbye(twin)
    twin.now = 20_000
    expect(ofUpdate(twin.hello().events)).toEqual([])
    expect(ofUpdate(twin.due(23_000).events)).toEqual(['update-ended u healthy'])
  })

  test('whose device said so while it was away soaks from when it is there', () => {
    const twin = released({ soakMs: 0 })
    will(twin)
    twin.now = 4_000
    expect(ofUpdate(twin.hello({ status: 'offline', will: true, firmware: NEW }).events)).toEqual([
      'update-soaking u until 34000, at most 34000',
    ])
    twin.now = 5_000
    expect(ofUpdate(twin.hello().events)).toEqual(['update-ended u healthy'])
  })
})

describe('alarms of one that soaks', () => {
  test('end it when a critical one is raised', () => {
    const twin = watched(soaking())
    const { events, effects } = read(twin, 61)
    expect(ofUpdate(events)).toEqual(['update-ended u failed alarm'])
    expect(effects?.updates).toEqual([{ id: 'u', status: 'failed', code: 'alarm', message: 'Alarm hot: It has 61 °C', withdraw: true }])
    expect(effects?.alarms).toMatchObject([{ rule: 'hot', severity: 'critical' }])
  })

  test('do not end it while they are less than critical, and end it when they become so', () => {
    const twin = watched(soaking())
    expect(ofUpdate(read(twin, 31).events)).toEqual([])
    expect(ofUpdate(read(twin, 61).events)).toEqual(['update-ended u failed alarm'])
  })

  test('are none of its where they were critical before it booted, until they come anew', () => {
    const twin = watched(released())
    read(twin, 61)
    twin.hello({ firmware: NEW })
    expect(ofUpdate(read(twin, 62).events)).toEqual([])
    read(twin, 20)
    expect(ofUpdate(read(twin, 61).events)).toEqual(['update-ended u failed alarm'])
  })

  test('that were there before let it become healthy', () => {
    const twin = watched(released())
    read(twin, 61)
    twin.hello({ firmware: NEW })
    expect(ofUpdate(twin.due(twin.now + 20_000).events)).toEqual(['update-ended u healthy'])
  })

  test('count once they are no longer muted by a maintenance', () => {
    const twin = watched(soaking())
    maintained(twin, 15_000)
    expect(ofUpdate(read(twin, 61).events)).toEqual([])
    expect(ofUpdate(timePasses(twin, 15_000).events)).toEqual(['update-ended u failed alarm'])

    const other = watched(soaking())
    maintained(other, 15_000)
    read(other, 61)
    expect(ofUpdate(maintained(other, null).events)).toEqual(['update-ended u failed alarm'])
  })

  test('by time alone end it, too', () => {
    const twin = watched(soaking(), { forMs: 5_000 })
    const { now } = twin
    expect(ofUpdate(read(twin, 61).events)).toEqual([])
    expect(ofUpdate(timePasses(twin, now + 5_000).events)).toEqual(['update-ended u failed alarm'])
  })

  test('that come with the hello of the new firmware end a soak of no time only when they come after it', () => {
    const twin = watched(released({ soakMs: 0 }))
    const at = twin.now
    const { events } = twin.give(
      { kind: 'hello', at, status: 'online', firmware: NEW },
      { kind: 'reading', at: at + 1, ts: at + 1, name: 'temperature', value: 61 },
    )
    expect(ofUpdate(events).at(-1)).toBe('update-ended u healthy')
  })
})

function watched(twin: AskedTwin, more: Partial<TwinRule> = {}): AskedTwin {
  twin.give({ kind: 'rules', at: twin.now, set: [hotRule(more)], removed: [] })
  return twin
}

function read(twin: AskedTwin, value: number): Step {
  return twin.give({ kind: 'reading', at: twin.now, ts: twin.now, name: 'temperature', value })
}

function timePasses(twin: AskedTwin, at: number): Step {
  twin.now = at
  return twin.give({ kind: 'tick', at })
}

function maintained(twin: AskedTwin, until: number | null): Step {
  return twin.give({ kind: 'maintenance', at: twin.now, request: 'm', by: 'ann', until })
}
