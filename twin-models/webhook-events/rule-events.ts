/** Events of rules: what a rule says where it has an action `event`, and that its actions were cut. No twin decides them. */
import type { OpenAlarm, Severity, Value } from '../core/types.ts'
import { severity, values } from './alarm-events.ts'
import { platformEvent } from './platform-events.ts'
import { about, anything, type Fields, OF_DEVICE, oneOf, text, whole, word } from './schema.ts'

export type RuleEvent =
  /** Written where its rule says so. `at`: of the decision that set it off. */
  | {
      kind: 'rule-event'
      at: number
      name: string
      data?: Value
      rule: string
      version: number
      n: number
      on: 'raised' | 'cleared'
      severity: Severity
      text: string
      values: OpenAlarm['values']
    }
  /** Said once while it goes on. */
  | { kind: 'rule-cut'; at: number; rule: string; version: number; n: number; reason: 'loop' | 'chain'; detail: string }

const OF_ALARM: Fields = {
  rule: about(text, 'Its name.'),
  version: about(whole, 'Of the rule.'),
  n: about(whole, 'Which alarm of the device.'),
}
const EXAMPLE = { device: 'p-7', rule: 'bearing', version: 2, n: 3 }

export const ruleEvent = platformEvent('rule.event', 'rule-event', {
  description: 'A rule says something of its own, when its alarm is raised or cleared.',
  fields: {
    ...OF_DEVICE,
    name: about(text, 'As the rule calls it.'),
    'data?': about(anything, 'As it stands in the rule.'),
    ...OF_ALARM,
    on: about(oneOf('raised', 'cleared'), 'What the alarm did.'),
    severity,
    text: about(text, 'What the alarm says.'),
    values,
  },
  example: {
    ...EXAMPLE,
    name: 'pump-trouble',
    data: { line: 4 },
    on: 'raised',
    severity: 'major',
    text: 'Vibration is 8.3 mm/s',
    values: { vibration: 8.3 },
  },
  cause: { by: 'rule', who: 'bearing' },
})

export const ruleCut = platformEvent('rule.cut', 'rule-cut', {
  description: 'A rule sets off itself again and again, or rules set off each other from device to device: commands and wishes are cut.',
  fields: {
    ...OF_DEVICE,
    ...OF_ALARM,
    reason: word('loop', 'chain'),
    detail: about(text, 'In words.'),
  },
  example: { ...EXAMPLE, reason: 'loop', detail: 'The rule has acted on the device for 10 alarms within 10 minutes.' },
  cause: { by: 'rule', who: 'bearing' },
})
