/** What events of rules, alarms and maintenance make of a twin's state. Pure; the argument is never changed. */
import { own } from './plain.ts'
import type { AlarmEvent, OpenAlarm, RuleMemory, TwinState } from './types.ts'

/** So many alarms of a rule are remembered by their time: as many as make it flap. */
export const FLAPS = 4

export function evolveAlarms(state: TwinState, event: AlarmEvent): TwinState {
  switch (event.kind) {
    case 'rules-changed':
      return withRules(state, event)
    case 'alarm-raised': {
      const { rule, n, raisedAt } = event.alarm
      const raised = [raisedAt, ...(own(state.memory, rule)?.raised ?? [])].slice(0, FLAPS)
      return { ...remember(state, rule, { raised }), alarms: { ...state.alarms, [rule]: event.alarm }, alarmCount: n }
    }
    case 'alarm-updated': {
      const { kind: _kind, at: _at, cause: _cause, n: _n, rule, muted, ...changes } = event
      return changed(state, rule, (alarm) => ({
        ...(muted === false ? without(alarm, 'muted') : alarm),
        ...changes,
        ...(muted && { muted }),
      }))
    }
    case 'alarm-acknowledged': {
      const { at, rule, by, note } = event
      return changed(state, rule, (alarm) => ({ ...alarm, acknowledged: { at, by, ...(note !== undefined && { note }) } }))
    }
    case 'alarm-shelved': {
      const { rule, until } = event
      return changed(state, rule, (alarm) => (until === null ? without(alarm, 'shelvedUntil') : { ...alarm, shelvedUntil: until }))
    }
    case 'alarm-assigned': {
      const { rule, assignee } = event
      return changed(state, rule, (alarm) => (assignee === null ? without(alarm, 'assignee') : { ...alarm, assignee }))
    }
    case 'alarm-commented':
      return state
    case 'alarm-cleared': {
      const { [event.rule]: _, ...alarms } = state.alarms
      const { raised } = own(state.memory, event.rule) ?? {}
      return { ...remember(state, event.rule, { ...(raised && { raised }), spent: true }), alarms }
    }
    case 'maintenance-changed':
      return { ...state, maintenance: event.maintenance }
  }
}

/** Those that are not there (any more) or are others now begin anew. What the others say is kept as it came (consume.ts): it is no decision. */
function withRules(state: TwinState, { set, removed }: Extract<AlarmEvent, { kind: 'rules-changed' }>): TwinState {
  const [rules, memory] = [{ ...state.rules }, { ...state.memory }]
  for (const id of removed) {
    delete rules[id]
    delete memory[id]
  }
  for (const { id } of set) delete memory[id]
  return { ...state, rules, memory }
}

/** Empty: nothing is kept of it. */
export function remember(state: TwinState, rule: string, memory: RuleMemory): TwinState {
  const { [rule]: _, ...others } = state.memory
  return { ...state, memory: Object.keys(memory).length === 0 ? others : { ...others, [rule]: memory } }
}

function changed(state: TwinState, rule: string, change: (alarm: OpenAlarm) => OpenAlarm): TwinState {
  const alarm = own(state.alarms, rule)
  return alarm ? { ...state, alarms: { ...state.alarms, [rule]: change(alarm) } } : state
}

function without(alarm: OpenAlarm, member: 'muted' | 'shelvedUntil' | 'assignee'): OpenAlarm {
  const { [member]: _, ...rest } = alarm
  return rest
}
