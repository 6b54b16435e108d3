/** What one page of alarms means for the actions of their rules, without a store: bounds, and what is the same however often it is planned. */
import { describe, expect, test } from 'vitest'
import { MOST_WAITING, planActions } from '../../api/alarms/plan-actions.ts'
import type { AlarmTurn, Past } from '../../api/alarms/ports.ts'
import { type ActingAlarm, LOOP } from '../../twin-models/core/action-guard.ts'

const turn = (more: Partial<AlarmTurn> = {}): AlarmTurn => ({
  ...{ at: 1_000, tenant: 'demo', incarnation: 1, device: 'd-1', turn: 'raised', n: 1, rule: 'r', version: 1, muted: false, heldMs: 0 },
  ...{ severity: 'major', text: 'It shakes', values: {}, actions: [{ kind: 'command', name: 'stop' }] },
  ...more,
})
const past = (more: Partial<Past> = {}): Past => ({
  acting: () => [],
  depth: () => undefined,
  deeds: () => [],
  waiting: () => 0,
  heldPlaces: () => [],
  ...more,
})

test('of a tenant with too many that wait the rest is cut, and of another none', () => {
  const waiting = (tenant: string) => (tenant === 'demo' ? MOST_WAITING - 2 : 0)
  const turns = [1, 2, 3, 4].map((n) => turn({ n, incarnation: n, actions: [{ kind: 'event', name: 'e' }] }))
  const { actions, told } = planActions([...turns, turn({ tenant: 'other', incarnation: 9 })], past({ waiting }))
  expect(actions.map(({ state, cutBy }) => [state, cutBy])).toEqual([
    ['waiting', undefined],
    ['waiting', undefined],
    ['cut', 'crowd'],
    ['cut', 'crowd'],
    ['waiting', undefined],
  ])
  expect(told).toEqual([])
})

test('the same turn makes the same ids, and each action of each turn another', () => {
  const actions = [{ kind: 'command', name: 'stop' }, { kind: 'notify' }, { kind: 'command', name: 'start', on: 'cleared' }]
  const plan = () => planActions([turn({ actions }), turn({ actions, turn: 'cleared' }), turn({ actions, n: 2 })], past()).actions
  expect(plan()).toEqual(plan())
  expect(plan().map(({ n, turn, place, name }) => [n, turn, place, name])).toEqual([
    [1, 'raised', 0, 'stop'],
    [1, 'cleared', 2, 'start'],
    [2, 'raised', 0, 'stop'],
  ])
  expect(new Set(plan().map(({ id }) => id)).size).toBe(3)
})

test('what is written in a rule by a later version is failed, and whatever is no action as well', () => {
  const { actions } = planActions([turn({ actions: [{ kind: 'sing' }, null, 'x', { kind: 'event' }] })], past())
  expect(actions.map(({ kind, state }) => [kind, state])).toEqual([
    ['sing', 'failed'],
    ['unknown', 'failed'],
    ['unknown', 'failed'],
    ['event', 'failed'],
  ])
  expect(planActions([turn({ turn: 'cleared', actions: [{ kind: 'sing' }] })], past()).actions).toEqual([])
})

describe('an alarm that was raised in maintenance, when that is over', () => {
  const actions = [
    { kind: 'event', name: 'e' },
    { kind: 'command', name: 'stop' },
    { kind: 'ticket', title: 'Look' },
    { kind: 'command', name: 'start', on: 'cleared' },
  ]
  const held = turn({ actions, muted: true })
  const heard = turn({ actions, at: 9_000, isHeard: true })
  const brief = (turns: AlarmTurn[], known: Partial<Past> = {}) => {
    const planned = planActions(turns, past(known))
    return {
      actions: planned.actions.map(({ place, state, cutBy, at }) => [place, state, cutBy, at]),
      told: planned.told.map(({ event }) => event.kind),
    }
  }

  test('has done what was left out by it, and nothing else', () => {
    expect(brief([heard], { heldPlaces: () => [1, 2] }).actions).toEqual([
      [1, 'waiting', undefined, 9_000],
      [2, 'waiting', undefined, 9_000],
    ])
    expect(brief([heard]).actions).toEqual([])
    expect(planActions([held], past()).actions[1]!.id).toBe(planActions([heard], past({ heldPlaces: () => [1] })).actions[0]!.id)
  })

  test('is one row an action where both are planned together', () => {
    expect(brief([held, heard]).actions).toEqual([
      [0, 'waiting', undefined, 1_000],
      [1, 'waiting', undefined, 9_000],
      [2, 'waiting', undefined, 9_000],
    ])
  })

  test('is judged then: whether it is a loop, and as one of those that acted', () => {
    const acted = Array.from({ length: LOOP.alarms }, (_, i): ActingAlarm => ({ n: i + 2, at: 8_000 }))
    const acting = () => [{ n: 1, at: 1_000, cut: 'maintenance' as const }, ...acted]
    expect(brief([heard], { acting, heldPlaces: () => [1, 2] })).toEqual({
      actions: [
        [1, 'cut', 'loop', 9_000],
        [2, 'waiting', undefined, 9_000],
      ],
      told: ['rule-cut'],
    })
    const cleared = turn({ actions, turn: 'cleared' })
    const known = { acting: () => acting().slice(0, 5) }
    expect(brief([heard, cleared], { ...known, heldPlaces: () => [1] }).actions.at(-1)).toEqual([3, 'waiting', undefined, 1_000])
    expect(brief([cleared], known).actions).toEqual([[3, 'cut', 'maintenance', 1_000]])
  })
})
