/** Rules that set each other off, as they are told when one is written. */
import { expect, test } from 'vitest'
import { loopsOf } from '../../twin-models/rules/loops.ts'
import { type RuleBody, ruleRequest } from '../../twin-models/schemas/rule.ts'

const bodyOf = (given: object): RuleBody => ruleRequest.parse({ severity: 'major', text: 'Trouble', ...given })
const rule = (name: string, reads: string, wishes: object, more: object = {}) => ({
  name,
  body: bodyOf({ model: 'thermostat', when: `${reads} > 1`, actions: [{ kind: 'wish', desired: wishes, ...more }], text: 'x' }),
})
const target = 'reported.state.targetTemperature'

test('loops of a rule with itself are found', () => {
  expect(loopsOf(rule('a', target, { targetTemperature: 20 }), [], () => undefined)).toEqual(['a → targetTemperature → a'])
})

test('loops through other live rules are told in the order in which they set each other off', () => {
  const b = rule('b', "change(telemetry.targetTemperature.value, '5m')", { night: true })
  const c = rule('c', 'desired.state.night', { humidity: 3, other: 1 })
  const a = rule('a', 'telemetry.humidity.value', { targetTemperature: 20 })
  expect(loopsOf(a, [b, c, rule('d', 'telemetry.other.value', { x: 1 })], () => undefined)).toEqual([
    'a → targetTemperature → b → night → c → humidity → a',
  ])
  expect(loopsOf(a, [b], () => undefined)).toEqual([])
  // Of its own former version nothing is left.
  expect(loopsOf(a, [b, c, rule('a', target, { targetTemperature: 20 })], () => undefined)).toHaveLength(1)
})

test('loops are those of devices of one model: another one does not read it', () => {
  const a = rule('a', target, { targetTemperature: 20 }, { device: 'other' })
  expect(loopsOf(a, [], () => 'lock')).toEqual([])
  expect(loopsOf(a, [], () => 'thermostat')).toEqual(['a → targetTemperature → a'])
  expect(loopsOf(a, [], () => undefined)).toEqual(['a → targetTemperature → a'])
  const commands = {
    name: 'a',
    body: bodyOf({ model: 'lock', when: 'reported.state.locked = true', actions: [{ kind: 'command', name: 'locked' }] }),
  }
  expect(loopsOf(commands, [], () => undefined)).toEqual(['a → locked → a'])
})

test('loops are those of devices that both may be for, as far as their filters tell', () => {
  const on = (name: string, filter: string, device?: string) => {
    const { body } = rule(name, target, { targetTemperature: 20 }, device === undefined ? {} : { device })
    return { name, body: { ...body, filter } }
  }
  const thermostat = () => 'thermostat'
  expect(loopsOf(on('a', "id = 't-1'", 't-2'), [], thermostat)).toEqual([])
  expect(loopsOf(on('a', "id = 't-1'", 't-1'), [], thermostat)).toEqual(['a → targetTemperature → a'])
  expect(loopsOf(on('a', "attributes.site = 'x'", 't-2'), [], thermostat)).toEqual(['a → targetTemperature → a'])
  const back = on('b', "id = 't-2'", 't-1')
  expect(loopsOf(on('a', "id = 't-1'", 't-2'), [back], thermostat)).toEqual(['a → targetTemperature → b → targetTemperature → a'])
  expect(loopsOf(on('a', "id = 't-3'", 't-2'), [back], thermostat)).toEqual([])
})
