/**
 * What a decision makes of the rows of its device's alarms: one change an alarm, since one statement changes a row only once. A change is the whole
 * row, so that it stands right whatever was there before.
 */
import { evolveAlarms } from './evolve-alarms.ts'
import { own, words } from './plain.ts'
import type { AlarmEvent, ClearReason, OpenAlarm, Severity, TwinEvent, TwinState } from './types.ts'

/** A row of `alarms`. Times are epoch milliseconds. Null: it was not, or there is none. */
export interface AlarmChange {
  /** Which alarm of the device. */
  n: number
  rule: string
  version: number
  severity: Severity
  status: 'raised' | 'acknowledged' | 'cleared'
  text: string
  since: number
  raisedAt: number
  /** When something of it changed last, or was said of it. */
  updatedAt: number
  count: number
  flapping: boolean
  muted: boolean
  acknowledgedAt: number | null
  acknowledgedBy: string | null
  acknowledgedNote: string | null
  shelvedUntil: number | null
  assignee: string | null
  clearedAt: number | null
  clearReason: ClearReason | null
  clearedBy: string | null
  clearNote: string | null
  values: OpenAlarm['values']
}

type OfAlarm = Exclude<AlarmEvent, { kind: 'rules-changed' | 'maintenance-changed' }>

const TEXT_LENGTH = 500
const NAME_LENGTH = 256
const NOTE_LENGTH = 1_000

export function alarmChanges(before: TwinState, events: TwinEvent[]): AlarmChange[] {
  const changes = new Map<number, AlarmChange>()
  let state = before
  for (const event of events) {
    if (!isOfAlarm(event)) continue
    const { n, rule } = event.kind === 'alarm-raised' ? event.alarm : event
    const met = own(state.alarms, rule)
    state = evolveAlarms(state, event)
    const alarm = own(state.alarms, rule) ?? met
    if (alarm) changes.set(n, changeOf(alarm, event))
  }
  return [...changes.values()]
}

/** `alarm`: after the event; one that is cleared, as it was. */
function changeOf(alarm: OpenAlarm, event: OfAlarm): AlarmChange {
  const { n, rule, version, since, raisedAt, count, flapping = false, muted = false, acknowledged, shelvedUntil = null } = alarm
  const cleared = event.kind === 'alarm-cleared' ? event : undefined
  const { severity, text, values } = cleared ?? alarm
  return {
    n,
    rule: words(rule, NAME_LENGTH),
    version,
    severity,
    status: cleared ? 'cleared' : acknowledged ? 'acknowledged' : 'raised',
    text: words(text, TEXT_LENGTH),
    since,
    raisedAt,
    updatedAt: event.at,
    count,
    flapping,
    muted,
    acknowledgedAt: acknowledged?.at ?? null,
    acknowledgedBy: orNull(acknowledged?.by, NAME_LENGTH),
    acknowledgedNote: orNull(acknowledged?.note, NOTE_LENGTH),
    shelvedUntil,
    assignee: orNull(alarm.assignee, NAME_LENGTH),
    clearedAt: cleared?.at ?? null,
    clearReason: cleared?.reason ?? null,
    clearedBy: orNull(cleared?.by, NAME_LENGTH),
    clearNote: orNull(cleared?.note, NOTE_LENGTH),
    values,
  }
}

/** As columns take it: some of it is a device's. */
function orNull(text: string | undefined, length: number): string | null {
  return text === undefined ? null : words(text, length)
}

function isOfAlarm(event: TwinEvent): event is OfAlarm {
  return event.kind.startsWith('alarm-')
}
