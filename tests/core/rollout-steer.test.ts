/** What a person can ask of a rollout, in which status, and what becomes of it. */
import { describe, expect, test } from 'vitest'
import { initialRollout } from '../../twin-models/core/rollout.ts'
import { steer } from '../../twin-models/core/rollout-steer.ts'
import type { RolloutAsk, RolloutPlan, RolloutState } from '../../twin-models/core/rollout-types.ts'
import { back, counts, plan, running, wave } from '../support/rollout-cases.ts'

describe('a person', () => {
  const paused: RolloutState = { ...running, status: 'paused' }
  const halted: RolloutState = { ...running, status: 'halted', reason: 'because' }
  const ended: RolloutState = { ...running, status: 'completed' }
  const cancelled: RolloutState = { ...running, status: 'cancelled', reason: 'Somebody cancelled it.' }
  const draft = initialRollout(plan)
  const early: RolloutState = { ...running, chosen: false }
  const fourEyes: RolloutPlan = { ...plan, approval: 'four-eyes' }
  const cancelling: RolloutPlan = { ...plan, onHalt: 'cancel' }
  const some = counts(wave(10, { underway: 3, failed: 2 }), wave(10, { failed: 1 }), wave(80))

  test.each<[string, RolloutState, RolloutPlan, RolloutAsk, Partial<RolloutState>, object, RegExp]>([
    ['approves a draft', draft, plan, { action: 'approve', by: 'ann' }, { status: 'running', approvedBy: 'ann' }, {}, /begins/],
    [
      'approves what another asked for',
      draft,
      fourEyes,
      { action: 'approve', by: 'bob' },
      { status: 'running', approvedBy: 'bob' },
      {},
      /begins/,
    ],
    ['pauses', running, plan, { action: 'pause' }, { status: 'paused' }, {}, /paused.*go on/],
    ['pauses its way back', back, plan, { action: 'pause' }, { status: 'paused', direction: 'back' }, {}, /paused/],
    [
      'resumes what was paused',
      paused,
      plan,
      { action: 'resume' },
      { status: 'running', acknowledged: { wave: 0, all: 0 } },
      {},
      /^It goes on\.$/,
    ],
    [
      'resumes what was halted',
      halted,
      plan,
      { action: 'resume' },
      { status: 'running', acknowledged: { wave: 2, all: 3 } },
      {},
      /3 failures.*acknowledged/,
    ],
    ['resumes its way back', { ...back, status: 'paused' }, plan, { action: 'resume' }, { status: 'rolling-back' }, {}, /goes on/],
    ['advances', running, plan, { action: 'advance' }, { status: 'running', wave: 0, passed: true }, {}, /wave 2 .*gate of wave 1/],
    ['halts', running, plan, { action: 'halt' }, { status: 'halted', reason: 'Somebody halted it.' }, {}, /halted.*go on/],
    [
      'is halted where its workflow was ended from outside',
      running,
      plan,
      { action: 'halt', interrupted: true },
      { status: 'halted', reason: expect.stringContaining('ended from outside') },
      {},
      /halted/,
    ],
    ['excludes from a draft', draft, plan, { action: 'exclude', device: 'x' }, { status: 'draft' }, { exclude: 'x' }, /left out/],
    [
      'excludes before devices are chosen',
      early,
      plan,
      { action: 'exclude', device: 'x' },
      { status: 'running' },
      { exclude: 'x' },
      /left out/,
    ],
    ['halts and cancels', running, plan, { action: 'halt', running: 'cancel' }, { status: 'halted' }, { cancelRunning: true }, /cancelled/],
    ['halts as the rollout says', paused, cancelling, { action: 'halt' }, { status: 'halted' }, { cancelRunning: true }, /cancelled/],
    [
      'halts otherwise than the rollout says',
      paused,
      cancelling,
      { action: 'halt', running: 'continue' },
      { status: 'halted' },
      {},
      /go on/,
    ],
    [
      'cancels what was halted',
      halted,
      plan,
      { action: 'halt', running: 'cancel' },
      { status: 'halted', reason: 'because' },
      { cancelRunning: true },
      /cancelled/,
    ],
    [
      'rolls back',
      running,
      plan,
      { action: 'rollback' },
      { status: 'rolling-back', direction: 'back', chosen: false, wave: 0, back: { which: 'updated', chooseBy: 60_007 } },
      { cancelRunning: true, dropWaiting: true },
      /rolls back/,
    ],
    [
      'rolls back what failed',
      halted,
      plan,
      { action: 'rollback', which: 'failed' },
      { status: 'rolling-back', back: { which: 'failed', chooseBy: 60_007 } },
      { cancelRunning: true, dropWaiting: true },
      /did not end healthy/,
    ],
    [
      'rolls back what has ended',
      ended,
      plan,
      { action: 'rollback' },
      { status: 'rolling-back' },
      { cancelRunning: true, dropWaiting: true },
      /rolls back/,
    ],
    [
      'rolls back what was cancelled',
      cancelled,
      plan,
      { action: 'rollback' },
      { status: 'rolling-back' },
      { cancelRunning: true, dropWaiting: true },
      /rolls back/,
    ],
    [
      'rolls back the others, too, after those that failed',
      { ...back, status: 'completed', wave: 1, joined: true, back: { which: 'failed', chooseBy: 1 } },
      plan,
      { action: 'rollback' },
      { status: 'rolling-back', chosen: true, wave: 1, joined: false, back: { which: 'updated', chooseBy: 60_007 } },
      {},
      /goes on rolling back.*ask yet/,
    ],
    [
      'goes on with a way back that was cancelled, for no fewer than it was for',
      { ...back, status: 'cancelled', reason: 'x', joined: true },
      plan,
      { action: 'rollback', which: 'failed' },
      { status: 'rolling-back', joined: false, back: { which: 'updated', chooseBy: 60_007 } },
      {},
      /Devices that run the new version return/,
    ],
    [
      'cancels',
      running,
      plan,
      { action: 'cancel' },
      { status: 'cancelled', reason: 'Somebody cancelled it.' },
      { dropWaiting: true },
      /ends.*go on/,
    ],
    ['cancels a draft', draft, plan, { action: 'cancel' }, { status: 'cancelled' }, { dropWaiting: true }, /ends/],
    [
      'cancels what is under way too',
      halted,
      plan,
      { action: 'cancel', running: 'cancel' },
      { status: 'cancelled' },
      { dropWaiting: true, cancelRunning: true },
      /cancelled/,
    ],
    [
      'cancels what is under way later',
      cancelled,
      plan,
      { action: 'cancel', running: 'cancel' },
      { status: 'cancelled', reason: 'Somebody cancelled it.' },
      { dropWaiting: true, cancelRunning: true },
      /cancelled/,
    ],
    [
      'changes the pace',
      paused,
      plan,
      { action: 'pace', perSecond: 2 },
      { status: 'paused', pace: { perSecond: 2, atOnce: 100 } },
      {},
      /2 devices a second, and 100/,
    ],
    [
      'leaves a device out',
      running,
      plan,
      { action: 'exclude', device: 't-1' },
      { status: 'running' },
      { exclude: 't-1' },
      /t-1 is left out/,
    ],
  ])('%s', (_title, state, plan, ask, expected, effects, answer) => {
    const steered = steer({ ...state, idle: 5 }, plan, ask, some, 7)
    if (steered.refused !== undefined) expect.fail(steered.refused)
    expect(steered.state).toMatchObject({ ...expected, idle: 0 })
    expect('reason' in steered.state).toBe(['halted', 'cancelled'].includes(steered.state.status))
    expect(steered.effects).toEqual(effects)
    expect(steered.answer).toMatch(answer)
  })

  test.each<[string, RolloutState, RolloutPlan, RolloutAsk, RegExp]>([
    ['approve one’s own with four eyes, however the name is written', draft, fourEyes, { action: 'approve', by: ' Ann ' }, /somebody else/],
    ['approve one’s own with four eyes', draft, fourEyes, { action: 'approve', by: 'ann' }, /ann asked for it: somebody else/],
    ['approve what runs', running, plan, { action: 'approve', by: 'bob' }, /Only a draft.*running/],
    ['pause a draft', draft, plan, { action: 'pause' }, /is a draft: approve it or cancel it/],
    ['roll a draft back', draft, plan, { action: 'rollback' }, /is a draft/],
    ['pause twice', paused, plan, { action: 'pause' }, /paused already/],
    ['pause what is halted', halted, plan, { action: 'pause' }, /is halted: it starts nothing/],
    ['resume what runs', running, plan, { action: 'resume' }, /neither paused nor halted/],
    ['advance what is paused', paused, plan, { action: 'advance' }, /is paused: resume it first/],
    ['advance what is halted', halted, plan, { action: 'advance' }, /is halted: resume it first/],
    ['advance before devices are chosen', early, plan, { action: 'advance' }, /not chosen yet/],
    ['advance from the last wave', { ...running, wave: 2 }, plan, { action: 'advance' }, /last wave/],
    ['halt twice', halted, plan, { action: 'halt' }, /halted already/],
    ['roll back twice', back, plan, { action: 'rollback' }, /^It rolls back already\.$/],
    ['roll back again when halted', { ...back, status: 'halted' }, plan, { action: 'rollback' }, /and is halted: resume it/],
    [
      'roll back after that',
      { ...back, status: 'completed' },
      plan,
      { action: 'rollback' },
      /^It rolls back already, and is completed.*kind rollback/,
    ],
    ['roll back what is halted on its way back', { ...back, status: 'halted' }, plan, { action: 'rollback' }, /already, and is halted/],
    ['roll back before devices are chosen', early, plan, { action: 'rollback' }, /nobody has the new version/],
    ['roll back what was a draft', { ...cancelled, chosen: false }, plan, { action: 'rollback' }, /nobody has the new version/],
    ['cancel twice', cancelled, plan, { action: 'cancel' }, /cancelled already/],
    ['resume what was cancelled', cancelled, plan, { action: 'resume' }, /cancelled already/],
    ['pause what has ended', ended, plan, { action: 'pause' }, /is completed: there is nothing to pause/],
    ['cancel what has ended', ended, plan, { action: 'cancel' }, /is completed/],
  ])('cannot %s', (_title, state, plan, ask, refused) => {
    expect(steer(state, plan, ask, some, 7)).toEqual({ refused: expect.stringMatching(refused) })
  })

  test('does not resume what would halt again because of its firmware, but its way back', () => {
    const ask = { action: 'resume' } as const
    for (const state of [halted, paused])
      expect(steer(state, plan, ask, some, 7, 'It was withdrawn.').refused).toMatch(/must not go to further devices. It was withdrawn.$/)
    expect(steer({ ...back, status: 'halted' }, plan, ask, some, 7, 'It was withdrawn.').refused).toBeUndefined()
    expect(steer(running, plan, { action: 'pause' }, some, 7, 'It was withdrawn.').refused).toBeUndefined()
  })
})
