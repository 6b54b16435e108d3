/** What one page of alarms means for the actions of their rules, without a store: bounds, and what is the same however often it is planned. */
import { expect, test } from 'vitest'
import { MOST_WAITING, planActions } from '../../api/alarms/plan-actions.ts'
import type { AlarmTurn, Past } from '../../api/alarms/ports.ts'

const turn = (more: Partial<AlarmTurn> = {}): AlarmTurn => ({
  ...{ at: 1_000, tenant: 'demo', incarnation: 1, device: 'd-1', turn: 'raised', n: 1, rule: 'r', version: 1, muted: false, heldMs: 0 },
  ...{ severity: 'major', text: 'It shakes', values: {}, actions: [{ kind: 'command', name: 'stop' }] },
  ...more,
})
const past = (more: Partial<Past> = {}): Past => ({ acting: () => [], depth: () => undefined, deeds: () => [], waiting: () => 0, ...more })

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
