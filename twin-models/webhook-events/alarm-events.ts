/** Alarms: a condition of a rule that holds, from when it is raised until it is cleared. */
import type { JsonObject } from '../core/types.ts'
import { about, anyObject, type EventType, flag, object, oneOf, text, time, whole, word } from './schema.ts'
import { twinEvent } from './twin-events.ts'

export const severity = oneOf('warning', 'minor', 'major', 'critical')
const rule = about(text, 'Name of its rule.')
const n = about(whole, 'Which alarm of the device: with `device` it is the id of the alarm, for as long as the device is registered.')
const note = about(text, 'What was said with it.')
/** By the name of the reading. */
export const values = about(anyObject, 'What the rule read, by the name of the reading.')

const alarm: JsonObject = object({
  n,
  rule,
  version: about(whole, 'Of the rule.'),
  severity,
  text: about(text, 'What the rule says, with the values of that moment.'),
  since: about(time, 'Since when its condition held.'),
  raisedAt: about(time, 'When it had held for long enough.'),
  count: about(whole, 'How often it came back before it was cleared; 1 at first.'),
  'flapping?': about(flag, 'It came and went so often that it stays for a while now.'),
  'muted?': about(flag, 'Its device is in maintenance: nobody is to be told.'),
  values,
})

export const alarmRaised: EventType & { type: 'alarm.raised' } = twinEvent('alarm.raised', 'alarm-raised', {
  description: 'A condition of a rule holds, and has held for as long as the rule wants.',
  fields: { alarm },
  example: {
    alarm: {
      n: 3,
      rule: 'overheating',
      version: 2,
      severity: 'major',
      text: 'Temperature is 83.4 °C',
      since: '2026-11-26T21:26:17.072Z',
      raisedAt: '2026-11-26T21:31:17.072Z',
      count: 1,
      values: { temperature: 83.4 },
    },
  },
  cause: { by: 'timer' },
})

export const alarmAcknowledged: EventType & { type: 'alarm.acknowledged' } = twinEvent('alarm.acknowledged', 'alarm-acknowledged', {
  description: 'Somebody has seen an alarm and takes care of it.',
  fields: { n, rule, by: text, 'note?': note },
  example: { n: 3, rule: 'overheating', by: 'ann', note: 'On my way' },
  cause: { by: 'request', request: '4f1f0f2e-6b0e-4c1e-8c55-4c4f0b3f5a10', who: 'ann' },
})

export const alarmCleared: EventType & { type: 'alarm.cleared' } = twinEvent('alarm.cleared', 'alarm-cleared', {
  description: 'An alarm is over.',
  fields: {
    n,
    rule,
    severity,
    text: about(text, 'As it said last.'),
    reason: word('rule', 'person', 'removed', 'changed'),
    'by?': text,
    'note?': note,
    values,
  },
  example: { n: 3, rule: 'overheating', severity: 'major', text: 'Temperature is 83.4 °C', reason: 'rule', values: { temperature: 74.2 } },
  cause: { by: 'message', messageId: 'm-31' },
})
