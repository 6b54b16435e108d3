/** A device that comes back from its update with what it had before: its twin notices within a minute, and not before it is sure. */
import { describe, expect, test } from 'vitest'
import type { Step } from '../../twin-models/core/consume.ts'
import { nextDeadline } from '../../twin-models/core/deadline.ts'
import { addHello, addUpdateStep, answered, emptyInbox, seal } from '../../twin-models/core/inbox.ts'
import type { TwinInput } from '../../twin-models/core/types.ts'
import { wakeOf } from '../../twin-models/core/wake.ts'
import type { AskedTwin } from '../support/asked-twin.ts'
import { goodbye, NEW, OLD, ofUpdate, released, told, will } from '../support/updating-twin.ts'

const HOUR = { installMs: 3_600_000, offerUntil: 10_000_000 }
const says = (twin: AskedTwin, status: 'installing' | 'rebooting'): Step =>
  twin.give({ kind: 'update-step', at: twin.now, id: 'u', status })
const back = (twin: AskedTwin): string[] => ofUpdate(twin.hello({ firmware: OLD }).events)
/** It said at 3000 that it reboots; the next input is of 3001. */
function rebooting(): AskedTwin {
  const twin = released(HOUR)
  says(twin, 'rebooting')
  return twin
}

describe('a device that said that it reboots', () => {
  test('and comes back with what it had has a minute, and has returned then', () => {
    const twin = rebooting()
    expect(back(twin)).toEqual(['update-awaited u until 63001'])
    expect(nextDeadline(twin.state)).toBe(63_001)
    const { events, effects } = twin.due(63_001, [], told(2_001, 'rebooting'))
    expect(ofUpdate(events)).toEqual(['update-ended u rolled-back returned'])
    expect(effects?.updates[0]).toMatchObject({ message: 'It is back, and still runs 1.' })
  })

  test('and reconnects before it reboots is well when it comes with the new one within that minute, or says that it is still at it', () => {
    const twin = rebooting()
    back(twin)
    expect(ofUpdate(twin.hello({ firmware: NEW }).events)[0]).toMatch('update-soaking u')
    const busy = rebooting()
    back(busy)
    says(busy, 'rebooting')
    expect(ofUpdate(busy.due(63_001, [], told(2_001, 'rebooting')).events)).toEqual(['update-awaited u until 3602001'])
    expect(back(busy)).toEqual(['update-awaited u until 123002'])
  })

  test.each([
    ['said goodbye', goodbye],
    ['broke off', will],
  ])('and %s once more is not back: it is waited for, and looked at anew when it comes', (_how, leave) => {
    const twin = rebooting()
    back(twin)
    leave(twin)
    expect(ofUpdate(twin.due(63_001, [], told(2_001, 'rebooting')).events)).toEqual(['update-awaited u until 3602001'])
    expect(back(twin)).toEqual(['update-awaited u until 123002'])
    expect(ofUpdate(twin.due(123_002, [], told(2_001, 'rebooting')).events)).toEqual(['update-ended u rolled-back returned'])
  })

  test('gets no more time by saying hello again, nor by an older deadline or a row that cannot be read', () => {
    const twin = rebooting()
    back(twin)
    expect(back(twin)).toEqual([])
    expect(ofUpdate(twin.due(63_001).events)).toEqual(['update-awaited u until 123001'])
    expect(ofUpdate(twin.due(123_001, [], told(2_001, 'rebooting')).events)).toEqual(['update-ended u rolled-back returned'])

    // Told only shortly before it was expected.
    const late = released({ installMs: 20_000 })
    late.now = 19_000
    says(late, 'installing')
    expect(back(late)).toEqual(['update-awaited u until 22000'])
    expect(ofUpdate(late.due(22_000, [], told(18_000, 'installing')).events)).toEqual(['update-awaited u until 38000'])
    expect(ofUpdate(late.due(38_000, [], told(18_000, 'installing')).events)).toEqual(['update-ended u rolled-back returned'])
  })
})

test('one that says hello before it installs, without its firmware, or with something else, is none that returned', () => {
  const early = released(HOUR)
  expect(back(early)).toEqual([])
  says(early, 'installing')
  expect(ofUpdate(early.hello().events)).toEqual([])
  expect(ofUpdate(early.hello({ firmware: { version: '1.5' } }).events)).toEqual([])
  const delayed = rebooting()
  expect(ofUpdate(delayed.give({ kind: 'hello', at: 2_999, status: 'online', firmware: OLD }).events)).toEqual([])
})

test('what it said counts for its attempt alone, and of its update alone', () => {
  const twin = released(HOUR)
  twin.give({ kind: 'update-step', at: twin.now, id: 'v', status: 'rebooting' })
  expect(twin.state.update).not.toHaveProperty('said')
  says(twin, 'installing')
  twin.answerUpdate('u', 'failed', 'no-space')
  expect(twin.state.update).not.toHaveProperty('said')
  twin.due(twin.state.update!.deadlineAt)
  expect(back(twin)).toEqual([])
})

test('where only the hash tells old from new, that of the former one has returned', () => {
  const other = { version: '1', sha256: 'other' }
  const twin = released({ ...HOUR, firmware: other })
  says(twin, 'rebooting')
  expect(ofUpdate(twin.hello({ firmware: { version: '1' } }).events)).toEqual(['update-awaited u until 63001'])
  expect(ofUpdate(twin.hello({ firmware: other }).events)[0]).toMatch('update-soaking u')
})

test.each(['installing', 'rebooting'])(
  'one of whose device nothing was received since it was %s fell silent, though it is not taken for away yet',
  (status) => {
    const ends = (lastSeenAt: number) =>
      ofUpdate(released().due(12_001, [], { ...told(2_001, status), statusAt: 2_500, lastSeenAt }).events)
    const leaving = { ...told(2_001, status), statusAt: 2_500, lastSeenAt: 2_501, presence: 'offline' as const }
    expect(ofUpdate(released().due(12_001, [], leaving).events), 'its goodbye is in its inbox').toEqual(['update-ended u timed-out silent'])
    expect(ends(2_500)).toEqual(['update-ended u timed-out silent'])
    expect(ends(2_501)).toEqual([`update-ended u ${status === 'rebooting' ? 'rolled-back returned' : 'timed-out too-slow'}`])
  },
)

test('an old hello that is told of after a newer one does not undo an update: neither its firmware nor its health counts', () => {
  const old: TwinInput = { kind: 'hello', at: 2_999, status: 'online', firmware: OLD, health: { ok: false } }
  const booted = released({ soakMs: 20_000 })
  booted.hello({ firmware: NEW, health: { ok: true } })
  expect(ofUpdate(booted.give(old).events)).toEqual([])
  expect(ofUpdate(booted.due(23_000).events)).toEqual(['update-ended u healthy'])

  // It said that it reboots, by way of one bridge, and its hello before that comes by another.
  const repeated = rebooting()
  repeated.hello({ firmware: { version: '1.5' } })
  expect(ofUpdate(repeated.give({ ...old, at: 3_000 }).events)).toEqual([])
})

describe('its inbox', () => {
  const step = (at: number, status: 'installing' | 'rebooting'): Extract<TwinInput, { kind: 'update-step' }> => {
    return { kind: 'update-step', at, id: 'u', status }
  }
  const inboxOf = (twin: AskedTwin, limit?: number) => emptyInbox(wakeOf(twin.state), limit)

  test('holds that it installs and reboots without waking it, each once, until a hello with its firmware', () => {
    const inbox = inboxOf(released())
    addUpdateStep(inbox, step(3_000, 'installing'))
    for (const at of [3_001, 3_002]) addUpdateStep(inbox, step(at, 'rebooting'))
    addUpdateStep(inbox, step(3_003, 'installing'))
    addHello(inbox, { kind: 'hello', at: 3_004, status: 'offline' })
    expect(inbox.pending).toMatchObject({ urgent: false })
    addHello(inbox, { kind: 'hello', at: 3_005, status: 'online', firmware: OLD })
    expect(inbox.pending?.urgent).toBe(true)
    expect(inbox.pending?.inputs.map(({ at }) => at)).toEqual([3_000, 3_001, 3_004, 3_005])
  })

  test('is woken by it once it came back with what it had, also by what it said while that was decided', () => {
    const twin = rebooting()
    const inbox = inboxOf(twin)
    addHello(inbox, { kind: 'hello', at: 3_001, status: 'online', firmware: OLD })
    seal(inbox, 3_001)
    addUpdateStep(inbox, step(3_002, 'rebooting'))
    expect(inbox.pending?.urgent).toBe(false)
    back(twin)
    answered(inbox, 1, wakeOf(twin.state))
    expect(inbox.pending?.urgent).toBe(true)
    seal(inbox, 3_003)
    answered(inbox, 2, wakeOf(twin.state))
    for (const wakes of [
      () => addUpdateStep(inbox, step(3_004, 'rebooting')),
      () => addHello(inbox, { kind: 'hello', at: 3_005, status: 'offline' }),
    ]) {
      wakes()
      expect(inbox.pending?.urgent).toBe(true)
      inbox.pending = null
    }
  })

  test('drops what finds no room, and a hello after a word is none that was said before it', () => {
    const full = inboxOf(released(), 1)
    for (const id of ['u', 'v']) addUpdateStep(full, { ...step(3_000, 'installing'), id })
    expect(full.pending?.inputs).toHaveLength(1)
    const inbox = inboxOf(released())
    for (const at of [3_000, 3_001, 3_002]) {
      if (at === 3_002) addUpdateStep(inbox, step(at, 'rebooting'))
      addHello(inbox, { kind: 'hello', at, status: 'online', firmware: OLD })
    }
    expect(inbox.pending?.inputs).toHaveLength(4)
  })
})
