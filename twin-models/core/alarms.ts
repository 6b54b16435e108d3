/** What people, and repairs, do with the alarms of a twin, and what other rules mean for them. What rules themselves decide stands in rules.ts. */
import { byRequest } from './causes.ts'
import { own, same } from './plain.ts'
import { clearedEvent } from './rule-view.ts'
import type { AlarmAsk, Cause, OpenAlarm, TwinEvent, TwinInput, TwinState } from './types.ts'

type Input<Kind extends TwinInput['kind']> = Extract<TwinInput, { kind: Kind }>

export interface AlarmRefusal {
  refused: 'no-alarm'
}

/** Undefined: it is done, or was so already. */
export function alarmRefusal(state: TwinState, ask: AlarmAsk): AlarmRefusal | undefined {
  return askedOf(state, ask) ? undefined : { refused: 'no-alarm' }
}

function askedOf(state: TwinState, { rule, n }: AlarmAsk): OpenAlarm | undefined {
  const alarm = own(state.alarms, rule)
  return n === undefined || alarm?.n === n ? alarm : undefined
}

export function decideAlarm(state: TwinState, input: Input<'alarm'>): TwinEvent[] {
  const alarm = askedOf(state, input)
  if (!alarm) return []
  const { at, rule, by } = input
  const { n } = alarm
  const noted = input.note === undefined ? {} : { note: input.note }
  const cause = byRequest(input.request, by)
  switch (input.action) {
    case 'acknowledge':
      return alarm.acknowledged ? [] : [{ kind: 'alarm-acknowledged', at, n, rule, by, ...noted, cause }]
    case 'shelve':
      return input.until <= at || input.until === alarm.shelvedUntil
        ? []
        : [{ kind: 'alarm-shelved', at, n, rule, until: input.until, by, ...noted, cause }]
    case 'unshelve':
      return alarm.shelvedUntil === undefined ? [] : [{ kind: 'alarm-shelved', at, n, rule, until: null, by, ...noted, cause }]
    case 'assign':
      return (alarm.assignee ?? null) === input.assignee
        ? []
        : [{ kind: 'alarm-assigned', at, n, rule, assignee: input.assignee, by, ...noted, cause }]
    case 'comment':
      return [{ kind: 'alarm-commented', at, n, rule, by, note: input.note ?? '', cause }]
    case 'clear':
      return [{ ...clearedEvent(state, alarm, at, 'person', cause), by, ...noted }]
  }
}

export function decideRules(state: TwinState, { at, set, removed, all = false }: Input<'rules'>): TwinEvent[] {
  const cause: Cause = { by: 'lane' }
  const kept = new Set(set.map(({ id }) => id))
  const changed = set.filter((rule) => !same(own(state.rules, rule.id), rule))
  const gone = (all ? Object.keys(state.rules) : removed).filter((id) => !kept.has(id) && Object.hasOwn(state.rules, id))
  if (changed.length === 0 && gone.length === 0) return []
  const events: TwinEvent[] = []
  for (const id of gone) {
    const alarm = own(state.alarms, id)
    if (alarm) events.push(clearedEvent(state, alarm, at, 'removed', cause))
  }
  for (const { id, version, onChange } of changed) {
    const alarm = own(state.alarms, id)
    if (alarm && onChange === 'clear') events.push(clearedEvent(state, alarm, at, 'changed', cause))
    else if (alarm && alarm.version !== version) events.push({ kind: 'alarm-updated', at, n: alarm.n, rule: id, version, cause })
  }
  return [...events, { kind: 'rules-changed', at, set: changed.map(({ id, version }) => ({ id, version })), removed: gone, cause }]
}
