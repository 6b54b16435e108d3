/** Events of the outbox, as far as they mean something for who is told of alarms. */
import type { AlarmTurn, AlarmWords, ToldAlarm } from '../../twin-models/core/notices.ts'
import type { AlarmEvent, OpenAlarm } from '../../twin-models/core/rule-types.ts'

/** Kinds of rows that are read. */
export const NOTICE_EVENTS = ['alarm-raised', 'alarm-updated', 'alarm-acknowledged', 'alarm-shelved', 'alarm-cleared', 'removed'] as const

type Stored<Kind extends AlarmEvent['kind']> = Omit<Extract<AlarmEvent, { kind: Kind }>, 'kind' | 'cause'>

export interface OutboxEvent {
  kind: string
  /** JSON. */
  event: string
}

export type NoticeEvent =
  | { kind: 'raised'; n: number; rule: string; version: number; alarm: ToldAlarm }
  | { kind: 'turned'; n: number; turn: AlarmTurn }
  /** All alarms of the device are over. */
  | { kind: 'removed' }

/** Undefined: it means nothing here. */
export function noticeEventOf({ kind, event }: OutboxEvent): NoticeEvent | undefined {
  switch (kind) {
    case 'alarm-raised': {
      const { n, rule, version, severity, text, values, raisedAt, muted } = (JSON.parse(event) as Stored<'alarm-raised'>).alarm
      const alarm = { severity, text: storable(text), facts: factsOf(values), raisedAt, ...(muted && { muted }) }
      return { kind: 'raised', n, rule, version, alarm }
    }
    case 'alarm-updated': {
      const { n, muted, ...changes } = JSON.parse(event) as Stored<'alarm-updated'>
      return { kind: 'turned', n, turn: muted === undefined ? { kind: 'updated', ...wordsOf(changes) } : { kind: 'muted', muted } }
    }
    case 'alarm-acknowledged':
      return { kind: 'turned', n: (JSON.parse(event) as Stored<'alarm-acknowledged'>).n, turn: { kind: 'acknowledged' } }
    case 'alarm-shelved': {
      const { n, until } = JSON.parse(event) as Stored<'alarm-shelved'>
      return { kind: 'turned', n, turn: { kind: 'shelved', until } }
    }
    case 'alarm-cleared':
      return clearedOf(JSON.parse(event))
    case 'removed':
      return { kind: 'removed' }
  }
  return undefined
}

function clearedOf({ n, reason, by, note, ...words }: Stored<'alarm-cleared'>): NoticeEvent {
  const said = {
    ...WHY[reason],
    ...(reason === 'person' && by !== undefined && { cleared: storable(`by ${by}`) }),
    ...(note !== undefined && { note: storable(note) }),
  }
  return { kind: 'turned', n, turn: { kind: 'cleared', ...wordsOf(words), facts: { ...factsOf(words.values), ...said } } }
}

/** Where it is not the condition that went away. */
const WHY: Record<Stored<'alarm-cleared'>['reason'], { cleared?: string }> = {
  rule: {},
  person: { cleared: 'by hand' },
  removed: { cleared: 'the rule is no longer for this device' },
  changed: { cleared: 'the rule is another one now' },
}

function wordsOf({ severity, text, values }: Partial<Pick<OpenAlarm, 'severity' | 'text' | 'values'>>): Partial<AlarmWords> {
  return { ...(severity && { severity }), ...(text !== undefined && { text: storable(text) }), ...(values && { facts: factsOf(values) }) }
}

/** As the texts of rules have them. */
const DIGITS = 6
const LONGEST = 500

function factsOf(values: OpenAlarm['values']): AlarmWords['facts'] {
  const wordOf = (value: OpenAlarm['values'][string]) => String(typeof value === 'number' ? Number(value.toPrecision(DIGITS)) : value)
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [storable(name), storable(wordOf(value).slice(0, LONGEST))]))
}

/** As Postgres can hold it: one text of a device that it cannot would hold up all that comes after it. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD')
}
